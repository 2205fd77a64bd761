package emitter

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// leaseRetry is how long the emitter waits before it tries again to end a lease, or
// to read leases, after the journal could not be used.
const leaseRetry = time.Second

// maxGone is how many connections are remembered that are gone, and of which a claim may
// show up that ends with them. Past it the first one is forgotten: its lease ends by time.
const maxGone = 10_000

// leases are the claims that the emitter ends when their time is over: those of its own
// commits, and those of other daemons on the same journal, which it reads whenever
// they may have committed, so that each of them can end all.
//
// How long a lease has left is told by the time that passes, not by the clock: a clock
// that is set, or a machine that sleeps, takes no task away from whoever works on it.
// What ends a lease is a Change that names its token and its end, which does nothing
// if it comes too late. All of this is owned by the writing goroutine.
type leases struct {
	byTask map[string]*lease
	bound  map[int64]map[*lease]struct{} // those of byTask that end with a connection, by that
	ending leaseHeap                     // all of byTask, the next to end in front
	read   int64                         // Num of the newest that was read
	behind bool                          // the journal could not be read
	rest   time.Time                     // until when none is tried to end, because the journal refused

	unknown map[int64]bool // connections with which a claim may end that was perhaps made; true: gone
	gone    []int64        // of those, in the order in which they went
}

// lease is one claim.
type lease struct {
	schema.Lease
	end    time.Time // when the time that it has is over
	broken bool      // its connection is gone: it ends whatever was renewed
	place  int       // in the heap
}

// leftOf gives how long a lease has yet, by the clock: at most its length.
func leftOf(stored *schema.Lease, clock time.Time) time.Duration {
	return min(max(time.UnixMilli(stored.ExpiresAt).Sub(clock), 0), lengthOf(stored))
}

func lengthOf(stored *schema.Lease) time.Duration {
	return time.Duration(stored.LengthMS) * time.Millisecond
}

// add takes a lease as the journal has it, unless it is known, and how long it has yet.
func (l *leases) add(stored schema.Lease, now time.Time, left time.Duration) {
	known := l.byTask[stored.TaskID]
	if known != nil && known.Num >= stored.Num {
		return
	}
	l.forget(known)
	one := &lease{Lease: stored, end: now.Add(left)}
	renewed := known != nil && known.Token == stored.Token
	if one.broken = stored.Orphaned || renewed && known.broken || l.unknown[stored.Source]; one.broken {
		one.end = now // a renewal brings no connection back
	}
	l.byTask[stored.TaskID] = one
	l.bind(one)
	heap.Push(&l.ending, one)
}

// forget takes a lease out, if it is still the one of its task.
func (l *leases) forget(one *lease) {
	if one != nil && l.byTask[one.TaskID] == one {
		delete(l.byTask, one.TaskID)
		if delete(l.bound[one.Source], one); len(l.bound[one.Source]) == 0 {
			delete(l.bound, one.Source)
		}
		heap.Remove(&l.ending, one.place)
	}
}

// bind remembers the connection with which a lease ends, if there is one.
func (l *leases) bind(one *lease) {
	if one.Source == 0 {
		return
	}
	if l.bound == nil {
		l.bound = make(map[int64]map[*lease]struct{})
	}
	if l.bound[one.Source] == nil {
		l.bound[one.Source] = make(map[*lease]struct{})
	}
	l.bound[one.Source][one] = struct{}{}
}

// postpone lets a lease end at another time.
func (l *leases) postpone(one *lease, end time.Time) {
	if l.byTask[one.TaskID] == one {
		one.end = end
		heap.Fix(&l.ending, one.place)
	}
}

// due gives leases whose time is over, at most maxGroup. They stay until the journal
// says that they have ended.
func (l *leases) due(now time.Time) (due []*lease) {
	for len(l.ending) > 0 && len(due) < maxGroup && !l.ending[0].end.After(now) {
		due = append(due, heap.Pop(&l.ending).(*lease))
	}
	for _, one := range due {
		heap.Push(&l.ending, one)
	}
	return due
}

// next tells when there is something to end; it is not ok if there never is.
func (l *leases) next() (at time.Time, ok bool) {
	if len(l.ending) == 0 {
		return at, false
	}
	if at = l.ending[0].end; at.Before(l.rest) {
		at = l.rest
	}
	return at, true
}

