package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// observer is a subscriber and all that it was told.
type observer struct {
	name      string
	params    schema.SubscribeParams
	follow    func(o *observer, ctx context.Context, r *crashRun) error
	check     func(t *testing.T, f *file, o *observer, end int64)
	seen      []record // a zero one where a connection was made without resuming
	view      map[string]int64
	connected int
	end       int64 // seq of the last write, 0: not yet known
}

func crashObservers() []*observer {
	start, now := new(schema.SinceStart), new(int64(0))
	return []*observer{
		{
			name: "everything", params: schema.SubscribeParams{Since: start, DebounceMS: now},
			follow: (*observer).reconnect, check: sawEverything,
		},
		{
			name: "by hand", params: schema.SubscribeParams{Since: start, DebounceMS: now},
			follow: (*observer).byHand, check: sawEverything,
		},
		{
			name: "done only", follow: (*observer).reconnect, check: sawDone,
			params: schema.SubscribeParams{Since: start, DebounceMS: now, Filter: &schema.EventFilter{
				Filter: schema.Filter{Status: []schema.Status{schema.Done}},
			}},
		},
		{
			name: "debounced", params: schema.SubscribeParams{Since: start, DebounceMS: new(int64(30))},
			follow: (*observer).reconnect, check: sawFolds,
		},
		{
			name: "batches", follow: (*observer).reconnect, check: sawEverything,
			params: schema.SubscribeParams{Since: start, DebounceMS: now, Batch: &schema.Batch{Max: 50, WaitMS: 5}},
		},
		{
			name: "snapshot", params: schema.SubscribeParams{Snapshot: new(true), DebounceMS: now},
			follow: (*observer).reconnect, check: sawTheTasks,
		},
		{
			name: "from now on", params: schema.SubscribeParams{DebounceMS: now},
			follow: (*observer).again, check: sawRuns,
		},
	}
}

func (o *observer) run(ctx context.Context, r *crashRun) {
	o.view = make(map[string]int64)
	if err := o.follow(o, ctx, r); err != nil && r.t.Context().Err() == nil {
		r.t.Errorf("%s, which has %d events up to %d: %v", o.name, len(o.seen), o.last(), err)
	}
}

// take notes an event, and tells whether everything has been seen.
func (o *observer) take(e *schema.Event) (over bool) {
	switch e.ChangeType {
	case schema.Bookmark:
	case schema.Resync:
		clear(o.view)
	case schema.Snapshot:
		o.view[e.TaskID] = e.Seq
	default:
		o.seen = append(o.seen, recordOf(e))
		if e.ChangeType == schema.Deleted {
			delete(o.view, e.TaskID)
		} else if e.Seq > o.view[e.TaskID] {
			o.view[e.TaskID] = e.Seq
		}
		if e.ChangeType == schema.Created && titleOf(e) == endMark {
			o.end = e.Seq
		}
	}
	if o.end == 0 {
		return false
	}
	cursor, err := schema.ParseCursor("cursor", e.Cursor)
	return err == nil && cursor.Seq >= o.end
}

// reconnect leaves it to the client to resume.
func (o *observer) reconnect(ctx context.Context, r *crashRun) error {
	options := kit.Reconnecting()
	options.Reconnected = func() { o.connected++ }
	c, err := persist(ctx, func() (*client.Client, error) {
		r.running()
		return client.Dial(ctx, r.url(), options)
	})
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := persist(ctx, func() (*client.Subscription, error) { return c.Subscribe(ctx, o.params) })
	if err != nil {
		return err
	}
	o.connected++
	for event, err := range s.Events(ctx) {
		if err != nil || o.take(&event) {
			return err
		}
	}
	return nil
}

// byHand keeps the cursor, and resumes with it over a new connection.
func (o *observer) byHand(ctx context.Context, r *crashRun) error {
	params := o.params
	for {
		over, err := o.once(ctx, r, params, func(e *schema.Event) {
			if e.Cursor != "" {
				params.Since = &e.Cursor
			}
		})
		if over || err != nil {
			return err
		}
	}
}

// again subscribes anew whenever the connection is lost.
func (o *observer) again(ctx context.Context, r *crashRun) error {
	for {
		o.seen = append(o.seen, record{})
		if over, err := o.once(ctx, r, o.params, func(*schema.Event) {}); over || err != nil {
			return err
		}
	}
}

// once follows a subscription until the connection is lost.
func (o *observer) once(ctx context.Context, r *crashRun, params schema.SubscribeParams, taken func(*schema.Event)) (over bool, _ error) {
	r.running()
	c, err := client.Dial(ctx, r.url(), client.Options{})
	if err != nil {
		return false, unlessLost(err)
	}
	defer c.Close()
	s, err := c.Subscribe(ctx, params)
	if err != nil {
		return false, unlessLost(err)
	}
	o.connected++
	for event, err := range s.Events(ctx) {
		if err != nil {
			return false, unlessLost(err)
		}
		over = o.take(&event)
		taken(&event)
		if over {
			break
		}
	}
	return over, nil
}

