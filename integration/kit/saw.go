package kit

import (
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// same reports an event that the journal does not have just so.
func (o *Observer) same(t *testing.T, f *File, seen *Record) *Record {
	t.Helper()
	journaled := f.At(seen.Seq)
	if journaled == nil || journaled.Sum != seen.Sum || seen.Coalesced == 1 && o.exact() && journaled.Before != seen.Before {
		t.Errorf("%s saw %+v, which the journal does not have: %+v", o.Name, seen, journaled)
		return nil
	}
	return journaled
}

// exact tells whether what was before a change is the journal's, not the
// subscriber's.
func (o *Observer) exact() bool { return *o.Params.DebounceMS == 0 }

// SawExactly compares what a subscriber saw with what it should have.
func SawExactly(t *testing.T, f *File, o *Observer, end int64, wanted func(*Record) bool) {
	t.Helper()
	next := 0
	for i := range f.Records {
		r := &f.Records[i]
		if !wanted(r) || r.Seq > end {
			continue
		}
		if next == len(o.Seen) || o.Seen[next].Seq != r.Seq {
			t.Errorf("%s has %d events, and not event %d as its number %d", o.Name, len(o.Seen), r.Seq, next)
			return
		}
		if o.same(t, f, &o.Seen[next]) == nil {
			return
		}
		next++
	}
	if next != len(o.Seen) {
		t.Errorf("%s has %d events, %d more than it should", o.Name, len(o.Seen), len(o.Seen)-next)
	}
}

func sawEverything(t *testing.T, f *File, o *Observer, end int64) {
	t.Helper()
	SawExactly(t, f, o, end, func(*Record) bool { return true })
}

func sawDone(t *testing.T, f *File, o *Observer, end int64) {
	t.Helper()
	SawExactly(t, f, o, end, func(r *Record) bool { return r.PreviousStatus == schema.Done || r.NewStatus == schema.Done })
	for i := range o.Seen {
		r := &o.Seen[i]
		if left := r.NewStatus != schema.Done && r.ChangeType != schema.Deleted; r.Left != left {
			t.Errorf("%s: event %d has left %v", o.Name, r.Seq, r.Left)
		}
	}
}

// sawFolds checks that the events of each task, with the numbers of changes that
// they stand for, leave out none, and that the last one is the last state. After a
// resume a fold may count changes that had been delivered before the connection
// was lost: never fewer.
func sawFolds(t *testing.T, f *File, o *Observer, end int64) {
	t.Helper()
	place := make(map[int64]int) // seq -> the how manieth change of its task
	count := make(map[string]int)
	for i := range f.Records {
		count[f.Records[i].TaskID]++
		place[f.Records[i].Seq] = count[f.Records[i].TaskID]
	}
	delivered := make(map[string]int)
	again := 0
	for i := range o.Seen {
		seen := &o.Seen[i]
		if o.same(t, f, seen) == nil {
			return
		}
		at, before := place[seen.Seq], delivered[seen.TaskID]
		if at <= before || at-seen.Coalesced > before {
			t.Errorf("%s: event %d, change %d of its task, stands for %d changes after %d", o.Name, seen.Seq, at, seen.Coalesced, before)
		}
		again += before - (at - seen.Coalesced)
		delivered[seen.TaskID] = at
	}
	for id, n := range count {
		if delivered[id] != n {
			t.Errorf("%s has %d of the %d changes of %s", o.Name, delivered[id], n, id)
		}
	}
	t.Logf("%s: %d changes in %d events, %d counted again after a resume", o.Name, len(f.Records), len(o.Seen), again)
}

// sawTheTasks checks that the view that a subscriber keeps is the table.
func sawTheTasks(t *testing.T, f *File, o *Observer, _ int64) {
	t.Helper()
	for i := range o.Seen {
		if o.same(t, f, &o.Seen[i]) == nil {
			return
		}
	}
	if len(o.view) != len(f.Tasks) {
		t.Errorf("%s has %d tasks, there are %d", o.Name, len(o.view), len(f.Tasks))
	}
	for id, task := range f.Tasks {
		if o.view[id] != task.version {
			t.Errorf("%s has %s at version %d, it is at %d", o.Name, id, o.view[id], task.version)
		}
	}
}

// sawRuns checks that there is no gap as long as a connection lasts.
func sawRuns(t *testing.T, f *File, o *Observer, _ int64) {
	t.Helper()
	var last int64
	for i := range o.Seen {
		seen := &o.Seen[i]
		if seen.Seq == 0 {
			last = 0
			continue
		}
		if o.same(t, f, seen) == nil {
			return
		}
		if last != 0 && seen.Seq != last+1 {
			t.Errorf("%s: event %d comes after %d", o.Name, seen.Seq, last)
		}
		last = seen.Seq
	}
}
