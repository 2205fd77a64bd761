package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// needFigures skips a test that measures for long, and checks next to nothing.
func needFigures(t *testing.T) {
	t.Helper()
	if os.Getenv(figures) == "" {
		t.Skip(figures + " is not set")
	}
}

// Writes per second, and how long a write takes, with callers spread over three daemons:
// with the stream as it is by itself, and with every message synced to the disk of a
// majority before it is acknowledged.
func TestWriteFigures(t *testing.T) {
	needFigures(t)
	for _, sync := range []bool{false, true} {
		f := startFleet(t, fleetOptions{nats: natsOptions{alwaysSync: sync}})
		for _, callers := range []int{1, 16, 64} {
			made, took := f.write(t, callers, 5*time.Second)
			t.Logf("sync_interval always: %v; %2d callers: %6.0f writes/s, p50 %v, p99 %v", sync, callers, made,
				quantile(took, 0.5), quantile(took, 0.99))
		}
		f.requireEqual()
	}
}

// write lets callers write for a while, and gives how many writes were made each second
// and how long each took.
func (f *fleet) write(t *testing.T, callers int, long time.Duration) (perSecond float64, took []time.Duration) {
	t.Helper()
	clients := f.dial()
	var mu sync.Mutex
	var made atomic.Int64
	var writing sync.WaitGroup
	ctx, stop := context.WithTimeout(t.Context(), long)
	defer stop()
	began := time.Now()
	for i := range callers {
		c := clients[i%len(clients)]
		writing.Go(func() {
			var own []time.Duration
			for ctx.Err() == nil {
				asked := time.Now()
				if _, err := c.Create(t.Context(), schema.Draft{Title: "a task of the usual length"}); err != nil {
					t.Error(err)
					return
				}
				own = append(own, time.Since(asked))
				made.Add(1)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	writing.Wait()
	for _, c := range clients {
		c.Close()
	}
	return float64(made.Load()) / time.Since(began).Seconds(), took
}

func quantile(all []time.Duration, q float64) time.Duration {
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))].Round(10 * time.Microsecond)
}

// How long after a write was asked for, and after it was answered, a subscriber of another
// daemon has its event, while nothing else happens.
func TestEventFigures(t *testing.T) {
	needFigures(t)
	f := startFleet(t, fleetOptions{})
	c, s := f.members[0].Dial(), follow(t, f.members[1].Dial(), schema.SinceStart)
	var asked, answered []time.Duration
	for i := range 500 {
		began := time.Now()
		answer := make(chan time.Time, 1)
		go func() {
			_, err := c.Create(t.Context(), schema.Draft{Title: fmt.Sprint("task ", i)})
			if err != nil {
				t.Error(err)
			}
			answer <- time.Now()
		}()
		next(t, s)
		came := time.Now()
		asked, answered = append(asked, came.Sub(began)), append(answered, came.Sub(<-answer))
		<-time.After(10 * time.Millisecond) // idle
	}
	t.Logf("event at another daemon: p50 %v, p99 %v after the write was asked for; p50 %v, p99 %v after its answer",
		quantile(asked, 0.5), quantile(asked, 0.99), quantile(answered, 0.5), quantile(answered, 0.99))
}

// How long a new daemon takes until it is ready where there are 100,000 tasks: from the
// log alone, and from a snapshot.
func TestJoinFigures(t *testing.T) {
	needFigures(t)
	const tasks = 100_000
	f := newFleet(t, fleetOptions{daemons: 4})
	founder := f.members[0]
	founder.begin()
	began := time.Now()
	makeTasks(t, founder.Dial(), tasks)
	t.Logf("%d tasks made in transactions of 1000 in %v", tasks, time.Since(began).Round(time.Millisecond))
	t.Logf("a new daemon is ready after %v, from the log alone", f.join(f.members[1]).Round(time.Millisecond))
	f.members[1].stop()

	g := newFleet(t, fleetOptions{daemons: 2})
	single := g.members[0]
	links, flags := single.links, single.flags
	single.links, single.flags = nil, nil
	single.begin()
	makeTasks(t, single.Dial(), tasks)
	single.stop()
	single.links, single.flags = links, flags
	t.Logf("a single daemon's file founds a cluster and is ready after %v", g.join(single).Round(time.Millisecond))
	t.Logf("a new daemon is ready after %v, from a snapshot", g.join(g.members[1]).Round(time.Millisecond))
	g.requireEqual()
}

// join starts a daemon and gives how long it takes until it is ready.
func (f *fleet) join(m *member) time.Duration {
	f.t.Helper()
	began := time.Now()
	m.begin()
	eventually(f.t, m.name+" ready", func() error {
		if status, why := readyz(f.t, m); status != http.StatusOK {
			return fmt.Errorf("%d: %s", status, why)
		}
		return nil
	})
	return time.Since(began)
}

// makeTasks makes tasks, a thousand in each transaction.
func makeTasks(t *testing.T, c *client.Client, tasks int) {
	t.Helper()
	const together = 1000
	for first := 0; first < tasks; first += together {
		operations := make([]schema.Operation, together)
		for i := range operations {
			operations[i] = schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{
				ID: fmt.Sprint("task-", first+i), Title: fmt.Sprint("task number ", first+i), Priority: schema.Priorities()[i%4],
			}}
		}
		if _, err := c.Apply(t.Context(), operations...); err != nil {
			t.Fatal(err)
		}
	}
}
