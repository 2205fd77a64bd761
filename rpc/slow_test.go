package rpc

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
)

const (
	slowSubscribers = 8
	slowChanges     = 20_000
	slowGroup       = 500 // changes of one task.apply
)

// Subscribers that read nothing while 20,000 changes of 1 KB pass cost less than 1 MB
// each and delay nobody; then they get every one. What else the daemon happens to hold
// at that moment (a request just read, a page on its way into the index) is some MB: there
// are several of them, so that it does not decide.
func TestSubscribersThatReadNothing(t *testing.T) {
	if withRaceDetector {
		t.Skip("the race detector has a memory, and a time, of its own")
	}
	pass(t, slowChanges/10, 0) // fills pools and caches
	without, with := pass(t, slowChanges, 0), pass(t, slowChanges, slowSubscribers)
	t.Logf("live heap: %d KB without, %d KB with %d subscribers that read nothing", without>>10, with>>10, slowSubscribers)
	if each := (int64(with) - int64(without)) / slowSubscribers; each >= 1<<20 {
		t.Errorf("each costs %d bytes", each)
	}
}

// pass lets the changes pass by slow subscribers and gives the heap that is live at their
// end.
func pass(t *testing.T, changes, slow int) (live uint64) {
	t.Run(fmt.Sprint(slow, " slow"), func(t *testing.T) {
		d := start(t)
		peers := make([]*peer, slow)
		for i := range peers {
			peers[i] = d.connect()
			peers[i].subscribe(`{}`)
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
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // not what came after it
		metrics.Read(sample)
		live = sample[0].Value.Uint64()
		if lag := d.emitter.Stats().SlowestLag; slow > 0 && lag < int64(changes)/3 { // the kernel holds some MB for each
			t.Errorf("the slowest subscriber is only %d events behind: this proves nothing", lag)
		}
		for _, p := range peers {
			p.live()
			readAll(p, changes)
		}
	})
	return live
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
