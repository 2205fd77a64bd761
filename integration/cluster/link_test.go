package cluster

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// link is a proxy of TCP that can be cut: the only way from one process to another.
type link struct {
	name     string
	listener net.Listener
	there    gate // for what goes to the target
	back     gate // for what comes from it
	serving  sync.WaitGroup
	rate     atomic.Int64 // bytes per second that come through in each direction; 0: as many as want

	mu      sync.Mutex
	target  string              // "": there is none now
	refuse  bool                // connections are ended, those that come too
	ends    map[net.Conn]func() // of the connections, by the caller's side
	closing bool
}

// fault says how a link is cut.
type fault int

// The faults of a link.
const (
	broken fault = iota // connections end, and nobody answers
	silent              // connections stay, and nothing comes through
	deaf                // the same, but what comes from the target
	mute                // the same, but what goes to the target
)

func (f fault) String() string { return [...]string{"broken", "silent", "deaf", "mute"}[f] }

func newLink(t *testing.T, name string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{name: name, listener: listener, ends: make(map[net.Conn]func())}
	l.serving.Go(l.serve)
	t.Cleanup(l.close)
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

// lead says where the target is now.
func (l *link) lead(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// cut cuts it until it is healed.
func (l *link) cut(how fault) {
	if how == broken {
		l.breakAll()
		return
	}
	if how != deaf {
		l.there.shut()
	}
	if how != mute {
		l.back.shut()
	}
}

func (l *link) heal() {
	l.mu.Lock()
	l.refuse = false
	l.mu.Unlock()
	l.there.open()
	l.back.open()
}

func (l *link) breakAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = true
	for caller, end := range l.ends {
		reset(caller)
		end()
	}
}

func (l *link) close() {
	l.listener.Close()
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.breakAll()
	l.serving.Wait()
}

func (l *link) serve() {
	for {
		caller, err := l.listener.Accept()
		if err != nil {
			return
		}
		over := make(chan struct{})
		end := sync.OnceFunc(func() {
			caller.Close()
			close(over)
		})
		l.mu.Lock()
		if l.refuse || l.closing {
			l.mu.Unlock()
			reset(caller)
			continue
		}
		l.ends[caller] = end
		l.mu.Unlock()
		l.serving.Go(func() {
			l.connect(caller, end, over)
			l.mu.Lock()
			delete(l.ends, caller)
			l.mu.Unlock()
		})
	}
}

// connect carries a connection until it is over.
func (l *link) connect(caller net.Conn, end func(), over <-chan struct{}) {
	defer end()
	if !l.there.pass(over) || !l.back.pass(over) {
		return
	}
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	if target == "" {
		return
	}
	called, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		return
	}
	var carrying sync.WaitGroup
	carrying.Go(func() { l.carry(called, caller, &l.there, over); end() })
	carrying.Go(func() { l.carry(caller, called, &l.back, over); end() })
	<-over
	called.Close()
	carrying.Wait()
}

// reset ends a connection with a reset: nothing that was sent need arrive.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// carry copies until one side ends, which the other side learns as late as anything else
// that has to pass the gate.
func (l *link) carry(to io.Writer, from io.Reader, g *gate, over <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !g.pass(over) || !l.delay(n, over) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// delay takes the time that n bytes take; false: until the connection was over.
func (l *link) delay(n int, over <-chan struct{}) bool {
	rate := l.rate.Load()
	if rate == 0 {
		return true
	}
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
		return true
	case <-over:
		return false
	}
}

// gate is open or shut. The zero value is open.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed when it is opened; nil while it is open
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// pass waits until it is open; false: until the connection was over.
func (g *gate) pass(over <-chan struct{}) bool {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened == nil {
		return true
	}
	select {
	case <-opened:
		return true
	case <-over:
		return false
	}
}
