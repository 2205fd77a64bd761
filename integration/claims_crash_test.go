package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// The daemon is killed with SIGKILL again and again, and so are workers: processes that
// are killed, connections that are cut or closed, holders that doze off until their
// lease has run out. Every task is done exactly once, by a holder whose claim was valid
// then, and no two hold one task at the same time.
//
// DESCARTES_KILLS=N kills the daemon N times (5), with 40 tasks for each.
func TestClaimsSurviveKills(t *testing.T) {
	t.Parallel()
	newClaimRun(t, startService(t, database(t), "s")).run()
}

// Two daemons on one file, killed in turn, are no different: each ends the leases of the
// other that run out.
func TestClaimsThroughTwoDaemonsSurviveKills(t *testing.T) {
	t.Parallel()
	db := database(t)
	newClaimRun(t, startService(t, db, "a"), startService(t, db, "b")).run()
}

const (
	crashClaimers  = 12 // workers in this process
	crashProcesses = 2  // at a time
	tasksPerKill   = 40
)

// claimRun is daemons that are killed, and workers that are, too.
type claimRun struct {
	t        *testing.T
	services []*service
	kills    int
	tasks    int
	seed     uint64
	ledger   *kit.Ledger
}

func newClaimRun(t *testing.T, services ...*service) *claimRun {
	r := &claimRun{t: t, services: services, ledger: kit.NewLedger()}
	r.kills = int(kit.FromEnvironment(t, "DESCARTES_KILLS", 5))
	r.tasks = tasksPerKill * r.kills
	r.seed = uint64(kit.FromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))
	t.Logf("DESCARTES_SEED=%d", r.seed)
	return r
}

func (r *claimRun) run() {
	maker := r.services[0].dial()
	for i := range r.tasks {
		if _, err := maker.Create(r.t.Context(), schema.Draft{Title: fmt.Sprint("task ", i)}); err != nil {
			r.t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(r.t.Context())
	var working sync.WaitGroup
	r.t.Cleanup(func() { stop(); working.Wait() })
	for i := range crashClaimers {
		w := r.worker(i)
		working.Go(func() {
			if err := w.Work(ctx); err != nil {
				r.t.Error(err)
			}
		})
	}
	for i := range crashProcesses {
		url, random := r.services[i%len(r.services)].url(), r.randomness(1+crashClaimers+i)
		working.Go(func() { r.ledger.KillProcesses(ctx, r.t, url, fmt.Sprint("process", i), random) })
	}
	began := time.Now()
	r.killDaemons()
	r.awaitAllDone(maker)
	took := time.Since(began)
	stop()
	working.Wait()
	events := kit.Journal(r.t, maker, "")
	story := kit.RequireStory(r.t, events, r.ledger)
	for _, s := range r.services {
		s.daemon.stop()
	}
	mustRun(r.t, "check", "--db", r.services[0].db)
	r.report(story, took)
}

func (r *claimRun) randomness(of int) *rand.Rand { return rand.New(rand.NewPCG(r.seed, uint64(of))) }

func (r *claimRun) worker(i int) *kit.Worker {
	s := r.services[i%len(r.services)]
	return &kit.Worker{
		Name: fmt.Sprint("worker", i), URL: s.url(), Running: s.running, Random: r.randomness(1 + i), Ledger: r.ledger,
		Connect: func() (kit.Connection, error) {
			s.down.RLock()
			defer s.down.RUnlock()
			p, err := s.daemon.connect()
			return workerPeer{p}, err
		},
	}
}

// killDaemons kills one of them after some more answers, at any moment.
func (r *claimRun) killDaemons() {
	r.t.Helper()
	random := r.randomness(0)
	for range r.kills {
		r.ledger.Answers.Await(r.t, 1+random.IntN(tasksPerKill-10))
		<-time.After(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		r.services[random.IntN(len(r.services))].kill()
	}
}

// awaitAllDone waits until the journal has every task done.
func (r *claimRun) awaitAllDone(c *client.Client) {
	r.t.Helper()
	s := subscribe(r.t, c, schema.SubscribeParams{Since: new(schema.SinceStart), Filter: &schema.EventFilter{
		Filter: schema.Filter{Status: []schema.Status{schema.Done}},
	}})
	defer s.Close()
	for done := make(map[string]bool); len(done) < r.tasks; {
		done[next(r.t, s).TaskID] = true
	}
}

func (r *claimRun) report(s kit.Story, took time.Duration) {
	r.t.Helper()
	l := r.ledger
	if s.Done != r.tasks {
		r.t.Errorf("%d tasks are done, of %d", s.Done, r.tasks)
	}
	r.t.Logf("%d tasks done once in %v; %d kills of a daemon, %d of a worker, %d connections left or cut, %d answers lost; "+
		"%d claims, %d renewals, %d given back, %d run out, %d ended with their connection, %d that nobody was told of, %d holders were told that they had lost it; "+
		"%d writes with an old token, all refused",
		s.Done, took, r.kills, l.Processes, l.Left, l.Unanswered, s.Claims, l.Renewed, l.Released, s.Expired, s.Broken, s.Returned, len(l.Lost), l.Forged)
}
