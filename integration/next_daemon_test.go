package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// crew is writers that are given two daemons.
type crew struct {
	t       *testing.T
	made    kit.Tally
	stop    func()
	mu      sync.Mutex
	answers map[int64]string // the id of the task that the write with a seq made
	unsure  int              // writes whose connection was lost
}

// startCrew has n writers create tasks until they are stopped.
func startCrew(t *testing.T, urls string, n int) *crew {
	t.Helper()
	w := &crew{t: t, answers: make(map[int64]string)}
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	w.stop = func() { cancel(); writing.Wait() }
	t.Cleanup(w.stop)
	for i := range n {
		c, err := client.Dial(t.Context(), urls, kit.Reconnecting())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				w.write(c, fmt.Sprintf("w%d-%d", i, n))
			}
		})
	}
	return w
}

// write creates a task, again with the same id where nobody knows whether it was made.
func (w *crew) write(c *client.Client, id string) {
	for lost := false; w.t.Context().Err() == nil; {
		task, err := c.Create(w.t.Context(), schema.Draft{ID: id, Title: id})
		again, perhapsMade := kit.Unanswered(err)
		w.mu.Lock()
		switch {
		case err == nil:
			w.answers[task.Version] = id
		case perhapsMade:
			w.unsure++
		case !again && !(lost && errors.Is(err, schema.CodeTaskExists)) && w.t.Context().Err() == nil:
			w.t.Errorf("%s: %v", id, err)
		}
		w.mu.Unlock()
		if lost = lost || perhapsMade; !again {
			w.made.Add()
			return
		}
	}
}

// A subscriber that is given two daemons goes on at the other one when that which it is
// on is killed, without a gap or a duplicate, in under a second; so do writers, who are
// told where nobody knows.
func TestNextDaemonAfterAKill(t *testing.T) {
	const kills = 20
	db := database(t)
	services := []*service{startService(t, db, "a"), startService(t, db, "b")}
	urls := services[0].url() + "," + services[1].url()
	w := startCrew(t, urls, 4)
	c, err := client.Dial(t.Context(), urls, kit.Reconnecting())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := kit.NewObserver("subscriber that is given both")
	s := subscribe(t, c, schema.SubscribeParams{Since: new(schema.SinceStart)})
	var took []time.Duration
	for i := range kills {
		readUpTo(t, s, o, o.Last()+20)
		at := s.URL()
		if at != services[i%2].url() {
			t.Fatalf("kill %d: the subscription is on %s", i, at)
		}
		services[i%2].daemon.kill()
		began := time.Now()
		for s.URL() == at { // what came before the kill is read first
			readUpTo(t, s, o, o.Last()+1)
		}
		took = append(took, time.Since(began))
		services[i%2].daemon = serve(t, db, services[i%2].flags...)
		w.made.Await(t, 5)
	}
	w.stop()
	readUpTo(t, s, o, create(t, services[0].dial(), "last").Version)
	for _, s := range services {
		s.daemon.stop()
	}
	f := kit.ReadFile(t, db)
	kit.SawExactly(t, f, o, f.Last, func(*kit.Record) bool { return true })
	for seq, id := range w.answers {
		if r := f.At(seq); r == nil || r.TaskID != id {
			t.Errorf("%s was made as %d, where the journal has %+v", id, seq, r)
		}
	}
	slices.Sort(took)
	t.Logf("%d kills under 4 writers, %d events, %d writes that nobody knew of: from the kill to the next event %v in the median, %v at most",
		kills, f.Last, w.unsure, took[kills/2], took[kills-1])
	if took[kills-1] > time.Second {
		t.Errorf("the next event comes %v after a kill", took[kills-1])
	}
}

// A daemon that is stopped, and answers nothing, is given up after Silence and no more
// than a second; calls and new clients find the other one.
func TestNextDaemonAfterAPause(t *testing.T) {
	t.Parallel()
	const silence = 500 * time.Millisecond
	db := database(t)
	paused, other := serve(t, db, "--log-level", "error"), serve(t, db)
	options := kit.Reconnecting()
	options.Silence, options.DialTimeout = silence, silence
	c, err := client.Dial(t.Context(), paused.url+","+other.url, options)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := subscribe(t, c, schema.SubscribeParams{})
	if c.URL() != paused.url || s.URL() != paused.url {
		t.Fatalf("calls go to %s, the subscription is on %s", c.URL(), s.URL())
	}
	began := time.Now()
	if err := paused.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer paused.kill()
	writer := other.dial()
	first, second := create(t, writer, "one"), create(t, writer, "two")
	if e := next(t, s); e.TaskID != first.ID || s.URL() != other.url {
		t.Errorf("%+v of %s", e, s.URL())
	}
	event := time.Since(began)
	if e := next(t, s); e.TaskID != second.ID {
		t.Errorf("%+v", e)
	}
	if task, err := c.Get(t.Context(), first.ID); err != nil || task.Title != "one" || c.URL() != other.url {
		t.Errorf("%+v of %s, %v", task, c.URL(), err)
	}
	began = time.Now()
	late, err := client.Dial(t.Context(), paused.url+","+other.url, options)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	dialed := time.Since(began)
	t.Logf("a daemon that is stopped is given up after %v by a subscriber, %v by a handshake, where %v is bearable", event, dialed, silence)
	if event > silence+2*time.Second || dialed > silence+2*time.Second {
		t.Errorf("that is too long")
	}
}
