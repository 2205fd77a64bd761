package integration

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// A daemon that was killed and does not come back leaves its leases to the other one on
// the file, which ends them when their time is over, those until_disconnect too.
// Nobody writes through it meanwhile. What holds still can be renewed there.
func TestLeasesOfADaemonThatIsGone(t *testing.T) {
	t.Parallel()
	db := database(t)
	gone, other := serve(t, db, "--log-level", "warn"), serve(t, db, "--log-level", "warn")
	c := other.dial()
	s := subscribe(t, c, schema.SubscribeParams{})
	leases := gone.claimThree()
	short := untilDisconnect(create(t, c, "bound and short").ID)
	short.LeaseMS = new(int64(1200))
	bound := claim(t, gone.dial(), short)
	gone.kill()
	requireRunsOut(t, s, leases.short.Task.ID, leases.short.ExpiresAt)
	requireRunsOut(t, s, bound.Task.ID, bound.ExpiresAt)
	requireLost(t, c, leases.short, schema.CodeLeaseLost)
	requireHeld(t, c, leases.ordinary)
}

// Whatever the other daemon is doing in the moment in which a claim is made, it knows of
// it afterwards, also where the same task was given back just before.
func TestLeasesTakenWhileTheOtherIsBusy(t *testing.T) {
	t.Parallel()
	const tasks = 150
	db := database(t)
	gone, other := serve(t, db, "--log-level", "warn"), serve(t, db, "--log-level", "warn")
	c, busy := gone.dial(), other.dial()
	s := subscribe(t, busy, schema.SubscribeParams{})
	ids := make(map[string]bool)
	for i := range tasks {
		ids[createWith(t, c, schema.Draft{ID: fmt.Sprint("t", i), Title: "work"}).ID] = true
	}
	ctx, stop := context.WithCancel(t.Context())
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer stop()
	own := claimNew(t, busy, schema.ClaimParams{AssignedTo: "busy"})
	renewing.Go(func() {
		for ctx.Err() == nil {
			_, err := busy.Renew(ctx, schema.RenewParams{ID: own.Task.ID, LeaseToken: own.LeaseToken})
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	for id := range ids {
		params := schema.ClaimParams{AssignedTo: "worker", ID: &id, LeaseMS: new(int64(schema.MinLeaseMS))}
		first := claim(t, c, params)
		if _, err := c.Release(t.Context(), schema.ReleaseParams{ID: id, LeaseToken: first.LeaseToken}); err != nil {
			t.Fatal(err)
		}
		claim(t, c, params)
	}
	gone.kill()
	stop()
	for len(ids) > 0 {
		delete(ids, nextLeaseEvent(t, s).TaskID)
	}
}

// A claim that is renewed through one daemon at the last moment lasts: the other one,
// which has not seen that yet, does not end it.
func TestLeaseRenewedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	db := database(t)
	c, other := serve(t, db, "--log-level", "warn").dial(), serve(t, db, "--log-level", "warn").dial()
	s := subscribe(t, other, schema.SubscribeParams{})
	claims := make([]*client.Claimed, 40)
	var holding sync.WaitGroup
	var held atomic.Int64
	for i := range claims {
		h := claimNew(t, c, schema.ClaimParams{AssignedTo: "worker", LeaseMS: new(int64(schema.MinLeaseMS))})
		claims[i] = h
		holding.Go(func() {
			<-time.After(time.Until(time.UnixMilli(h.ExpiresAt)) - time.Duration(3+i)*time.Millisecond)
			if renewed, err := c.Renew(t.Context(), schema.RenewParams{ID: h.Task.ID, LeaseToken: h.LeaseToken}); err == nil {
				held.Add(1)
				h.ExpiresAt = renewed.ExpiresAt
			} else if schema.CodeOf(err) != schema.CodeLeaseLost { // on a machine that is busy it may be too late
				t.Error(err)
			}
		})
	}
	holding.Wait()
	t.Logf("%d of %d claims were renewed", held.Load(), len(claims))
	for range claims {
		nextLeaseEvent(t, s)
	}
	for _, h := range claims {
		requireNotEarly(t, c, h)
	}
}

// requireNotEarly checks that a lease has ended, and not before its time.
func requireNotEarly(t *testing.T, c *client.Client, h *client.Claimed) {
	t.Helper()
	for _, e := range kit.Journal(t, c, h.Task.ID) {
		if e.Origin != schema.OriginLease {
			continue
		}
		if early := time.Duration(h.ExpiresAt-e.Timestamp) * time.Millisecond; early > kit.ClockTolerance {
			t.Errorf("the lease of %s ends %v before its time", h.Task.ID, early)
		}
		return
	}
	t.Errorf("the lease of %s has not ended", h.Task.ID)
}
