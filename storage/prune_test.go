package storage

import (
	"context"
	"errors"
	"fmt"
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