// abandon ends every lease of a connection that is gone, also one that is not known yet.
func (l *leases) abandon(source int64, now time.Time) {
	for one := range l.bound[source] {
		one.broken = true
		l.postpone(one, now)
	}
	if gone, unknown := l.unknown[source]; unknown && !gone {
		l.unknown[source] = true
		if l.gone = append(l.gone, source); len(l.gone) > maxGone {
			delete(l.unknown, l.gone[0])
			l.gone = slices.Delete(l.gone, 0, 1)
		}
	}
}

// doubt remembers the connection of a claim that ends with it and of which nobody knows
// whether it was made: its lease may show up when the connection is gone.
func (l *leases) doubt(w *Write, err error) {
	source, claim := w.change.Source, w.change.Operations[0].Claim
	if err == nil || claim == nil || !*claim.UntilDisconnect || schema.CodeOf(err) != schema.CodeOutcomeUnknown {
		return
	}
	if l.unknown == nil {
		l.unknown = make(map[int64]bool)
	}
	if _, known := l.unknown[source]; !known {
		l.unknown[source] = false
	}
}

// readLeases reads what others have claimed and renewed since it was read last, for
// the first time at the start.
func (e *Emitter) readLeases(start bool) error {
	stored, err := e.journal.Leases(context.Background(), e.leases.read)
	for _, one := range stored {
		e.leases.read = max(e.leases.read, one.Num)
		left := leftOf(&one, e.config.Now().Add(-e.config.Skew))
		if e.config.Skew > 0 && !start {
			left = lengthOf(&one)
		}
		e.addLease(one, time.Now(), left)
	}
	return err
}

// refreshLeases is readLeases; what fails is tried again.
func (e *Emitter) refreshLeases() { e.leases.behind = e.readLeases(false) != nil }

func (e *Emitter) addLease(stored schema.Lease, now time.Time, left time.Duration) {
	e.leases.add(stored, now, left)
	e.counts.leases.Store(int64(len(e.leases.byTask)))
}

// seeEnds forgets the leases that events end.
func (e *Emitter) seeEnds(events []schema.Event) {
	if len(e.leases.byTask) == 0 {
		return
	}
	for i := range events {
		if events[i].ChangeType == schema.Deleted || !schema.IsLeased(events[i].Task) {
			if one := e.leases.byTask[events[i].TaskID]; one != nil && one.Seq < events[i].Seq {
				e.seeEnd(one, events[i].Origin)
			}
		}
	}
	e.counts.leases.Store(int64(len(e.leases.byTask)))
}

// seeEnd forgets a lease. Another process that ends one leaves it in the journal, where
// nothing but an expiry clears it away.
func (e *Emitter) seeEnd(one *lease, origin schema.Origin) {
	if origin != schema.OriginExternal {
		e.leases.forget(one)
		return
	}
	one.broken = true
	e.leases.postpone(one, time.Now())
}

// endLeases ends the leases whose time is over, and tells whether there may be more that
// are worth a try.
func (e *Emitter) endLeases() (more bool) {
	due := e.leases.due(time.Now())
	if len(due) == 0 {
		return false
	}
	defer func() { e.counts.leases.Store(int64(len(e.leases.byTask))) }()
	group := make([]*Write, len(due))
	for i, one := range due {
		end := &schema.Expire{ID: one.TaskID, LeaseToken: one.Token, ExpiresAt: &one.ExpiresAt}
		if one.broken {
			end.ExpiresAt = nil
		}
		group[i] = newWrite(schema.Change{
			Origin: schema.OriginLease, Operations: []schema.Operation{{Op: schema.OpExpire, Expire: end}},
		})
	}
	e.commit(group)
	failed := 0
	for i, one := range due {
		switch outcome := group[i].Outcome(); {
		case outcome.Err != nil:
			failed++
			e.leases.postpone(one, time.Now().Add(leaseRetry))
		case string(outcome.Results[0]) == nothing:
			e.leases.forget(one) // it has ended, or was renewed, which comes with another number
		default:
			e.counts.expired.Add(1)
		}
	}
	if failed == len(due) {
		e.leases.rest = time.Now().Add(leaseRetry)
		return false
	}
	return len(due) == maxGroup
}

// leaseHeap is a heap by end (container/heap).
type leaseHeap []*lease

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].end.Before(h[j].end) }
func (h leaseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *leaseHeap) Push(x any) {
	one := x.(*lease)
	one.place = len(*h)
	*h = append(*h, one)
}

// Pop implements heap.Interface.
func (h *leaseHeap) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	return one
}
