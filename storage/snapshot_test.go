package storage

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// TestTasksAtIsThePast compares the pages of TasksAt, between which changes are
// made, with what the events up to that place say.
func TestTasksAtIsThePast(t *testing.T) {
	oneGoroutine(t)
	rapid.Check(t, func(t *rapid.T) {
		directory, err := os.MkdirTemp("", "tasksat")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(directory)
		b := openBoard(t, directory, Config{})
		defer b.close()
		changes := rapid.IntRange(0, 20)
		for range changes.Draw(t, "changes before") {
			b.change(t)
		}
		at := rapid.IntRange(0, len(b.events)).Draw(t, "at")
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		documents := b.at(at)
		var got []string
		for after := ""; ; {
			page, err := b.db.TasksAt(t.Context(), int64(at), after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("%d tasks in a page of %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			for _, document := range page {
				got = append(got, canonical(t, document))
			}
			after = idOf(t, page[len(page)-1])
			for range changes.Draw(t, "changes between") {
				b.change(t)
			}
		}
		var want []string
		for _, id := range slices.Sorted(maps.Keys(documents)) {
			want = append(want, canonical(t, documents[id]))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("at %d: got\n%q\nwant\n%q", at, got, want)
		}
	})
}

// canonical gives a document as Go writes it: SQLite writes some characters in
// another of the ways that JSON has.
func canonical(tb rapid.TB, document json.RawMessage) string {
	task, err := schema.ParseTask(document)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return string(task.AppendJSON(nil))
}

func idOf(tb rapid.TB, document json.RawMessage) string {
	task, err := schema.ParseTask(document)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return task.ID
}

func TestTasksAtCompacted(t *testing.T) {
	b := openTestBoard(t, Config{RetainEvents: 2})
	for _, id := range []string{"a", "b", "c", "d"} {
		b.apply(schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: id, Title: id}})
	}
	b.tidy()
	if _, err := b.db.TasksAt(t.Context(), 1, "", 10); !errors.Is(err, schema.ErrCompacted) {
		t.Errorf("TasksAt before what is retained: %v", err)
	}
	if page, err := b.db.TasksAt(t.Context(), 2, "", 10); len(page) != 2 || err != nil {
		t.Errorf("TasksAt at the oldest place: %s, %v", page, err)
	}
}
