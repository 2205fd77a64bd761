package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/schema"
)

// The daemon is killed with SIGKILL again and again while 16 clients and another
// process write and subscribers read; afterwards the file is compared with what
// each of them was told. Nothing acknowledged is lost or there twice, nothing is
// half there, nobody saw an event that the journal does not have, and whoever
// resumed by cursor has every event once and in order.
//
// DESCARTES_KILLS=N kills N times (15), DESCARTES_SEED=N repeats a run's random
// choices as far as two processes can be made to repeat theirs.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	run := newCrashRun(t)
	for i := range run.kills {
		run.survive(i)
	}
	run.finish()
}

const crashWriters = 16

// crashRun is a daemon that is killed, and everybody around it.
type crashRun struct {
	*service
	kills     int
	early     int // kills before a daemon was ready
	seed      uint64
	random    *rand.Rand
	answers   kit.Tally          // of the writers
	stop      context.CancelFunc // ends the writing
	giveUp    context.CancelFunc // ends the reading before its end
	writing   sync.WaitGroup
	reading   sync.WaitGroup
	writers   []*kit.Writer
	observers []*kit.Observer
	outside   *outsider
}

func newCrashRun(t *testing.T) *crashRun {
	r := &crashRun{
		service: startService(t, database(t), "s"),
		kills:   int(kit.FromEnvironment(t, "DESCARTES_KILLS", 15)),
		seed:    uint64(kit.FromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano())),
	}
	t.Logf("DESCARTES_SEED=%d", r.seed)
	r.random = rand.New(rand.NewPCG(r.seed, 0))
	writing, stop := context.WithCancel(t.Context())
	reading, giveUp := context.WithCancel(t.Context())
	r.stop, r.giveUp = stop, giveUp
	t.Cleanup(func() { stop(); giveUp(); r.writing.Wait(); r.reading.Wait() })
	for i := range crashWriters {
		w := &kit.Writer{
			T: t, Name: fmt.Sprintf("w%d", i), Daemon: r.service, Random: rand.New(rand.NewPCG(r.seed, uint64(i))), Answers: &r.answers,
		}
		r.writers = append(r.writers, w)
		r.writing.Go(func() { w.Work(writing) })
	}
	for _, o := range kit.Observers(t, []kit.Daemon{r.service}) {
		r.observers = append(r.observers, o)
		r.reading.Go(func() { o.Run(reading) })
	}
	r.outside = &outsider{t: t, db: r.db, random: rand.New(rand.NewPCG(r.seed, crashWriters))}
	return r
}

// survive lets everybody work for a while, kills the daemon and starts it again.
// In every second pair of rounds another process writes, too: there are kills with
// it in the middle of its work, and starts of a daemon that is alone with the file.
// Every fourth time the next daemon is killed, too, while it starts.
func (r *crashRun) survive(round int) {
	r.t.Helper()
	if round%4 == 0 {
		r.outside.begin()
	}
	r.answers.Await(r.t, 1+r.random.IntN(300))
	<-time.After(r.upTo(20 * time.Millisecond)) // any moment, not only that after an answer
	if r.random.IntN(4) == 0 {
		r.early++
		r.kill(r.upTo(30 * time.Millisecond))
	} else {
		r.kill()
	}
	if round%4 == 1 {
		r.outside.end()
	}
}

func (r *crashRun) upTo(longest time.Duration) time.Duration {
	return time.Duration(r.random.Int64N(int64(longest)))
}

// finish ends the writing, lets the subscribers read to the end, and compares.
func (r *crashRun) finish() {
	r.t.Helper()
	r.outside.end()
	r.stop()
	r.writing.Wait()
	c := r.daemon.dial()
	end, err := c.Create(r.t.Context(), schema.Draft{Title: kit.EndMark, Status: schema.Done})
	if err != nil {
		r.t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, r.giveUp)
	r.reading.Wait()
	late.Stop()
	c.Close()
	r.daemon.stop()

	mustRun(r.t, "check", "--db", r.db)
	f := kit.ReadFile(r.t, r.db)
	if last := f.Records[len(f.Records)-1]; last.Seq != end.Version || last.Mark != kit.EndMark {
		r.t.Errorf("the journal ends with %+v, not with the last write %d", last, end.Version)
	}
	writes, made, lost := 0, 0, 0
	for _, w := range r.writers {
		lost += w.Lost
		asked, done := w.Check(r.t, f)
		writes += asked
		made += done
	}
	outside := 0
	for i := range r.outside.ledger {
		outside += r.outside.ledger[i].Check(r.t, f)
	}
	events := 0
	for _, o := range r.observers {
		o.Check(r.t, f, end.Version)
		events += len(o.Seen)
		r.t.Logf("%s: %d events, connected %d times", o.Name, len(o.Seen), o.Connected)
	}
	r.t.Logf("%d kills, %d more while starting; %d writes made of %d asked for, %d answers lost; %d writes of another process; "+
		"%d events in the journal, %d seen by %d subscribers",
		r.kills, r.early, made, writes, lost, outside, len(f.Records), events, len(r.observers))
}
