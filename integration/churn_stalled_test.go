package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// stalledBytes is the most that a subscription whose peer has stopped reading may
// cost: what it has read from the journal for its next write, and that write.
const stalledBytes = 3 << 19

// Peers stop reading while events flow. They cost a bounded amount of memory,
// however much there is to tell them, and delay nobody. When they read on, each
// has every event, in order.
func TestPeersThatStopReading(t *testing.T) {
	d := serve(t, database(t), "--log-level", "error")
	g, other := d.gauge(""), newBystander(t, d)
	warm(t, d)
	before := g.settled()
	const n, events = 6, 500
	stalled := stall(t, d, n)
	var made []int64
	other.watch(t, func() {
		made = flood(t, d, events)
		first := g.settled()
		t.Logf("%d stalled peers: %v", n, first)
		made = append(made, flood(t, d, events)...)
		second := g.settled()
		t.Logf("twice as many events later: %v", second)
		if used := first.heap + first.stacks - before.heap - before.stacks; used > n*stalledBytes {
			t.Errorf("a stalled peer costs %d bytes, more than %d", used/n, stalledBytes)
		}
		// One copy of the later events, queued for all peers together, would be more; the
		// newest events, which are in memory in any case, come and go with a few MiB.
		if grown := second.heap + second.stacks - first.heap - first.stacks; grown > events*floodBytes*3/4 {
			t.Errorf("the stalled peers cost %d bytes more, the more there is to tell them", grown)
		}
	})
	parallel(t, n, n, func(i int) error {
		for _, want := range made {
			e, err := stalled[i].event()
			if err != nil || e.Seq != want {
				return fmt.Errorf("event %d instead of %d, %v", e.Seq, want, err)
			}
		}
		return stalled[i].goodbye()
	})
	t.Logf("after: %v", g.back(before, 6*n))
}

// A peer that takes nothing for 30 s is cut off, long before the answer to a ping is
// missed, and nothing of it stays.
func TestPeersThatNeverReadAgain(t *testing.T) {
	if !fullLoad() {
		t.Skip("takes 30 s: set DESCARTES_LOAD=full")
	}
	d := serve(t, database(t), "--log-level", "error")
	g, other := d.gauge(""), newBystander(t, d)
	warm(t, d)
	before := g.settled()
	const n = 30
	stalled := stall(t, d, n)
	other.watch(t, func() {
		flood(t, d, 300)
		t.Logf("%d stalled peers: %v", n, g.read())
		began := time.Now()
		gone(t, g, before)
		took := time.Since(began)
		t.Logf("all cut off after %v", took)
		if limit := 40 * time.Second; took > limit {
			t.Errorf("cut off after %v, more than %v", took, limit)
		}
		g.back(before, 6*n)
	})
	ends := make(map[string]int)
	for _, p := range stalled {
		_, err := p.event()
		for err == nil {
			_, err = p.event()
		}
		ends[endOf(err)]++
	}
	t.Logf("the peers, when they look again: %v", ends)
}

// endOf says in short how a connection ended.
func endOf(err error) string {
	switch {
	case strings.HasPrefix(err.Error(), "closed with"):
		return err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "cut off (1006)"
	default:
		return err.Error()
	}
}

// gone waits until nobody is connected who was not before.
func gone(t *testing.T, g *gauge, before figures) {
	t.Helper()
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for deadline := time.After(90 * time.Second); g.read().connections > before.connections; {
		select {
		case <-pace.C:
		case <-deadline:
			t.Fatalf("still connected: %v", g.read())
		}
	}
}

// stall connects peers that subscribe to everything that flood makes, and then
// read no more. What the kernel holds for them is a few megabytes at most.
func stall(t *testing.T, d *daemon, n int) []*peer {
	t.Helper()
	return d.crowd(n, func(_ int, p *peer) error {
		return p.subscribe(schema.SubscribeParams{
			Filter: &schema.EventFilter{Filter: schema.Filter{AssignedTo: []*string{new(floodName)}}},
		})
	})
}

const (
	floodName  = "flood"
	floodBytes = 30 << 10
)

// flood makes n events of floodBytes, n a multiple of 20, and gives their seqs. It
// does so in few commits: a peer may be stalled for 30 s, on a slow disk, too.
func flood(t *testing.T, d *daemon, n int) (made []int64) {
	t.Helper()
	c := d.dial()
	defer c.Close()
	big := strings.Repeat("x", floodBytes)
	for len(made) < n {
		operations := make([]schema.Operation, 20)
		for i := range operations {
			operations[i] = schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{Title: "flood", AssignedTo: new(floodName), Description: &big}}
		}
		applied, err := c.Apply(t.Context(), operations...)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range applied.Results {
			made = append(made, r.Task.Version)
		}
	}
	return made
}

// Peers vanish without a word: no packet of theirs arrives any more, not even one
// that ends the connection. The daemon pings within 20 s, and lets them go 30 s
// after that, whether it has had something to tell them or not: little of it is more
// than the kernel takes.
func TestHalfOpenConnections(t *testing.T) {
	if !fullLoad() {
		t.Skip("takes a minute: set DESCARTES_LOAD=full")
	}
	ownNetwork(t)
	socket := t.TempDir() + "/s"
	d := serve(t, database(t), "--log-level", "error", "--socket", socket)
	d.url, socket = "ws+unix://"+socket, d.url // for everybody but the peers
	g, other := d.gauge(strings.TrimPrefix(d.url, "ws+unix://")), newBystander(t, d)
	warm(t, d)
	before := g.settled()
	const n = 200
	over := *d
	over.url = socket
	peers := make([]*peer, n)
	for i := range peers { // in this thread: no other one is in the network
		p, err := over.connect()
		if err == nil && i%2 == 0 {
			err = p.subscribe(schema.SubscribeParams{})
		}
		if err != nil {
			t.Fatal(err)
		}
		peers[i] = p
	}
	other.watch(t, func() {
		loopback(t, "down")
		for _, p := range peers {
			p.Close()
		}
		if now := g.read(); now.connections != before.connections+n {
			t.Errorf("%d peers vanished: %v", n, now)
		}
		began := time.Now()
		gone(t, g, before)
		t.Logf("%d peers that vanished are gone after %v", n, time.Since(began))
		g.back(before, 6*n)
	})
}

// ownNetwork moves the test into a network namespace of its own, with a loopback
// device that it can switch off. The thread is never used for anything else.
func ownNetwork(t *testing.T) {
	t.Helper()
	need(t, "ip")
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a network namespace: %v", err)
		}
		t.Skipf("a network namespace: %v", err)
	}
	loopback(t, "up")
}

func loopback(t *testing.T, state string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "set", "lo", state).CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s", err, out)
	}
}