// unlessLost drops the errors that a killed daemon leads to.
func unlessLost(err error) error {
	if errors.Is(err, client.ErrDisconnected) || errors.Is(err, client.ErrUnreachable) {
		return nil
	}
	return err
}

// same reports an event that the journal does not have just so.
func (o *observer) same(t *testing.T, f *file, seen *record) *record {
	t.Helper()
	journaled := f.at(seen.seq)
	if journaled == nil || journaled.sum != seen.sum || seen.coalesced == 1 && o.exact() && journaled.before != seen.before {
		t.Errorf("%s saw %+v, which the journal does not have: %+v", o.name, seen, journaled)
		return nil
	}
	return journaled
}

// exact tells whether what was before a change is the journal's, not the
// subscriber's.
func (o *observer) exact() bool { return *o.params.DebounceMS == 0 }

// sawExactly compares what a subscriber saw with what it should have.
func sawExactly(t *testing.T, f *file, o *observer, end int64, wanted func(*record) bool) {
	t.Helper()
	next := 0
	for i := range f.records {
		r := &f.records[i]
		if !wanted(r) || r.seq > end {
			continue
		}
		if next == len(o.seen) || o.seen[next].seq != r.seq {
			t.Errorf("%s has %d events, and not event %d as its number %d", o.name, len(o.seen), r.seq, next)
			return
		}
		if o.same(t, f, &o.seen[next]) == nil {
			return
		}
		next++
	}
	if next != len(o.seen) {
		t.Errorf("%s has %d events, %d more than it should", o.name, len(o.seen), len(o.seen)-next)
	}
}

func sawEverything(t *testing.T, f *file, o *observer, end int64) {
	t.Helper()
	sawExactly(t, f, o, end, func(*record) bool { return true })
}

func sawDone(t *testing.T, f *file, o *observer, end int64) {
	t.Helper()
	sawExactly(t, f, o, end, func(r *record) bool { return r.previousStatus == schema.Done || r.newStatus == schema.Done })
	for i := range o.seen {
		r := &o.seen[i]
		if left := r.newStatus != schema.Done && r.changeType != schema.Deleted; r.left != left {
			t.Errorf("%s: event %d has left %v", o.name, r.seq, r.left)
		}
	}
}

// sawFolds checks that the events of each task, with the numbers of changes that
// they stand for, leave out none, and that the last one is the last state. After a
// resume a fold may count changes that had been delivered before the connection
// was lost: never fewer.
func sawFolds(t *testing.T, f *file, o *observer, end int64) {
	t.Helper()
	place := make(map[int64]int) // seq -> the how manieth change of its task
	count := make(map[string]int)
	for i := range f.records {
		count[f.records[i].taskID]++
		place[f.records[i].seq] = count[f.records[i].taskID]
	}
	delivered := make(map[string]int)
	again := 0
	for i := range o.seen {
		seen := &o.seen[i]
		if o.same(t, f, seen) == nil {
			return
		}
		at, before := place[seen.seq], delivered[seen.taskID]
		if at <= before || at-seen.coalesced > before {
			t.Errorf("%s: event %d, change %d of its task, stands for %d changes after %d", o.name, seen.seq, at, seen.coalesced, before)
		}
		again += before - (at - seen.coalesced)
		delivered[seen.taskID] = at
	}
	for id, n := range count {
		if delivered[id] != n {
			t.Errorf("%s has %d of the %d changes of %s", o.name, delivered[id], n, id)
		}
	}
	t.Logf("%s: %d changes in %d events, %d counted again after a resume", o.name, len(f.records), len(o.seen), again)
}

// sawTheTasks checks that the view that a subscriber keeps is the table.
func sawTheTasks(t *testing.T, f *file, o *observer, _ int64) {
	t.Helper()
	for i := range o.seen {
		if o.same(t, f, &o.seen[i]) == nil {
			return
		}
	}
	if len(o.view) != len(f.tasks) {
		t.Errorf("%s has %d tasks, there are %d", o.name, len(o.view), len(f.tasks))
	}
	for id, task := range f.tasks {
		if o.view[id] != task.version {
			t.Errorf("%s has %s at version %d, it is at %d", o.name, id, o.view[id], task.version)
		}
	}
}

// sawRuns checks that there is no gap as long as a connection lasts.
func sawRuns(t *testing.T, f *file, o *observer, _ int64) {
	t.Helper()
	var last int64
	for i := range o.seen {
		seen := &o.seen[i]
		if seen.seq == 0 {
			last = 0
			continue
		}
		if o.same(t, f, seen) == nil {
			return
		}
		if last != 0 && seen.seq != last+1 {
			t.Errorf("%s: event %d comes after %d", o.name, seen.seq, last)
		}
		last = seen.seq
	}
}
