package integration

import (
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// A claim that waits and whose connection ends takes nothing afterwards: the next task
// is there for whoever claims then.
func TestWaitingClaimGoesWithItsConnection(t *testing.T) {
	d := serve(t, database(t), "--log-level", "warn")
	c := d.dial()
	for _, cut := range []func(w *waiter) error{
		func(w *waiter) error { return w.goodbye() },
		func(w *waiter) error { return reset(w.TCPConn) },
	} {
		w := d.waiter()
		s := subscribe(t, c, schema.SubscribeParams{})
		mark := create(t, c, "tells when the daemon is done with the connection")
		claimOver(t, w.peer, untilDisconnect(mark.ID))
		w.sent++ // which was that
		for range mostWaiting {
			w.wait(patience("waiter"))
		}
		if err := cut(w); err != nil {
			t.Fatal(err)
		}
		if e := nextLeaseEvent(t, s); e.TaskID != mark.ID {
			t.Fatalf("event %+v", e)
		}
		s.Close()
		if stats, err := c.Stats(t.Context()); err != nil || stats.WaitingClaims != 0 {
			t.Errorf("%+v, %v, want no waiting claims", stats, err)
		}
		setStatus(t, c, mark.ID, schema.Done)
		task := create(t, c, "work")
		if got := claim(t, c, schema.ClaimParams{AssignedTo: "later"}); got.Task.ID != task.ID {
			t.Errorf("the later claim got %+v", got)
		}
	}
}

// A claim that finds a task in the very moment in which its connection ends gives it
// back: the next one that waits has it at once, and not only when the lease runs out.
// Here the commit that makes the task ready is held up by another process, so that the
// end of the connection comes into the middle of it.
func TestWaitingClaimGivesBackWhatCameTooLate(t *testing.T) {
	t.Parallel()
	d := serve(t, database(t), "--log-level", "warn")
	c, other, outside := d.dial(), d.dial(), openOutside(t, d.db)
	const rounds = 10
	var latencies []time.Duration
	for range rounds {
		gone, next := d.waiter(), d.waiter()
		gone.wait(schema.ClaimParams{AssignedTo: "gone", LeaseMS: new(int64(schema.MinLeaseMS)), WaitMS: new(int64(schema.MaxWaitMS))})
		next.wait(patience("next"))
		lock, err := outside.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		created := make(chan error)
		go func() {
			_, err := c.Create(t.Context(), schema.Draft{Title: "work"})
			created <- err
		}()
		// However often something is asked, nothing tells that the daemon has begun the
		// commit, or seen the end of the connection: almost always it has by then.
		ask := func() {
			for range 20 {
				if err := other.Ping(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		ask()
		if err := reset(gone.TCPConn); err != nil {
			t.Fatal(err)
		}
		ask()
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := <-created; err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		next.claimed()
		latencies = append(latencies, time.Since(answered))
	}
	requireMedian(t, latencies, schema.MinLeaseMS/2*time.Millisecond)
}
