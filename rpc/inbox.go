package rpc

import (
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

// attention is how long a connection keeps the goroutine that works for it when there is
// nothing to do, or up to twice that. A peer that sends one request after the other finds
// it there; one that only listens does without it, and without the stack that it has grown.
const attention = 10 * time.Millisecond

// inbox holds the requests of a connection that nobody has begun, in order, and sees to
// it that somebody does. An idle one holds no memory. How many there may be is the
// business of who puts them in.
type inbox struct {
	ready chan struct{} // one slot, taken while there are requests, and once there will be no more
	work  func()        // what the goroutine runs until rest or take lets it go

	mu       sync.Mutex
	requests []*wire.Request
	over     bool // there will be no more
	attended bool // there is a goroutine
}

func newInbox() inbox { return inbox{ready: make(chan struct{}, 1), attended: true} }

// open starts the goroutine for the first time: what was put in before has waited.
func (q *inbox) open(work func()) {
	q.work = work
	go work()
}

// put adds a request.
func (q *inbox) put(r *wire.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.requests = append(q.requests, r)
	q.signal()
	q.attend()
}

// end says that there will be no more.
func (q *inbox) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	q.signal()
	q.attend()
}

// wake sees to it that there is a goroutine.
func (q *inbox) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.attend()
}

// attend and signal are called with mu held.
func (q *inbox) attend() {
	if !q.attended {
		q.attended = true
		go q.work()
	}
}

func (q *inbox) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take gives the next request after a receive from ready: nil if somebody else has taken
// it. It is not open when there are none and will be no more.
func (q *inbox) take() (r *wire.Request, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.requests) > 0 {
		r = q.requests[0]
		n := copy(q.requests, q.requests[1:])
		q.requests[n] = nil
		q.requests = q.requests[:n]
	}
	if len(q.requests) > 0 || q.over {
		q.signal()
	}
	return r, r != nil || !q.over
}

// next waits for the next request.
func (q *inbox) next() (r *wire.Request, open bool) {
	for open = true; r == nil && open; {
		<-q.ready
		r, open = q.take()
	}
	return r, open
}

// len is the number of requests.
func (q *inbox) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.requests)
}

// rest tells whether the goroutine may end: nothing is there, and the next one who brings
// something starts another. After leaving, nobody does.
func (q *inbox) rest(leaving <-chan struct{}) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.requests) > 0 || q.over || closed(leaving) {
		return false
	}
	q.requests, q.attended = nil, false
	return true
}
