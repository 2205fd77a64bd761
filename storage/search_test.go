package storage

import (
	"context"
	"errors"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// index feeds the full-text index all that there is.
func (b *board) index() {
	b.tb.Helper()
	for more := true; more; {
		var err error
		if more, err = b.db.indexStep(context.Background()); err != nil {
			b.tb.Fatalf("%v", err)
		}
	}
}

// loseJournal deletes the journal behind the back of the index, as pruning never
// does.
func (b *board) loseJournal() {
	b.tb.Helper()
	if _, err := b.other.Exec(`DELETE FROM journal`); err != nil {
		b.tb.Fatalf("%v", err)
	}
}

// wantIndexed checks how many tasks the index has for an FTS5 expression, and in
// all: nothing of a task that is gone stays.
func (b *board) wantIndexed(expression string, want, all int) {
	b.tb.Helper()
	var got, rows, words int
	err := b.other.QueryRow(`SELECT (SELECT count(*) FROM search WHERE search MATCH ?),
		(SELECT count(*) FROM search_tasks), (SELECT count(*) FROM search_docsize)`, expression).Scan(&got, &rows, &words)
	if err != nil || got != want || rows != all || words != all {
		b.tb.Errorf("index has %d of %s and %d, %d rows, want %d and %d: %v", got, expression, rows, words, want, all, err)
	}
}

func TestIndexFollowsJournal(t *testing.T) {
	b := openTestBoard(t, Config{})
	b.create(450)
	b.index()
	b.wantIndexed(`"n44"*`, 11, 450)

	b.outside(`UPDATE tasks SET title = 'other', description = 'Straße' WHERE id = 'n44'`)
	b.outside(`INSERT OR REPLACE INTO tasks (id, title) VALUES ('n440', 'replaced')`)
	b.outside(`DELETE FROM tasks WHERE id >= 'n441' AND id <= 'n445'`)
	b.index()
	b.wantIndexed(`"n44"*`, 4, 445)
	b.wantIndexed(`"strasse"`, 0, 445)
	b.wantIndexed(`"straße"`, 1, 445)
	b.wantIndexed(`"replaced"`, 1, 445)
}

func TestIndexStartsOver(t *testing.T) {
	b := openTestBoard(t, Config{})
	b.create(3)
	b.index()
	b.outside(`DELETE FROM tasks WHERE id = 'n0'`)
	b.outside(`UPDATE tasks SET title = 'other' WHERE id = 'n1'`)
	b.loseJournal()
	b.index()
	b.wantIndexed(`"n"*`, 1, 2)
	b.wantIndexed(`"other"`, 1, 2)
	b.create(1)
	b.index()
	b.wantIndexed(`"n"*`, 2, 3)
}

func TestGet(t *testing.T) {
	b := openTestBoard(t, Config{})
	b.create(1)
	if document, err := b.db.Get(t.Context(), "n0"); err != nil || idOf(t, document) != "n0" {
		t.Errorf("Get: %s, %v", document, err)
	}
	if document, err := b.db.Get(t.Context(), "N0"); !errors.Is(err, schema.NotFound("")) {
		t.Errorf("Get of no task: %s, %v", document, err)
	}
}

func TestStats(t *testing.T) {
	b := openTestBoard(t, Config{})
	b.create(2)
	b.outside(`UPDATE tasks SET status = 'done' WHERE id = 'n0'`)
	stats, err := b.db.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text(stats.Tasks) != `{"blocked":0,"done":1,"in_progress":0,"todo":1}` || stats.Events != 3 ||
		stats.Bytes < 4096 {
		t.Errorf("%+v", stats)
	}
}
