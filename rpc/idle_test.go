package rpc

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
)

// What a connection may cost that has one subscription, and nothing to do. The heap has
// both ends of its socket, the stacks have holes between them.
const (
	idleGoroutines = 3 // that read, watch deadlines for the WebSocket library, wait for events
	idleHeap       = 8500
	idleStacks     = 10_000
)

// Connections that listen cost as many goroutines and bytes as they should.
func TestIdleSubscriberIsCheap(t *testing.T) {
	if withRaceDetector {
		t.Skip("the race detector has a memory of its own")
	}
	const n = 500
	d := start(t)
	open := func(connections int) {
		for range connections {
			listen(t, d)
		}
	}
	open(100) // fills pools and caches
	manyGoroutines(idleGoroutines * n)
	before := d.atRest()
	open(n)
	after := d.atRest()
	goroutines := float64(after.goroutines-before.goroutines) / n
	heap, stacks := (after.heap-before.heap)/n, (after.stacks-before.stacks)/n
	t.Logf("an idle subscriber has %.2f goroutines, %d bytes of heap, %d of stacks", goroutines, heap, stacks)
	if goroutines > idleGoroutines || heap > idleHeap || stacks > idleStacks {
		t.Errorf("more than %d, %d and %d", idleGoroutines, idleHeap, idleStacks)
	}
}

// listen opens a connection, subscribes, and reads up to the bookmark. This end of it is
// a socket and nothing else.
func listen(t *testing.T, d *daemon) {
	t.Helper()
	conn := must(net.Dial("tcp", d.address))
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /rpc HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", d.address)
	in := bufio.NewReader(conn)
	if response := must(http.ReadResponse(in, nil)); response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response.Status)
	}
	subscribe := request(1, "task.subscribe", `{}`)
	must(conn.Write(append([]byte{0x81, 0x80 | byte(len(subscribe)), 0, 0, 0, 0}, subscribe...)))
	for range 2 { // frames: the answer, the bookmark
		must(in.ReadByte())
		size := int64(must(in.ReadByte()))
		if size == 126 {
			size = int64(must(in.ReadByte()))<<8 | int64(must(in.ReadByte()))
		}
		must(io.CopyN(io.Discard, in, size))
	}
}

// manyGoroutines lets the runtime make what it keeps of goroutines that have ended, which
// would otherwise count for those of whoever comes first.
func manyGoroutines(n int) {
	var all sync.WaitGroup
	end := make(chan struct{})
	for range n {
		all.Go(func() { <-end })
	}
	close(end)
	all.Wait()
}

type costs struct {
	goroutines   int
	heap, stacks int64
}

// atRest gives what is in use when nothing is done any more.
func (d *daemon) atRest() costs {
	for range 4 { // stacks shrink by half with each
		runtime.GC()
	}
	for d.attendants() > 0 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return costs{runtime.NumGoroutine(), int64(m.HeapAlloc), int64(m.StackInuse)}
}
