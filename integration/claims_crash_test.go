package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

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
	ledger   *claimLedger
}

func newClaimRun(t *testing.T, services ...*service) *claimRun {
	r := &claimRun{t: t, services: services, ledger: newClaimLedger()}
	r.kills = int(fromEnvironment(t, "DESCARTES_KILLS", 5))
	r.tasks = tasksPerKill * r.kills
	r.seed = uint64(fromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))
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
			if err := w.work(ctx); err != nil {
				r.t.Error(err)
			}
		})
	}
	for i := range crashProcesses {
		url, random := r.services[i%len(r.services)].url(), r.randomness(1+crashClaimers+i)
		working.Go(func() { r.killProcesses(ctx, url, fmt.Sprint("process", i), random) })
	}
	began := time.Now()
	r.killDaemons()
	r.awaitAllDone(maker)
	took := time.Since(began)
	stop()
	working.Wait()
	events := journalOf(r.t, maker, "")
	story := requireLeaseStory(r.t, events, r.ledger)
	for _, s := range r.services {
		s.daemon.stop()
	}
	mustRun(r.t, "check", "--db", r.services[0].db)
	r.report(story, took)
}

func (r *claimRun) randomness(of int) *rand.Rand { return rand.New(rand.NewPCG(r.seed, uint64(of))) }

func (r *claimRun) worker(i int) *worker {
	s := r.services[i%len(r.services)]
	return &worker{
		name: fmt.Sprint("worker", i), url: s.url(), running: s.running, random: r.randomness(1 + i), ledger: r.ledger,
		connect: func() (*peer, error) {
			s.down.RLock()
			defer s.down.RUnlock()
			return s.daemon.connect()
		},
	}
}

// killDaemons kills one of them after some more answers, at any moment.
func (r *claimRun) killDaemons() {
	r.t.Helper()
	random := r.randomness(0)
	for range r.kills {
		r.ledger.answers.await(r.t, 1+random.IntN(tasksPerKill-10))
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

func (r *claimRun) report(s leaseStory, took time.Duration) {
	r.t.Helper()
	l := r.ledger
	if s.done != r.tasks {
		r.t.Errorf("%d tasks are done, of %d", s.done, r.tasks)
	}
	r.t.Logf("%d tasks done once in %v; %d kills of a daemon, %d of a worker, %d connections left or cut, %d answers lost; "+
		"%d claims, %d renewals, %d given back, %d run out, %d ended with their connection, %d that nobody was told of, %d holders were told that they had lost it; "+
		"%d writes with an old token, all refused",
		s.done, took, r.kills, l.processes, l.left, l.unanswered, s.claims, l.renewed, l.released, s.expired, s.broken, s.returned, len(l.lost), l.forged)
}

// leaseStory counts what the journal tells of claims.
type leaseStory struct {
	claims, done    int
	expired, broken int // leases that ran out, and that ended before: with their connection
	returned        int // that nobody was ever told of
}

// clockTolerance is what two looks at the clock may differ by.
const clockTolerance = 5 * time.Millisecond

// requireLeaseStory checks the journal of workers: each claim is of a ready task that
// nobody holds and ends before the next one, who writes under a claim has it at that
// moment, each task is done once, no lease ends before it was promised to, and all of it
// is what the workers were told.
func requireLeaseStory(t *testing.T, events []schema.Event, l *claimLedger) (s leaseStory) {
	t.Helper()
	world, claimedAt, doneBy := make(replay), make(map[string]int64), make(map[string]string)
	for i := range events {
		e := &events[i]
		before, after := world.take(t, e)
		if e.ChangeType != schema.Updated {
			continue
		}
		if after.by != before.by && after.by != before.holder() {
			t.Errorf("event %d: written under the claim of %s while %q holds %s", e.Seq, after.by, before.holder(), e.TaskID)
		}
		switch was, is := before.holder(), after.holder(); {
		case was == "" && is != "":
			s.claims++
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
			if after.by != was {
				t.Errorf("event %d: %s is done by %s while %s holds it", e.Seq, e.TaskID, after.by, was)
			}
			doneBy[e.TaskID] = was
			s.done++
		}
	}
	requireTold(t, doneBy, l)
	return s
}

// requireEndedInTime checks the end of a lease that nobody asked for.
func requireEndedInTime(t *testing.T, e *schema.Event, after *replayed, holder string, claimedAt int64, l *claimLedger, s *leaseStory) {
	t.Helper()
	if after.Status != schema.Todo || after.AssignedTo != nil || !after.Ready {
		t.Errorf("event %d: a lease ends, and leaves %s", e.Seq, e.Task)
	}
	promised := max(claimedAt+schema.MinLeaseMS, l.promised[holder])
	early := time.Duration(promised-e.Timestamp) * time.Millisecond
	switch {
	case early <= clockTolerance:
		s.expired++
	case strings.HasSuffix(holder, bound):
		s.broken++
	case l.promised[holder] == 0:
		s.returned++ // the connection was gone before it could be told
	default:
		t.Errorf("event %d: the lease of %s ends %v before its time", e.Seq, holder, early)
	}
}

// requireTold compares the journal with what the workers were told.
func requireTold(t *testing.T, doneBy map[string]string, l *claimLedger) {
	t.Helper()
	finishers := make(map[string]bool)
	for _, holder := range doneBy {
		finishers[holder] = true
		if l.lost[holder] {
			t.Errorf("%s was told that it had lost its claim, and its task is done by it", holder)
		}
	}
	for holder := range l.finished {
		if !finishers[holder] {
			t.Errorf("%s was told that its task is done, which the journal does not know", holder)
		}
	}
}
