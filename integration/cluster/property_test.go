package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
)

const (
	writersEach    = 4  // of each daemon
	answersBetween = 60 // two troubles, at most
)

// Clients of three daemons create, change and delete tasks, alone and in transactions, and
// claim them by filters, subscribers of every kind follow over all daemons, while daemons
// and NATS servers die, are held up and cut off. Afterwards each acknowledged write is in
// the journal once, in the order in which its client made it; each subscriber has seen
// just the journal; the events lead to the tasks; and all of it is the same in every file.
func TestProperties(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{flags: oftenSnapshots(), clocks: []time.Duration{0, -90 * time.Second, time.Hour}})
	x := newTroubles(f, 4)
	var answers kit.Tally
	var working, reading sync.WaitGroup
	writing, stop := context.WithCancel(t.Context())
	following, giveUp := context.WithTimeout(t.Context(), 10*patience)
	t.Cleanup(func() { stop(); giveUp(); working.Wait(); reading.Wait() })
	var writers []*kit.Writer
	for i := range writersEach * len(f.members) {
		w := &kit.Writer{
			T: t, Name: fmt.Sprint("w", i), Daemon: f.members[i%len(f.members)], Random: x.randomness(1 + i),
			Answers: &answers, Late: true,
		}
		writers = append(writers, w)
		working.Go(func() { w.Work(writing) })
	}
	var takers []*taker
	for i, m := range f.members {
		k := &taker{t: t, name: fmt.Sprint("taker", i), daemon: m, random: x.randomness(100 + i)}
		takers = append(takers, k)
		working.Go(func() { k.work(writing) })
	}
	var pipeliners []*pipeliner
	for i, m := range f.members {
		p := &pipeliner{t: t, name: fmt.Sprint("p", i), daemon: m}
		pipeliners = append(pipeliners, p)
		working.Go(func() { p.work(writing) })
	}
	var observers []*kit.Observer
	for range f.members {
		observers = append(observers, kit.Observers(t, rotated(f.daemons(), len(observers)))...)
	}
	for _, o := range observers {
		reading.Go(func() { o.Run(following) })
	}
	for range x.count {
		answers.Await(t, 1+x.random.IntN(answersBetween))
		x.strike()
	}
	answers.Await(t, 1)
	stop()
	working.Wait()
	f.healAll(t)
	end := f.endMark()
	late := time.AfterFunc(patience, giveUp)
	reading.Wait()
	late.Stop()
	file := f.requireEqual()
	writes, made, lost, claims, piped, events := 0, 0, 0, 0, 0, 0
	for _, w := range writers {
		asked, done := w.Check(t, file)
		writes, made, lost = writes+asked, made+done, lost+w.Lost
	}
	for _, k := range takers {
		claims += k.check(file)
	}
	for _, p := range pipeliners {
		piped += p.check(file)
	}
	for _, o := range observers {
		o.Check(t, file, end)
		events += len(o.Seen)
	}
	t.Logf("%d writes made of %d asked for, %d answers lost, %d claims, %d creations in bursts; %d events in the journal, %d seen by %d subscribers",
		made, writes, lost, claims, piped, len(file.Records), events, len(observers))
}

// rotated gives a list that begins elsewhere.
func rotated(all []kit.Daemon, by int) []kit.Daemon {
	by %= len(all)
	return append(all[by:len(all):len(all)], all[:by]...)
}
