package emitter_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// ordered is one daemon's way to a journal that several write: no change is made at a
// time before that of the newest one, and the others hear of it after a while.
type ordered struct {
	*faulty
	log    *atomic.Int64 // Unix milliseconds of the newest change
	took   atomic.Int64  // nanoseconds from the publishing of a change to its place in the order
	delay  time.Duration // until the other hears of it
	others chan struct{}
	signal chan struct{}
}

func (o *ordered) Moved() <-chan struct{} { return o.signal }

func (o *ordered) Apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	time.Sleep(time.Duration(o.took.Load()))
	for i := range changes {
		changes[i].At = max(changes[i].At, o.log.Load())
		o.log.Store(changes[i].At)
	}
	changes = append([]schema.Change(nil), changes...)
	outcomes, events, err := o.faulty.Apply(ctx, changes)
	time.AfterFunc(o.delay, func() {
		select {
		case o.others <- struct{}{}:
		default:
		}
	})
	return outcomes, events, err
}

// apart runs a test with two daemons on one journal whose clocks are apart.
func apart(t *testing.T, skew time.Duration, clocks [2]time.Duration, test func(one, two *fixture, doors [2]*ordered)) {
	synctest.Test(t, func(t *testing.T) {
		journal, log := newFaulty(), new(atomic.Int64)
		signals := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
		var doors [2]*ordered
		var both [2]*fixture
		for i := range both {
			doors[i] = &ordered{faulty: journal, log: log, signal: signals[i], others: signals[1-i]}
			clock := func() time.Time { return time.Now().Round(0).Add(clocks[i]) }
			e, err := emitter.New(t.Context(), doors[i], emitter.Config{Now: clock, Skew: skew, BookmarkEvery: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close)
			both[i] = &fixture{e, t, journal}
		}
		test(both[0], both[1], doors)
	})
}

// No daemon ends the lease of another's client early, whose clock its own is ahead of or
// behind, and one of them ends it when it is over, whichever is there.
func TestLeasesOfDaemonsWhoseClocksAreApart(t *testing.T) {
	for _, clocks := range [][2]time.Duration{
		{0, 0}, {0, 300 * time.Millisecond}, {0, -300 * time.Millisecond}, {0, time.Hour}, {time.Hour, 0},
	} {
		t.Run(clocks[1].String(), func(t *testing.T) {
			apart(t, time.Second, clocks, func(one, two *fixture, doors [2]*ordered) {
				doors[0].delay, doors[1].delay = 50*time.Millisecond, 50*time.Millisecond
				one.do(create("a"), create("b"))
				token := one.token(claimOf("a", 10))
				two.token(claimOf("b", 10))
				after(9 * time.Second)
				two.must(renew("a", token))
				after(time.Second - time.Millisecond)
				one.expectLeased("a:worker b:worker")
				after(time.Millisecond)
				one.expectLeased("a:worker b:")
				after(9*time.Second - time.Millisecond)
				one.expectLeased("a:worker b:")
				after(time.Millisecond)
				one.expectLeased("a: b:")
				after(time.Second)
				if n := one.Stats().Leases + two.Stats().Leases; n != 0 {
					t.Errorf("%d leases are left", n)
				}
			})
		})
	}
}

// Who does not answer any more has its leases ended by another daemon, which counts from
// when it has heard of them.
func TestAnotherDaemonEndsLeasesOfOneThatIsGone(t *testing.T) {
	apart(t, time.Second, [2]time.Duration{0, time.Hour}, func(one, two *fixture, doors [2]*ordered) {
		doors[0].delay = 50 * time.Millisecond
		one.do(create("a"))
		one.token(claimOf("a", 10))
		one.Close()
		after(10*time.Second + 50*time.Millisecond - time.Millisecond)
		two.expectLeased("a:worker")
		after(time.Millisecond)
		two.expectLeased("a:")
	})
}

// A claim that the journal has made at a later time than it was asked at lasts until the
// time that the claimer was told, and its length at most from when it was told.
func TestLeaseThatBeganLater(t *testing.T) {
	for _, test := range []struct{ took, ahead, want time.Duration }{
		{0, 0, 10 * time.Second},
		{2 * time.Second, 0, 10 * time.Second},               // by the time it was asked at
		{2 * time.Second, time.Second, 11 * time.Second},     // by a time in between
		{2 * time.Second, 2 * time.Second, 12 * time.Second}, //
		{2 * time.Second, time.Hour, 12 * time.Second},
		{time.Millisecond, time.Hour, 10_001 * time.Millisecond}, // some clock was ahead
	} {
		t.Run(test.took.String()+" "+test.ahead.String(), func(t *testing.T) {
			apart(t, time.Second, [2]time.Duration{}, func(one, two *fixture, doors [2]*ordered) {
				two.Close()
				one.do(create("a"))
				doors[0].took.Store(int64(test.took))
				began := time.Now()
				doors[0].log.Store(began.Add(test.ahead).UnixMilli())
				one.token(claimOf("a", 10))
				doors[0].took.Store(0)
				after(time.Until(began.Add(test.want - time.Millisecond)))
				one.expectLeased("a:worker")
				after(time.Millisecond)
				one.expectLeased("a:")
			})
		})
	}
}

// What was there at the start goes by the clock, and has as much more as clocks may be
// apart.
func TestLeasesAtTheStartOfADaemonWhoseClockIsAhead(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"))
		f.token(claimOf("a", 100))
		f.Close()
		after(30 * time.Second)
		f = newFixture(f.t, f.journal, emitter.Config{
			Skew: 3 * time.Second, Now: func() time.Time { return time.Now().Round(0).Add(2 * time.Second) },
		})
		after(71*time.Second - time.Millisecond)
		f.expectLeased("a:worker")
		after(time.Millisecond)
		f.expectLeased("a:")
	})
}
