package rpc

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

const (
	slowChanges = 20_000
	slowGroup   = 500 // changes of one task.apply
)

// A subscriber that reads nothing while 20,000 changes of 1 KB pass costs less
// than 1 MB and delays nobody; then it gets every one.
func TestSubscriberThatReadsNothing(t *testing.T) {
	if withRaceDetector {
		t.Skip("the race detector has a memory, and a time, of its own")
	}
	var heap [3]uint64
	for i, slow := range []bool{false, false, true} {
		changes := slowChanges
		if i == 0 {
			changes /= 10 // fills pools and caches
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) { heap[i] = pass(t, changes, slow) })
	}
	cost := int64(heap[2]) - int64(heap[1])
	t.Logf("live heap: %d KB without, %d KB with a subscriber that reads nothing", heap[1]>>10, heap[2]>>10)
	if cost >= 1<<20 {
		t.Errorf("it costs %d bytes", cost)
	}
}

// pass lets the changes pass and gives the heap in use at their end.
func pass(t *testing.T, changes int, withSlow bool) uint64 {
	d := start(t)
	var slow *peer
	if withSlow {
		slow = d.connect()
		slow.subscribe(`{}`)
	}
	fast, writer := d.connect(), d.connect()
	fast.subscribe(`{}`)
	fast.live()
	written := make(chan struct{})
	go func() {
		defer close(written)
		writeGroups(writer, changes)
	}()
	readAll(fast, changes)
	<-written
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if withSlow {
		if lag := d.emitter.Stats().SlowestLag; lag < int64(changes)/3 { // the kernel holds some MB for it
			t.Errorf("the slow subscriber is only %d events behind: this proves nothing", lag)
		}
		slow.live()
		readAll(slow, changes)
	}
	return m.HeapAlloc // in use would count the holes between objects
}

func writeGroups(p *peer, changes int) {
	operation := fmt.Sprintf(`,{"op":"create","title":"x","description":%q}`, strings.Repeat("d", 1000))
	params := `{"operations":[` + strings.Repeat(operation, slowGroup)[1:] + `]}`
	for range changes / slowGroup {
		p.call("task.apply", params)
	}
}

// readAll reads the events of all changes, in order.
func readAll(p *peer, changes int) {
	p.t.Helper()
	for seq := 1; seq <= changes; seq++ {
		frame := p.next() // decoding each would take longer than everything else
		if !strings.Contains(frame, fmt.Sprintf(`"result":{"seq":%d,`, seq)) {
			p.t.Fatalf("event %d: got %.300s", seq, frame)
		}
	}
}
