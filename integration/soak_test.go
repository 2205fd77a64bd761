package integration

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
)

// Two daemons share a file under a mixed load for as long as DESCARTES_SOAK says (as
// 10m; "task soak"; without it the test is skipped). One of them is killed once a
// minute and started again; the other one is measured all the time. At the end no
// acknowledged write is missing, two subscribers of every change have each of them
// once and in order, the figures of the last quarter are those of the second one,
// and with the load everything that it held is gone.
func TestSoak(t *testing.T) {
	text := os.Getenv("DESCARTES_SOAK")
	if text == "" {
		t.Skip("set DESCARTES_SOAK to a time like 10m")
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < 20*time.Second {
		t.Fatalf("DESCARTES_SOAK=%s: must be a time of at least 20s, %v", text, err)
	}
	s := newSoak(t)
	before := s.gauge.settled()
	t.Logf("before: %v", before)
	s.begin()
	s.sample(length)
	s.finish(before)
}

// soak is the two daemons and everybody around them.
type soak struct {
	t      *testing.T
	steady *service // never killed
	mortal *service
	gauge  *gauge // of the steady one
	seed   uint64

	auditors []*auditor
	stop     context.CancelFunc
	running  sync.WaitGroup // all but the auditors
	work     soakWork

	began   time.Time
	samples []soakSample
	kills   int
}

// soakRetention is small enough for events to be pruned all the time.
const soakRetention = "20000"

// The actors. Half of each kind is on either daemon.
const (
	soakWriters  = 8
	soakVisitors = 8
	soakReaders  = 4
)

func newSoak(t *testing.T) *soak {
	db := database(t)
	s := &soak{t: t, seed: uint64(kit.FromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))}
	t.Logf("DESCARTES_SEED=%d", s.seed)
	s.steady = startService(t, db, "steady", "--retain-events", soakRetention)
	s.mortal = startService(t, db, "mortal", "--retain-events", soakRetention)
	s.gauge = s.steady.daemon.gauge("")
	warm(t, s.steady.daemon)
	return s
}

// service gives one of the two daemons.
func (s *soak) service(i int) *service {
	if i%2 == 0 {
		return s.steady
	}
	return s.mortal
}

// begin lets everybody work.
func (s *soak) begin() {
	ctx, stop := context.WithCancel(s.t.Context())
	s.stop, s.began = stop, time.Now()
	s.t.Cleanup(func() { stop(); s.running.Wait() })
	for i := range 2 {
		s.auditors = append(s.auditors, s.audit(s.service(i)))
	}
	kind := func(n int, do func(a *soakActor, ctx context.Context) error) {
		for i := range n {
			actor := &soakActor{soak: s, service: s.service(i), name: i, random: rand.New(rand.NewPCG(s.seed, uint64(i)))}
			s.running.Go(func() { actor.run(ctx, do) })
		}
	}
	kind(soakWriters, (*soakActor).write)
	kind(soakVisitors, (*soakActor).visit)
	kind(soakReaders, (*soakActor).read)
	kind(1, (*soakActor).readSlowly)
	kind(1, (*soakActor).writeOutside)
}

// sample takes figures and kills, until the time is over.
func (s *soak) sample(length time.Duration) {
	const every = 2 * time.Second
	killEvery := min(time.Minute, length/4)
	nextKill := s.began.Add(killEvery / 2)
	pace := time.NewTicker(every)
	defer pace.Stop()
	for end := time.After(length); ; {
		select {
		case <-end:
			return
		case <-pace.C:
		}
		s.samples = append(s.samples, s.look())
		if time.Now().After(nextKill) {
			s.mortal.kill()
			s.kills++
			nextKill = nextKill.Add(killEvery)
		}
		if s.t.Failed() {
			s.t.FailNow()
		}
	}
}

// finish ends the load and looks at what it has left.
func (s *soak) finish(before figures) {
	s.stop()
	s.running.Wait()
	c := s.steady.dial()
	last := create(s.t, c, "the last one").Version
	c.Close()
	for _, a := range s.auditors {
		a.finish(last)
	}
	s.work.report(s)
	var peak int64
	for _, x := range s.samples {
		peak = max(peak, x.goroutines)
	}
	s.table()
	s.t.Logf("after: %v", s.gauge.back(before, peak))
	s.mortal.daemon.stop()
	s.steady.daemon.stop()
	mustRun(s.t, "check", "--db", s.steady.db)
}
