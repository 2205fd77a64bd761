package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// patience is a claim that waits as long as a claim can.
func patience(assignedTo string) schema.ClaimParams {
	return schema.ClaimParams{AssignedTo: assignedTo, WaitMS: new(int64(schema.MaxWaitMS))}
}

// A claim that waits is answered within a few milliseconds of the commit that makes a
// task ready, whatever that is; 50 ms where another process or daemon has committed.
//
// DESCARTES_LATENCIES=N measures each N times (100).
func TestWaitingClaimIsAnsweredAtOnce(t *testing.T) {
	rounds := int(kit.FromEnvironment(t, "DESCARTES_LATENCIES", 100))
	db := database(t)
	d, beside := serve(t, db, "--log-level", "warn"), serve(t, db, "--log-level", "warn")
	c, far, outside := d.dial(), beside.dial(), openOutside(t, db)
	const atOnce, soon = 10 * time.Millisecond, 50 * time.Millisecond
	for _, way := range []struct {
		name  string
		limit time.Duration // of the median
		share int           // one of so many rounds
		ready func(t *testing.T, i int) (makeReady func())
	}{
		{"task.create", atOnce, 1, func(t *testing.T, i int) func() { return func() { create(t, c, "new") } }},
		{"a dependency is done", atOnce, 1, func(t *testing.T, i int) func() {
			first := createWith(t, c, schema.Draft{Title: "first", Status: schema.InProgress})
			createWith(t, c, schema.Draft{Title: "second", Dependencies: []string{first.ID}})
			return func() { setStatus(t, c, first.ID, schema.Done) }
		}},
		{"task.release", atOnce, 1, func(t *testing.T, i int) func() {
			h := claimNew(t, c, schema.ClaimParams{AssignedTo: "first"})
			return func() {
				if _, err := c.Release(t.Context(), schema.ReleaseParams{ID: h.Task.ID, LeaseToken: h.LeaseToken}); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"SQL of another process", soon, 4, func(t *testing.T, i int) func() {
			return func() {
				mustExec(t, outside, `INSERT INTO tasks (id, title) VALUES (?, 'outside')`, fmt.Sprint("outside", i))
			}
		}},
		{"another daemon", soon, 4, func(t *testing.T, i int) func() { return func() { create(t, far, "far") } }},
	} {
		t.Run(way.name, func(t *testing.T) {
			w := d.waiter()
			latencies := make([]time.Duration, max(rounds/way.share, 10))
			for i := range latencies {
				makeReady := way.ready(t, i)
				w.wait(patience("waiter"))
				makeReady()
				answered := time.Now()
				w.claimed()
				latencies[i] = time.Since(answered)
			}
			requireMedian(t, latencies, way.limit)
		})
	}
}

// requireMedian bounds the median, and tells it.
func requireMedian(t *testing.T, latencies []time.Duration, limit time.Duration) {
	t.Helper()
	slices.Sort(latencies)
	n := len(latencies)
	t.Logf("%d times: median %v, p99 %v, slowest %v", n, latencies[n/2], latencies[n*99/100], latencies[n-1])
	if latencies[n/2] > limit {
		t.Errorf("the median is %v, more than %v", latencies[n/2], limit)
	}
}

// A lease that runs out makes its task ready, too: who waits has it within milliseconds.
func TestWaitingClaimGetsWhatRunsOut(t *testing.T) {
	d := serve(t, database(t), "--log-level", "warn")
	c, w := d.dial(), d.waiter()
	latencies, claims := make([]time.Duration, mostWaiting), make([]*client.Claimed, mostWaiting)
	for i := range latencies { // one after the other: each is a measurement
		claimNew(t, c, schema.ClaimParams{AssignedTo: "dozes off", LeaseMS: new(int64(schema.MinLeaseMS + 20*i))})
	}
	for range latencies {
		w.wait(patience("waiter"))
	}
	at := make([]time.Time, len(claims))
	for i := range claims {
		_, claims[i] = w.claimed()
		at[i] = time.Now()
	}
	for i, claimed := range claims {
		events := kit.Journal(t, c, claimed.Task.ID)
		end := events[len(events)-2]
		if end.Origin != schema.OriginLease || events[len(events)-1].Seq != claimed.Task.Version {
			t.Fatalf("before the claim: %+v", end)
		}
		latencies[i] = at[i].Sub(time.UnixMilli(end.Timestamp))
	}
	requireMedian(t, latencies, 50*time.Millisecond) // the end of the lease has to be committed, too
}
