package storage

import (
	"context"
	"database/sql"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/descartes-tasks/descartes/schema"
)

// maxToken is the length in bytes at which FTS5 cuts a word off (fts5Int.h,
// FTS5_MAX_TOKEN_SIZE).
const maxToken = 32768

// checkIndex compares the words in the full-text index with those of the tasks. A
// task with a version that the index has not read yet may be there as it was
// before, or not at all.
func (c *checker) checkIndex(ctx context.Context) error {
	if c.indexed+1 < c.oldest {
		return nil // some of what it has not read is gone: it will start over
	}
	// The words of a task as one number: the sum of the hashes of all that differ.
	seed := maphash.MakeSeed()
	indexed := make(map[int64]uint64)
	err := c.each(ctx, func(row *sql.Rows) error {
		var num int64
		var word string
		if err := row.Scan(&num, &word); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		indexed[num] += maphash.String(seed, word)
		return nil
	}, `SELECT doc, term FROM temp.indexed_words`)
	if err != nil {
		return err
	}
	err = c.each(ctx, func(row *sql.Rows) error {
		var id string
		var num sql.NullInt64
		var title, description []byte
		if err := row.Scan(&id, &num, &title, &description); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		switch {
		case !num.Valid:
			c.found("search", id, "the index does not know the task")
		case indexed[num.Int64] != hashWords(seed, string(title), string(description)):
			c.found("search", id, "the index has other words than the task")
		}
		return nil
	}, `SELECT tasks.id, search_tasks.num, CAST(title AS BLOB), CAST(description AS BLOB)
		FROM tasks LEFT JOIN search_tasks ON task_id = tasks.id WHERE version <= ?`, c.indexed)
	if err != nil {
		return err
	}
	return c.checkForgotten(ctx, indexed)
}

// checkForgotten looks for what the index should have forgotten.
func (c *checker) checkForgotten(ctx context.Context, indexed map[int64]uint64) error {
	known := make(map[int64]bool)
	err := c.each(ctx, func(row *sql.Rows) error {
		var num int64
		var id string
		var there bool
		if err := row.Scan(&num, &id, &there); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		if known[num] = true; !there {
			c.found("search", id, "the index knows a task that is gone")
		}
		return nil
	}, `SELECT num, task_id, EXISTS (SELECT 1 FROM tasks WHERE id = task_id) OR
		EXISTS (SELECT 1 FROM journal WHERE journal.task_id = search_tasks.task_id AND seq > ?) FROM search_tasks`, c.indexed)
	if err != nil {
		return err
	}
	for _, num := range slices.Sorted(maps.Keys(indexed)) {
		if !known[num] {
			c.found("search", num, "the index has words of no task")
		}
	}
	return nil
}

// hashWords gives the number that stands for the words of texts.
func hashWords(seed maphash.Seed, texts ...string) (sum uint64) {
	seen := make(map[string]bool)
	for _, text := range texts {
		for word := range schema.Words(text) {
			if word = word[:min(len(word), maxToken)]; !seen[word] {
				seen[word] = true
				sum += maphash.String(seed, word)
			}
		}
	}
	return sum
}
