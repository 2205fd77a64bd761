package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// tidy indexes and prunes all that there is to index and prune.
func (b *board) tidy() {
	b.tb.Helper()
	b.index()
	for more := true; more; {
		var err error
		if more, err = b.db.pruneStep(context.Background()); err != nil {
			b.tb.Fatalf("%v", err)
		}
	}
}

func (b *board) create(n int) {
	b.tb.Helper()
	var operations []schema.Operation
	for i := range n {
		id := fmt.Sprint("n", len(b.events)+i)
		operations = append(operations, schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: id, Title: id}})
	}
	b.apply(operations...)
}

func (b *board) wantBounds(oldest, newest int64) {
	b.tb.Helper()
	bounds, err := b.db.Bounds(context.Background())
	if err != nil || bounds.Oldest != oldest || bounds.Newest != newest {
		b.tb.Errorf("bounds are %+v, %v, want %d to %d", bounds, err, oldest, newest)
	}
}

func TestPruneByNumber(t *testing.T) {
	b := openTestBoard(t, Config{RetainEvents: 10})
	b.create(1300)
	b.tidy()
	b.wantBounds(1291, 1300)
	b.tidy()
	b.wantBounds(1291, 1300)
}

func TestPruneByAge(t *testing.T) {
	now := time.Now()
	b := openTestBoard(t, Config{RetainFor: time.Hour, Now: func() time.Time { return now }})
	b.now = now.Add(-2 * time.Hour).UnixMilli()
	b.create(3)
	b.now = now.UnixMilli()
	b.create(3)
	b.tidy()
	b.wantBounds(4, 6)
	if _, err := b.db.Events(t.Context(), 2, 6, 10); !errors.Is(err, schema.ErrCompacted) {
		t.Errorf("events after a pruned place: %v", err)
	}
	if _, _, err := b.db.History(t.Context(), "n0", 2, 10); !errors.Is(err, schema.ErrCompacted) {
		t.Errorf("history after a pruned place: %v", err)
	}
	if events, more, err := b.db.History(t.Context(), "", 3, 2); len(events) != 2 || !more || err != nil {
		t.Errorf("history: %v, %t, %v", events, more, err)
	}
	if events, more, err := b.db.History(t.Context(), "n4", 3, 1); len(events) != 1 || more || err != nil {
		t.Errorf("history of a task: %v, %t, %v", events, more, err)
	}
	if events, more, err := b.db.HistoryBefore(t.Context(), "", 5, 2); len(events) != 2 || events[1].Seq != 4 || more || err != nil {
		t.Errorf("history backwards to the oldest event: %v, %t, %v", events, more, err)
	}
	if events, more, err := b.db.HistoryBefore(t.Context(), "", 3, 2); len(events) != 0 || more || err != nil {
		t.Errorf("history before the oldest event: %v, %t, %v", events, more, err)
	}
}

// TestPruneEverything: the whole journal may go, and the next event still gets
// the next seq.
func TestPruneEverything(t *testing.T) {
	now := time.Now()
	b := openTestBoard(t, Config{RetainFor: time.Minute, Now: func() time.Time { return now.Add(time.Hour) }})
	b.create(3)
	b.tidy()
	b.wantBounds(4, 3)
	if events, err := b.db.Events(t.Context(), 3, 10, 10); len(events) > 0 || err != nil {
		t.Errorf("events after the newest place: %v, %v", events, err)
	}
	if page, err := b.db.TasksAt(t.Context(), 3, "", 10); len(page) != 3 || err != nil {
		t.Errorf("tasks at the newest place: %v, %v", page, err)
	}
	b.create(1)
	b.wantBounds(4, 4)
}

// The journal is pruned while somebody writes without a pause, as far as the full-text
// index has read it, although that never comes to its end then.
func TestPruneWhileWriting(t *testing.T) {
	d, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "test.db"), RetainEvents: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const most = 80_000 // events; two seconds after the first the index is thousands behind
	for n := 0; n < most; {
		changes := make([]schema.Change, 64)
		for i := range changes {
			op := create(fmt.Sprint("t", n))
			op.Create.Description = new("some more words for the index to read")
			changes[i] = change(op)
			n++
		}
		if _, _, err := d.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		bounds, err := d.Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if bounds.Oldest > 1 {
			return
		}
	}
	t.Errorf("nothing is pruned after %d events", most)
}

// The index and the pruning that are far behind take more at a time.
func TestFarBehind(t *testing.T) {
	d, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "test.db"), RetainEvents: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.writing.Lock()
	err = d.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 102000)
		INSERT INTO journal (` + eventColumns + `)
		SELECT i, 'x', 'deleted', '{}', 'todo', NULL, NULL, NULL, NULL, 'rpc', NULL, 0, NULL, 0 FROM n;
		UPDATE journal_state SET last_seq = 102000`)
	d.writing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func(context.Context) (bool, error){d.indexStep, d.pruneStep} {
		if _, err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var indexed, oldest int64
	if err := d.readers.QueryRow(`SELECT indexed, (SELECT min(seq) FROM journal) FROM journal_state`).Scan(&indexed, &oldest); err != nil {
		t.Fatal(err)
	}
	if indexed < 10*indexAtOnce || oldest <= 10*indexAtOnce {
		t.Errorf("the index has read up to %d, the journal begins at %d", indexed, oldest)
	}
}
