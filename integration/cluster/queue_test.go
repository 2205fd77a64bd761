package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

const (
	workersEach   = 3  // in this process, of each daemon
	tasksPerFault = 20 // that are to be done
	// timeTolerance is what a daemon that has just started may think wrongly of the log's
	// time, until it is told by a quick answer.
	timeTolerance = 60 * time.Millisecond
)

// Workers of three daemons whose clocks are up to an hour apart, some of them processes
// that are killed, take tasks while daemons and NATS servers die, are held up and cut off:
// each task is done once, under a claim that holds; who has lost it can write nothing; no
// claim ends before the time that was promised.
func TestQueue(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{flags: oftenSnapshots(), clocks: []time.Duration{-90 * time.Second, time.Hour, -10 * time.Minute}})
	x, ledger := newTroubles(f, 3), kit.NewLedger()
	ledger.Tolerance = timeTolerance
	tasks := tasksPerFault * (x.count + 1)
	maker := f.members[0].Dial()
	for i := range tasks {
		if _, err := maker.Create(t.Context(), schema.Draft{ID: fmt.Sprint("task", i), Title: "work"}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	t.Cleanup(func() { stop(); working.Wait() })
	for i := range workersEach * len(f.members) {
		m := f.members[i%len(f.members)]
		w := &kit.Worker{Name: fmt.Sprint("worker", i), URL: m.URL(), Running: m.Running, Random: x.randomness(1 + i), Ledger: ledger}
		working.Go(func() {
			if err := w.Work(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for i, m := range f.members {
		working.Go(func() { ledger.KillProcesses(ctx, t, m.URL(), fmt.Sprint("process", i), x.randomness(100+i)) })
	}
	began := time.Now()
	for range x.count {
		x.strike()
	}
	awaitDone(t, maker, tasks)
	took := time.Since(began)
	stop()
	working.Wait()
	story := kit.RequireStory(t, kit.Journal(t, maker, ""), ledger)
	f.requireEqual()
	if story.Done != tasks {
		t.Errorf("%d tasks are done, of %d", story.Done, tasks)
	}
	t.Logf("%d tasks done once in %v; %d workers killed, %d connections left, %d answers lost; %+v; %d renewals, %d holders were told "+
		"that they had lost it; %d writes with an old token, all refused", tasks, took, ledger.Processes, ledger.Left, ledger.Unanswered,
		story, ledger.Renewed, len(ledger.Lost), ledger.Forged)
}

// awaitDone waits until that many tasks are done.
func awaitDone(t *testing.T, c *client.Client, tasks int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	s, err := kit.Persist(ctx, func() (*client.Subscription, error) {
		return c.Subscribe(ctx, schema.SubscribeParams{Since: new(schema.SinceStart), Filter: &schema.EventFilter{
			Filter: schema.Filter{Status: []schema.Status{schema.Done}},
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(map[string]bool)
	for event, err := range s.Events(ctx) {
		if err != nil {
			t.Fatalf("%d of %d tasks are done: %v", len(done), tasks, err)
		}
		if event.ChangeType == schema.Updated && event.NewStatus == schema.Done {
			done[event.TaskID] = true
		}
		if len(done) == tasks {
			return
		}
	}
}
