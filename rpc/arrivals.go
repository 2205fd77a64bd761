package rpc

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// arrivalWait is how long a shutdown waits for what comes on connections that have just
// been accepted. One that stays silent costs it that time, and is closed.
const arrivalWait = time.Second

// arrivals are the listeners, and the connections whose first request was not heard yet.
// net/http drops such a request when it comes during a shutdown, although nobody told
// its sender to go elsewhere.
type arrivals struct {
	mu        sync.Mutex
	listeners map[net.Listener]struct{} // that are accepted on
	fresh     map[net.Conn]struct{}
	shut      bool
	settled   chan struct{} // closed when there is neither any more, once shut
}

func newArrivals() *arrivals {
	return &arrivals{
		listeners: make(map[net.Listener]struct{}), fresh: make(map[net.Conn]struct{}), settled: make(chan struct{}),
	}
}

// begin notes a listener; ok is false where it is too late for one.
func (a *arrivals) begin(l net.Listener) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.shut {
		a.listeners[l] = struct{}{}
	}
	return !a.shut
}

// end forgets a listener that nothing is accepted on any more, and tells whether it was
// closed on purpose.
func (a *arrivals) end(l net.Listener) (shut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.listeners, l)
	a.look()
	return a.shut
}

// track follows a connection, in the goroutine that accepts until it is noted.
func (a *arrivals) track(conn net.Conn, state http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch state {
	case http.StateNew:
		a.fresh[conn] = struct{}{}
	case http.StateHijacked, http.StateClosed:
		delete(a.fresh, conn)
		a.look()
	}
}

// heard notes that a request has come.
func (a *arrivals) heard(r *http.Request) {
	if conn, ok := r.Context().Value(arrivalKey{}).(net.Conn); ok {
		a.track(conn, http.StateHijacked)
	}
}

// look tells settle when it is over. The caller has the lock.
func (a *arrivals) look() {
	if !a.shut || len(a.listeners)+len(a.fresh) > 0 {
		return
	}
	select {
	case <-a.settled:
	default:
		close(a.settled)
	}
}

// settle closes the listeners and waits until everybody who was let in was heard, for
// arrivalWait at most. Calling it twice is harmless.
func (a *arrivals) settle(ctx context.Context) {
	a.mu.Lock()
	a.shut = true
	for l := range a.listeners {
		_ = l.Close()
	}
	a.look()
	a.mu.Unlock()
	patience := time.NewTimer(arrivalWait)
	defer patience.Stop()
	select {
	case <-a.settled:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// arrivalKey finds the connection that a request came on in its context.
type arrivalKey struct{}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, arrivalKey{}, conn)
}
