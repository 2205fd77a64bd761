package storage

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// drafts hands out what operations would create.
func drafts(operations ...schema.Operation) iter.Seq2[*schema.Draft, error] {
	return func(yield func(*schema.Draft, error) bool) {
		for _, op := range operations {
			if !yield(op.Create, nil) {
				return
			}
		}
	}
}

// mustImport imports tasks and tells of what became of them.
func mustImport(t *testing.T, d *DB, conflict Conflict, operations ...schema.Operation) Imported {
	t.Helper()
	done, err := d.Import(t.Context(), drafts(operations...), conflict)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// withStatus makes a task in another column of the board.
func withStatus(status schema.Status, op schema.Operation) schema.Operation {
	op.Create.Status = status
	return op
}

// What is imported is journaled like what clients create.
func TestImport(t *testing.T) {
	d := newDB(t)
	do(t, d, create("there"))
	done := mustImport(t, d, ConflictRefuse,
		withStatus(schema.Done, createdAt(7, "a")), createdAt(5, "b", "a"), create("c", "b", "there"))
	same(t, "result", done, Imported{Created: 3})
	same(t, "events", log(t, d, 1), "2 created a >done\n3 created b >todo\n4 created c >todo")
	for _, e := range mustEvents(t, d, 1) {
		if e.Origin != schema.OriginRPC || e.Source != 0 || e.TxLast != 0 {
			t.Errorf("event %+v", e)
		}
	}
	same(t, "created_at", []int64{task(t, d, "a").CreatedAt, task(t, d, "b").CreatedAt}, []int64{7, 5})
	same(t, "ready", []bool{task(t, d, "b").Ready, task(t, d, "c").Ready}, []bool{true, false})
}

// One that is refused leaves nothing of all.
func TestImportAllOrNothing(t *testing.T) {
	d := newDB(t)
	do(t, d, create("there"))
	failed := errors.New("cannot be read")
	for what, test := range map[string]struct {
		drafts iter.Seq2[*schema.Draft, error]
		want   error
	}{
		"a task that is there": {drafts(create("a"), create("there")), schema.Exists("", nil)},
		"unknown dependency":   {drafts(create("a"), create("b", "none")), schema.UnknownDependency("")},
		"itself":               {drafts(create("a"), create("b", "b")), schema.DependencyCycle(nil)},
		"error of the source": {func(yield func(*schema.Draft, error) bool) {
			_ = yield(create("a").Create, nil) && yield(nil, failed)
		}, failed},
	} {
		done, err := d.Import(t.Context(), test.drafts, ConflictRefuse)
		if !errors.Is(err, test.want) || done != (Imported{}) {
			t.Errorf("%s: %+v, %v", what, done, err)
		}
		same(t, what, log(t, d, 1), "")
	}
	ctx, cancel := context.WithCancel(t.Context())
	interrupted := func(yield func(*schema.Draft, error) bool) {
		_ = yield(create("a").Create, nil)
		cancel()
		_ = yield(create("b").Create, nil)
	}
	if _, err := d.Import(ctx, interrupted, ConflictRefuse); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	do(t, d, create("a"))
	same(t, "events", log(t, d, 1), "2 created a >todo")
}

func TestImportConflicts(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"), create("b", "a"), create("same"))
	again := create("a")
	again.Create.Title, again.Create.Metadata, again.Create.CreatedAt = "else", []byte(`{"k":1}`), new(int64(3))
	same(t, "skipped", mustImport(t, d, ConflictSkip, again, create("new", "a")), Imported{Created: 1, Kept: 1})
	same(t, "events", log(t, d, 3), "4 created new >todo")

	// What replaces a task is an update of every field, and others turn with it.
	same(t, "replaced", mustImport(t, d, ConflictReplace, withStatus(schema.Done, again), create("same"), create("new2")),
		Imported{Created: 1, Replaced: 1, Kept: 1})
	same(t, "events", log(t, d, 4),
		"5 updated a todo>done {\"title\":\"task a\",\"status\":\"todo\",\"metadata\":{},\"ready\":true}\n"+
			"6 updated b todo>todo {\"ready\":false}\n7 updated new todo>todo {\"ready\":false}\n8 created new2 >todo")
	if got := task(t, d, "a"); got.CreatedAt != at || string(got.Metadata) != `{"k":1}` {
		t.Errorf("replaced by %+v", got)
	}
	_, err := d.Import(t.Context(), drafts(create("a", "b")), ConflictReplace)
	if coded, ok := errors.AsType[*schema.Error](err); !ok || !slices.Equal(coded.Data.Path, []string{"a", "b", "a"}) {
		t.Errorf("a cycle: %v", err)
	}
}

// A full disk refuses the whole import, and says so.
func TestImportDiskFull(t *testing.T) {
	d := newDB(t)
	if err := d.exec("PRAGMA max_page_count = " + rows(t, d.readers, "PRAGMA page_count")[0]); err != nil {
		t.Fatal(err)
	}
	_, err := d.Import(t.Context(), drafts(create("a"), large("b"), large("c")), ConflictRefuse)
	if schema.CodeOf(err) != schema.CodeStorageUnavailable || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("got %v", err)
	}
	if err := d.exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	same(t, "events", log(t, d, 0), "")
	mustImport(t, d, ConflictRefuse, create("a"), large("b"), large("c"))
}
