package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// board is a DB with the trivial model of it: all events that ever were.
type board struct {
	tb     rapid.TB
	db     *DB
	other  *sql.DB // another process
	now    int64
	events []schema.Event // events[i] has Seq i+1
}

func openBoard(tb rapid.TB, directory string, config Config) *board {
	tb.Helper()
	config.Path = filepath.Join(directory, "descartes.db")
	db, err := Open(context.Background(), config)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	other, err := sql.Open("sqlite", config.Path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		tb.Fatalf("%v", err)
	}
	other.SetMaxOpenConns(1)
	return &board{tb: tb, db: db, other: other, now: time.Now().UnixMilli()}
}

func (b *board) close() {
	if err := b.other.Close(); err != nil {
		b.tb.Errorf("%v", err)
	}
	if err := b.db.Close(); err != nil {
		b.tb.Errorf("%v", err)
	}
}

// apply makes changes; those that a rule refuses leave nothing.
func (b *board) apply(operations ...schema.Operation) {
	b.tb.Helper()
	changes := make([]schema.Change, 0, len(operations))
	for _, op := range operations {
		if err := op.Normalize(); err != nil {
			b.tb.Fatalf("%v", err)
		}
		changes = append(changes, schema.Change{At: b.now, Origin: schema.OriginRPC, Operations: []schema.Operation{op}})
	}
	if _, _, err := b.db.Apply(context.Background(), changes); err != nil {
		b.tb.Fatalf("%v", err)
	}
	b.learn()
}

// outside writes as another process does. A statement that is refused changes
// nothing.
func (b *board) outside(statement string, args ...any) {
	b.tb.Helper()
	_, _ = b.other.Exec(statement, args...)
	b.learn()
}

// learn takes what the journal has that the model does not know yet.
func (b *board) learn() {
	b.tb.Helper()
	for {
		events, err := b.db.Events(context.Background(), int64(len(b.events)), schema.MaxSeq, 1000)
		if err != nil {
			b.tb.Fatalf("%v", err)
		}
		if len(events) == 0 {
			return
		}
		b.events = append(b.events, events...)
	}
}

// at gives the documents that there were at a journal place, by id.
func (b *board) at(place int) map[string]json.RawMessage {
	documents := make(map[string]json.RawMessage)
	for _, e := range b.events[:place] {
		if e.ChangeType == schema.Deleted {
			delete(documents, e.TaskID)
		} else {
			documents[e.TaskID] = e.Task
		}
	}
	return documents
}

func (b *board) tasks() []*schema.Task {
	b.tb.Helper()
	var tasks []*schema.Task
	for document := range maps.Values(b.at(len(b.events))) {
		task, err := schema.ParseTask(document)
		if err != nil {
			b.tb.Fatalf("%v", err)
		}
		tasks = append(tasks, task)
	}
	return tasks
}

// change makes one random change, now and then as another process.
func (b *board) change(t *rapid.T) {
	b.now += int64(rapid.IntRange(0, 2).Draw(t, "later"))
	id := fmt.Sprint("t", rapid.IntRange(0, 15).Draw(t, "id"))
	title, status := rapid.SampledFrom(someTitles()).Draw(t, "title"), rapid.SampledFrom(schema.Statuses()).Draw(t, "status")
	priority := rapid.SampledFrom(schema.Priorities()).Draw(t, "priority")
	name := rapid.SampledFrom([]*string{nil, new("ann"), new("bob")}).Draw(t, "name")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1, 2, 3:
		b.apply(schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{
			ID: id, Title: title, Status: status, Priority: priority, AssignedTo: name, Description: name,
		}})
	case 4:
		b.apply(schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: id, Patch: schema.Patch{
			Title: schema.Some(title), Status: schema.Some(status),
		}}})
	case 5:
		b.apply(schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: id, Patch: schema.Patch{
			Priority: schema.Some(priority), Metadata: schema.Some(json.RawMessage(`{"b":1.0,"a":[]}`)),
		}}})
	case 6, 7:
		b.apply(schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id}})
	case 8:
		b.outside(`INSERT OR REPLACE INTO tasks (id, title, status, assigned_to) VALUES (?, ?, ?, ?)`, id, title, status, name)
	case 9:
		b.outside(`DELETE FROM tasks WHERE id = ?`, id)
	}
}

func someTitles() []string {
	return []string{"fix the bug", "Fixing Kelvin \u212a", "bugs", "n1 N2.n3", "日本 語", "ÜBUNG übt", "..."}
}

func openTestBoard(t *testing.T, config Config) *board {
	t.Helper()
	b := openBoard(t, t.TempDir(), config)
	t.Cleanup(b.close)
	return b
}
