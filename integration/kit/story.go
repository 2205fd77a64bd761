package kit

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// Story counts what the journal tells of claims.
type Story struct {
	Claims, Done    int
	Expired, Broken int // leases that ran out, and that ended before: with their connection
	Returned        int // that nobody was ever told of
}

// ClockTolerance is what two looks at the clock may differ by.
const ClockTolerance = 5 * time.Millisecond

// RequireStory checks the journal of workers: each claim is of a ready task that
// nobody holds and ends before the next one, who writes under a claim has it at that
// moment, each task is done once, no lease ends before it was promised to, and all of it
// is what the workers were told.
func RequireStory(t *testing.T, events []schema.Event, l *Ledger) (s Story) {
	t.Helper()
	world, claimedAt, doneBy := make(Replay), make(map[string]int64), make(map[string]string)
	for i := range events {
		e := &events[i]
		before, after := world.Take(t, e)
		if e.ChangeType != schema.Updated {
			continue
		}
		if after.By != before.By && after.By != before.Holder() {
			t.Errorf("event %d: written under the claim of %s while %q holds %s", e.Seq, after.By, before.Holder(), e.TaskID)
		}
		switch was, is := before.Holder(), after.Holder(); {
		case was == "" && is != "":
			s.Claims++
			if claimedAt[is] != 0 || !before.Ready || after.Status != schema.InProgress || after.AssignedTo == nil || *after.AssignedTo != is {
				t.Errorf("event %d: %s claims %+v, and has %+v", e.Seq, is, before.Task, after.Task)
			}
			claimedAt[is] = e.Timestamp
		case was != is && is != "":
			t.Errorf("event %d: %s and %s hold %s", e.Seq, was, is, e.TaskID)
		case was != is && e.Origin == schema.OriginLease:
			requireEndedInTime(t, e, after, was, claimedAt[was], l, &s)
		case was == is && after.Status != schema.InProgress || before.Status == schema.Done:
			t.Errorf("event %d: nobody may do this: %s", e.Seq, e.Task)
		case after.Status == schema.Done:
			if after.By != was {
				t.Errorf("event %d: %s is done by %s while %s holds it", e.Seq, e.TaskID, after.By, was)
			}
			doneBy[e.TaskID] = was
			s.Done++
		}
	}
	requireTold(t, doneBy, l)
	return s
}

// requireEndedInTime checks the end of a lease that nobody asked for.
func requireEndedInTime(t *testing.T, e *schema.Event, after *Replayed, holder string, claimedAt int64, l *Ledger, s *Story) {
	t.Helper()
	if after.Status != schema.Todo || after.AssignedTo != nil || !after.Ready {
		t.Errorf("event %d: a lease ends, and leaves %s", e.Seq, e.Task)
	}
	promised := max(claimedAt+schema.MinLeaseMS, l.Promised[holder])
	early := time.Duration(promised-e.Timestamp) * time.Millisecond
	switch {
	case early <= cmp.Or(l.Tolerance, ClockTolerance):
		s.Expired++
	case strings.HasSuffix(holder, Bound):
		s.Broken++
	case l.Promised[holder] == 0:
		s.Returned++ // the connection was gone before it could be told
	default:
		t.Errorf("event %d: the lease of %s ends %v before its time", e.Seq, holder, early)
	}
}

// requireTold compares the journal with what the workers were told.
func requireTold(t *testing.T, doneBy map[string]string, l *Ledger) {
	t.Helper()
	finishers := make(map[string]bool)
	for _, holder := range doneBy {
		finishers[holder] = true
		if l.Lost[holder] {
			t.Errorf("%s was told that it had lost its claim, and its task is done by it", holder)
		}
	}
	for holder := range l.Finished {
		if !finishers[holder] {
			t.Errorf("%s was told that its task is done, which the journal does not know", holder)
		}
	}
}
