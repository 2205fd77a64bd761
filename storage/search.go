package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

// The full-text index is a reader of the journal like any other: indexed in
// journal_state is its cursor. Neither the write path nor other processes know of
// it. A list asks the index for what it has read, takes every task that the
// journal names after its cursor besides, and checks all of them in Go: what it
// finds is always exactly what schema.Filter says, whatever the index thinks.

const (
	// indexAtOnce bounds the events that one step reads: some ten milliseconds.
	indexAtOnce = 200
	// manyCandidates is how many are too many to look them all up: when one task in
	// fifty matches, a walk through all tasks finds a page sooner.
	manyCandidates = 2000
	// manyWords bounds the words that the index is asked for: more would hardly leave
	// fewer candidates.
	manyWords = 16
)

// selectCandidates gives whom the full-text index names, and of whom it has not read
// yet.
const selectCandidates = `SELECT task_id FROM search CROSS JOIN search_tasks ON num = search.rowid WHERE search MATCH ?
	UNION ALL SELECT task_id FROM journal WHERE seq > ? LIMIT ?`

// search finds the tasks that can have the words of the filter's text, if these
// are few. gap says that the index has missed a part of the journal.
func (l *listing) search(ctx context.Context, find *sql.Stmt, indexed int64, gap bool) error {
	if l.filter.Text == nil {
		return nil
	}
	match := searchExpression(*l.filter.Text)
	l.text = match != "" // every task matches a text without words
	if match == "" || gap || l.filter.IDs != nil {
		return nil
	}
	ids, err := texts(find.QueryContext(ctx, match, indexed, manyCandidates+1))
	if err == nil && len(ids) <= manyCandidates {
		l.candidates = append([]string{}, ids...)
	}
	return err
}

// searchExpression gives what FTS5 is asked for: words of text as the beginnings
// of words. It is "" for a text without words.
func searchExpression(text string) string {
	words := slices.Compact(slices.Sorted(schema.Words(text)))
	if len(words) == 0 {
		return ""
	}
	words = words[:min(len(words), manyWords)]
	return `"` + strings.Join(words, `"* "`) + `"*` // words are letters and digits
}

// indexStep lets the index read some events of the journal, in a transaction of
// its own. more says that there may be others. When events that it has not read
// are gone, it starts over with the present tasks.
func (d *DB) indexStep(ctx context.Context) (more bool, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	var oldest, oldestAt, newest, indexed int64
	err = d.write.oldest.QueryRowContext(ctx).Scan(&oldest, &oldestAt, &newest, &indexed)
	if err != nil || indexed >= newest {
		return false, err
	}
	if err := d.tryBegin(); err != nil {
		return false, err
	}
	if oldest == 0 || oldest > indexed+1 {
		err = d.indexAll()
	} else {
		more, err = d.indexSome(atOnce(indexAtOnce, newest-indexed))
	}
	if err == nil {
		err = d.commit()
	}
	if err != nil {
		d.rollback()
		return false, fmt.Errorf("feed the full-text index: %w", err)
	}
	d.files.seen(d.shm)
	return more, nil
}

// indexAll makes the index anew.
func (d *DB) indexAll() error {
	ctx := context.Background()
	if err := d.exec(`INSERT INTO search (search) VALUES ('delete-all'); DELETE FROM search_tasks`); err != nil {
		return err
	}
	ids, err := texts(d.writer.QueryContext(ctx, `SELECT id FROM tasks`))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := d.indexTask(id); err != nil {
			return err
		}
	}
	return d.exec(`UPDATE journal_state SET indexed = last_seq`)
}

// indexSome reads the next events.
func (d *DB) indexSome(limit int) (more bool, err error) {
	rows, err := d.write.unindexed.Query(limit)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	var last int64
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&last, &id); err != nil {
			return false, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	more = len(ids) == limit
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if err := d.indexTask(id); err != nil {
			return false, err
		}
	}
	_, err = d.write.setIndexed.Exec(last)
	return more, err
}

// indexTask brings the index to the present state of a task, which may be newer
// than the event that was read: then the newer event comes too, and changes nothing.
func (d *DB) indexTask(id string) error {
	var title string
	var description sql.NullString
	switch err := d.write.present.QueryRow(id).Scan(&title, &description); {
	case errors.Is(err, sql.ErrNoRows):
		return d.forget(id)
	case err != nil:
		return err
	}
	num, err := d.searchNum(id)
	if err != nil {
		return err
	}
	_, err = d.write.index.Exec(num, schema.JoinWords(title+" "+description.String))
	return err
}

// searchNum gives a task's row in the index, emptied or new.
func (d *DB) searchNum(id string) (num int64, err error) {
	err = d.write.searchNum.QueryRow(id).Scan(&num)
	if err == nil {
		_, err = d.write.removeSearch.Exec(num)
		return num, err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	added, err := d.write.addSearch.Exec(id)
	if err != nil {
		return 0, err
	}
	return added.LastInsertId()
}

// forget takes a task that is gone out of the index, if it is there.
func (d *DB) forget(id string) error {
	var num int64
	err := d.write.searchNum.QueryRow(id).Scan(&num)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = d.write.removeSearch.Exec(num)
	}
	if err == nil {
		_, err = d.write.removeTask.Exec(num)
	}
	return err
}
