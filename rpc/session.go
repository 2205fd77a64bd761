package rpc

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// maxUnsent is how many bytes of answers a session gathers before it writes them,
// while there is more to do.
const maxUnsent = 64 << 10

// session is one connection, or one POST request: its requests, in order, and its
// subscriptions.
//
// A connection has a goroutine that reads frames and queues their requests (accept), and
// while there is something to do another one that does it (work). A subscription has one
// more.
type session struct {
	server *Server
	number int64         // of the connection, in the log; 0 for a POST request
	remote string        // address of the peer
	holder *schema.Token // that the peer came in by; nil where none is needed
	source int64         // marks the changes of this connection; 0 for a POST request
	ctx    context.Context
	cancel context.CancelFunc
	conn   *wire.Conn                     // nil for a POST request
	send   func(messages ...[]byte) error // writes to the peer
	queue  inbox                          // over when the peer sends no more
	slots  chan struct{}                  // one taken for each unanswered request; nil: unlimited
	leaves atomic.Bool                    // the peer may not stay: nothing more is done for it
	left   chan struct{}                  // closed when leaves is set

	// Owned by the goroutine that does the work.
	refuses  bool              // writes, because the server shuts down
	last     *wire.Request     // that was handled
	pending  []pendingWrite    // submitted, not yet answered, in order
	unsent   *[]byte           // answers not yet written, one after the other; of buffers
	ends     []int             // of the answers in unsent
	deferred []*subscription   // to be started once the answer that tells their id is complete
	starting []*subscription   // to be started once unsent is written
	waiting  int               // claims that wait for a task to become ready
	waited   chan pendingWrite // claims that have waited; nil until there are some
	patient  *emitter.Write    // the newest of them
	binds    bool              // a claim may end with this connection

	turn          chan struct{} // of the subscriptions: see emitter.Spec
	mu            sync.Mutex
	subscriptions []*subscription
	subscribed    int // subscriptions ever, which names them
}

// pendingWrite is a request whose change is on its way into the journal.
type pendingWrite struct {
	request *wire.Request
	method  *method
	write   *emitter.Write
	began   time.Time
}

