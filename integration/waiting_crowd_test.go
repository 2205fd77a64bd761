package integration

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/schema"
)

const (
	crowdWaiters    = 252
	crowdClaimsEach = 4
	crowdTasks      = 100

	mostWaiting = 16 // claims of one connection
)

// waitingCrowd is many claims that wait for the same, in the order in which they came.
type waitingCrowd struct {
	t       *testing.T
	d       *daemon
	waiters []*waiter
	order   []place
}

// place is a claim that waits: which connection, which request.
type place struct {
	waiter int
	id     int64
}

// gather makes them wait, in an order in which no connection comes before another.
func (d *daemon) gather(random *rand.Rand) *waitingCrowd {
	d.t.Helper()
	crowd := &waitingCrowd{t: d.t, d: d}
	var turns []int
	for i := range crowdWaiters {
		crowd.waiters = append(crowd.waiters, d.waiter())
		for range crowdClaimsEach {
			turns = append(turns, i)
		}
	}
	random.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
	for _, i := range turns {
		crowd.order = append(crowd.order, place{i, crowd.waiters[i].wait(patience(fmt.Sprint("waiter", i)))})
	}
	return crowd
}

// A thousand claims that wait cost nothing while nothing happens. Each task that is
// created wakes exactly one of them, the one that has waited longest. When the daemon
// ends by SIGTERM all others are answered that it does, at once.
func TestWaitingCrowd(t *testing.T) {
	seed := uint64(kit.FromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))
	t.Logf("DESCARTES_SEED=%d", seed)
	d := serve(t, database(t), "--log-level", "warn")
	began := time.Now()
	crowd := d.gather(rand.New(rand.NewPCG(seed, 0)))
	c := d.dial()
	if stats, err := c.Stats(t.Context()); err != nil || stats.WaitingClaims != int64(len(crowd.order)) {
		t.Errorf("%+v, %v, want %d waiting claims", stats, err, len(crowd.order))
	}
	t.Logf("%d claims wait after %v", len(crowd.order), time.Since(began))
	crowd.requireIdle()
	crowd.requireTurns()
	crowd.requireQuickEnd()
}

// requireIdle measures the daemon while one more claim, which nothing matches, waits for
// three seconds.
func (crowd *waitingCrowd) requireIdle() {
	t := crowd.t
	t.Helper()
	const long = 3 * time.Second
	before, began := crowd.d.cpu(), time.Now()
	claimed, err := crowd.d.dial().Claim(t.Context(), schema.ClaimParams{
		AssignedTo: "last", WaitMS: new(long.Milliseconds()), Filter: &schema.Filter{Text: new("nothing")},
	})
	took := time.Since(began)
	if claimed != nil || err != nil || took < long {
		t.Errorf("after %v: %+v, %v", took, claimed, err)
	}
	used := crowd.d.cpu() - before
	share := float64(used) / float64(took)
	t.Logf("%v of a processor in %v with %d waiting claims: %.2f %% of a core", used, took.Round(time.Millisecond), len(crowd.order), 100*share)
	if share > 0.02 {
		t.Errorf("waiting costs %.2f %% of a core", 100*share)
	}
}

// requireTurns creates one task after the other, and checks who gets it.
func (crowd *waitingCrowd) requireTurns() {
	t := crowd.t
	t.Helper()
	c := crowd.d.dial()
	before := crowd.writes()
	for i := range crowdTasks {
		task := create(t, c, "work")
		turn := crowd.order[i]
		id, claimed := crowd.waiters[turn.waiter].claimed()
		if id != turn.id || claimed.Task.ID != task.ID {
			t.Fatalf("task %d is %s: request %d of connection %d got %s, want request %d", i, task.ID, id, turn.waiter, claimed.Task.ID, turn.id)
		}
	}
	// Whoever is woken tries to write.
	if made := crowd.writes() - before; made != 2*crowdTasks {
		t.Errorf("%d tasks and their claims took %d writes", crowdTasks, made)
	}
	crowd.order = crowd.order[crowdTasks:]
}

// writes is how many writes were committed so far.
func (crowd *waitingCrowd) writes() int64 {
	crowd.t.Helper()
	stats, err := crowd.d.dial().Stats(crowd.t.Context())
	if err != nil {
		crowd.t.Fatal(err)
	}
	return int64(math.Round(stats.WritesPerCommit * float64(stats.Commits)))
}

// requireQuickEnd ends the daemon while they wait.
func (crowd *waitingCrowd) requireQuickEnd() {
	t := crowd.t
	t.Helper()
	began := time.Now()
	ended := make(chan time.Duration)
	go func() {
		crowd.d.stop()
		ended <- time.Since(began)
	}()
	waiting := make(map[place]bool)
	for _, p := range crowd.order {
		waiting[p] = true
	}
	for _, p := range crowd.order {
		m := crowd.waiters[p.waiter].answer()
		if m.Error == nil || m.Error.Code != schema.CodeShuttingDown || !waiting[place{p.waiter, *m.ID}] {
			t.Errorf("connection %d: answer %+v", p.waiter, m)
		}
		delete(waiting, place{p.waiter, *m.ID})
	}
	for i, w := range crowd.waiters {
		if m, err := w.next(); err == nil || err.Error() != "closed with 1001 the server is shutting down" {
			t.Errorf("connection %d after its answers: %+v, %v", i, m, err)
		}
		w.Close()
	}
	took := <-ended
	t.Logf("the daemon ended %v after SIGTERM, with %d waiting claims", took, len(crowd.order))
	if limit := time.Second; took > limit {
		t.Errorf("the end took %v, more than %v", took, limit)
	}
}