func newSession(server *Server, number int64) *session {
	s := &session{
		server: server, number: number, source: server.config.source(number, rand.Int64()),
		queue: newInbox(),
		slots: make(chan struct{}, server.config.Limits.MaxInFlight),
		left:  make(chan struct{}),
		turn:  make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// start serves the connection until it ends. It does not wait for that.
func (s *session) start(conn *wire.Conn) {
	s.server.mu.Lock()
	s.conn, s.send = conn, conn.Write
	if s.server.access.recheck(s.holder) != nil { // any more: expelStrangers did not see it
		s.expel()
	}
	s.server.mu.Unlock()
	s.queue.open(s.work)
	conn.Serve(wire.Limits{Batch: s.server.config.Limits.MaxBatch}, s.accept, s.end)
}

// line begins a line of the log that tells of whom it is. Loggers that know are half a
// KiB for each connection.
func (s *session) line(line *zerolog.Event) *zerolog.Event {
	if s.number > 0 {
		return line.Int64("connection", s.number)
	}
	return line.Str("remote", s.remote)
}

// end notes that the peer sends no more.
func (s *session) end(err error) {
	if err != nil {
		s.line(s.server.log.Debug()).Err(err).Msg("connection lost")
	}
	s.cancel()
	s.queue.end()
}

// accept queues one request. It blocks while too many are unanswered, so that the
// peer is slowed down by TCP. When the connection ends meanwhile, there is nobody to
// read for any more: what is asked is given up, and writes are made.
func (s *session) accept(r *wire.Request) {
	select {
	case s.slots <- struct{}{}:
	case <-s.conn.Done():
		s.cancel()
		s.slots <- struct{}{}
	}
	s.queue.put(r)
}

// work handles requests, one after the other, until the peer sends no more, or nothing
// for a while. What was accepted before the connection broke is still done: a script may
// well send its writes and leave.
func (s *session) work() {
	leaving := s.server.leaving
	busy, ticks, idle := false, true, make(chan struct{}, 1)
	tick := time.AfterFunc(attention, func() { idle <- struct{}{} }) // costs a request nothing, unlike a timer's channel
	defer tick.Stop()
	for {
		if busy && !ticks { // not while it only waits: for a claim that takes minutes
			busy, ticks = false, true
			tick.Reset(attention)
		}
		var settled <-chan struct{}
		if len(s.pending) > 0 {
			settled = s.pending[0].write.Done()
		}
		if s.queue.len() == 0 && !closed(settled) {
			s.flush() // before waiting: while there is more to do, answers gather
		}
		select {
		case <-s.queue.ready:
			if r, open := s.queue.take(); r != nil {
				busy = true
				s.handle(r)
			} else if !open {
				s.conclude()
				return
			}
		case <-settled:
			busy = true
			s.settle()
		case p := <-s.waited:
			busy = true
			s.settleWait(p)
		case <-leaving:
			leaving = nil
			s.finish()
		case <-idle:
			if ticks = false; !busy && s.rest() {
				return
			}
		}
	}
}

// rest tells whether the goroutine that works may end, as there is nothing to do.
func (s *session) rest() bool {
	if len(s.pending) > 0 || s.unsent != nil || s.waiting > 0 {
		return false
	}
	s.pending, s.ends, s.patient = nil, nil, nil
	if s.last != nil && !s.last.BatchOpen() {
		s.last = nil
	}
	if len(s.deferred) == 0 {
		s.deferred = nil
	}
	return s.queue.rest(s.server.leaving)
}

// conclude ends the session of a peer that sends no more.
func (s *session) conclude() {
	defer s.server.dismiss(s)
	s.settleAll()
	s.settleWaits()
	if s.binds {
		s.server.config.Emitter.Abandon(s.source)
	}
	s.stopSubscriptions()
	visits := s.server.log.Sample(s.server.visits)
	s.line(visits.Info()).Msg("disconnected")
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// finish answers what was accepted and closes the connection; its reader ends the
// queue soon after. Writes that come until then are not made: they could
// not be answered any more. A batch of which some is answered is answered whole,
// with an error for each write that is not made.
func (s *session) finish() {
	for range s.queue.len() {
		if r, _ := s.queue.take(); r != nil {
			s.handle(r)
		}
	}
	s.settleAll()
	s.settleWaits()
	s.refuses = true
	for s.last != nil && s.last.BatchOpen() {
		r, open := s.queue.next()
		if !open {
			break
		}
		s.handle(r)
		s.settleAll()
	}
	s.flush()
	if err := s.conn.Close(wire.CloseGoingAway, "the server is shutting down"); err != nil {
		s.line(s.server.log.Debug()).Err(err).Msg("close")
	}
}

// handle starts one request. Writes are only submitted: their answers come later,
// and the next write need not wait for them. Everything else waits until the
// writes before it are answered, and therefore sees them; no later write can have
// started by then.
func (s *session) handle(r *wire.Request) {
	began := time.Now()
	s.last = r
	if len(s.deferred) > 0 {
		s.settleAll() // a batch that subscribes is answered before anything that comes after it
	}
	if r.Fault != nil {
		s.answer(r, nil, nil, began)
		return
	}
	if s.leaves.Load() {
		s.answer(r, nil, errNotValid(), began)
		return
	}
	m := s.server.methods[r.Method]
	if m == nil {
		s.answer(r, nil, methodNotFound(), began)
		return
	}
	if m.write != nil {
		switch change, err := s.change(m, r); {
		case err != nil:
			s.answer(r, nil, err, began)
		case change.Wait() > 0:
			s.wait(m, r, change, began)
		default:
			s.pending = append(s.pending, pendingWrite{r, m, s.server.config.Emitter.Submit(change), began})
		}
		return
	}
	s.settleAll()
	result, err := s.run(m, r)
	s.answer(r, result, err, began)
}

// change gives the change of a write to be submitted, unless the write has to be
// refused. Every write of a session passes here, so that no method can forget to look
// at the token.
func (s *session) change(m *method, r *wire.Request) (change schema.Change, err error) {
	defer recovered(&err)
	if err := s.mayWrite(r); err != nil {
		return change, err
	}
	if change, err = m.write(s, r); err != nil {
		return change, err
	}
	if s.refuses {
		return change, schema.ShuttingDown()
	}
	if limit := s.server.config.Limits.MaxAnswer; int64(r.BatchSize()) > limit && !r.Notification() {
		// Once it is made it has to be answered in full, however long the array is.
		return change, schema.LimitExceeded("answer", limit)
	}
	change.Origin, change.Source = schema.OriginRPC, s.source
	if s.holder != nil {
		change.Actor = s.holder.Name
	}
	change.MaxResults = s.server.config.Limits.MaxAnswer
	return change, nil
}

// run calls a method that is no write.
func (s *session) run(m *method, r *wire.Request) (result json.RawMessage, err error) {
	defer recovered(&err)
	if m.needsWebSocket && s.conn == nil {
		return nil, needsWebSocket(r.Method)
	}
	limit := s.server.config.Limits.MaxAnswer
	if int64(r.BatchSize()) > limit && !r.Notification() {
		return nil, schema.LimitExceeded("answer", limit) // whatever the result would be
	}
	result, err = m.read(s, r)
	if err == nil && int64(len(result)+r.BatchSize()) > limit {
		return nil, schema.LimitExceeded("answer", limit)
	}
	return result, err
}

// settleAll waits for every pending write and answers it. Of claims that may wait it
// waits for the first try: what comes next sees what they have found at once.
func (s *session) settleAll() {
	for len(s.pending) > 0 {
		s.settle()
	}
	if s.patient != nil {
		s.patient.Tried()
		s.patient = nil
	}
}

// settle waits for the oldest pending write and answers it.
func (s *session) settle() {
	p := s.pending[0]
	s.pending = slices.Delete(s.pending, 0, 1)
	outcome := p.write.Outcome()
	if outcome.Err != nil {
		s.answer(p.request, nil, outcome.Err, p.began)
		return
	}
	s.answer(p.request, p.method.answer(s, outcome), nil, p.began)
}
