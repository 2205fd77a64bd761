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
// A connection has two goroutines: one reads frames and queues their requests
// (accept), the other does the work (work). A subscription has one more.
type session struct {
	server *Server
	log    zerolog.Logger
	remote string        // address of the peer
	holder *schema.Token // that the peer came in by; nil where none is needed
	source int64         // marks the changes of this connection; 0 for a POST request
	ctx    context.Context
	cancel context.CancelFunc
	conn   *wire.Conn                     // nil for a POST request
	send   func(messages ...[]byte) error // writes to the peer
	queue  chan *wire.Request             // closed when the peer sends no more
	slots  chan struct{}                  // one taken for each unanswered request; nil: unlimited
	drains chan struct{}                  // closed when the server shuts down
	stays  context.Context                // ends when the peer is gone, or may not stay
	leave  context.CancelFunc             // ends stays
	waited chan pendingWrite              // claims that have waited
	leaves atomic.Bool                    // the peer may not stay: nothing more is done for it

	// Owned by the goroutine that does the work.
	refuses  bool            // writes, because the server shuts down
	last     *wire.Request   // that was handled
	pending  []pendingWrite  // submitted, not yet answered, in order
	unsent   [][]byte        // answers not yet written
	bytes    int             // of unsent
	deferred []*subscription // to be started once the answer that tells their id is complete
	starting []*subscription // to be started once unsent is written
	waiting  int             // claims that wait for a task to become ready
	patient  *emitter.Write  // the newest of them
	binds    bool            // a claim may end with this connection

	turn          chan struct{} // of the subscriptions: see emitter.Spec
	mu            sync.Mutex
	subscriptions map[string]*subscription
	subscribed    int // subscriptions ever, which names them
}

// pendingWrite is a request whose change is on its way into the journal.
type pendingWrite struct {
	request *wire.Request
	method  *method
	write   *emitter.Write
	began   time.Time
}

func newSession(server *Server, log zerolog.Logger) *session {
	ctx, cancel := context.WithCancel(context.Background())
	stays, leave := context.WithCancel(ctx)
	inFlight := server.config.Limits.MaxInFlight
	return &session{
		server: server, log: log, ctx: ctx, cancel: cancel, stays: stays, leave: leave,
		waited:        make(chan pendingWrite),
		source:        rand.Int64(),
		queue:         make(chan *wire.Request, inFlight),
		slots:         make(chan struct{}, inFlight),
		drains:        make(chan struct{}),
		turn:          make(chan struct{}, 1),
		subscriptions: make(map[string]*subscription),
	}
}

// start serves the connection until it ends. It does not wait for that.
func (s *session) start(conn *wire.Conn) {
	s.server.mu.Lock()
	s.conn, s.send = conn, conn.Write
	if s.server.access.recheck(s.holder) != nil { // any more: expelStrangers did not see it
		s.expel()
	}
	s.server.mu.Unlock()
	conn.Serve(wire.Limits{Batch: s.server.config.Limits.MaxBatch}, s.accept, s.end)
	go func() {
		defer s.server.dismiss(s)
		s.work()
		if s.binds {
			s.server.config.Emitter.Abandon(s.source)
		}
		s.stopSubscriptions()
		visits := s.log.Sample(s.server.visits)
		visits.Info().Msg("disconnected")
	}()
}

// end notes that the connection has ended: nothing is accepted any more.
func (s *session) end(err error) {
	if err != nil {
		s.log.Debug().Err(err).Msg("connection lost")
	}
	s.cancel()
	close(s.queue)
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
	s.queue <- r
}

// drain asks the session to finish what it has accepted and to close.
func (s *session) drain() { close(s.drains) }

// work handles requests, one after the other, until the peer sends no more. What
// was accepted before the connection broke is still done: a script may well send
// its writes and leave.
func (s *session) work() {
	drains := s.drains
	for {
		var settled <-chan struct{}
		if len(s.pending) > 0 {
			settled = s.pending[0].write.Done()
		}
		if len(s.queue) == 0 && !closed(settled) {
			s.flush() // before waiting: while there is more to do, answers gather
		}
		select {
		case r, open := <-s.queue:
			if !open {
				s.settleAll()
				s.settleWaits()
				return
			}
			s.handle(r)
		case <-settled:
			s.settle()
		case p := <-s.waited:
			s.settleWait(p)
		case <-drains:
			drains = nil
			s.finish()
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// finish answers what was accepted and closes the connection; the queue is closed
// by its reader soon after. Writes that come until then are not made: they could
// not be answered any more. A batch of which some is answered is answered whole,
// with an error for each write that is not made.
func (s *session) finish() {
	for range len(s.queue) {
		if r, open := <-s.queue; open {
			s.handle(r)
		}
	}
	s.settleAll()
	s.settleWaits()
	s.refuses = true
	for s.last != nil && s.last.BatchOpen() {
		r, open := <-s.queue
		if !open {
			break
		}
		s.handle(r)
		s.settleAll()
	}
	s.flush()
	if err := s.conn.Close(wire.CloseGoingAway, "the server is shutting down"); err != nil {
		s.log.Debug().Err(err).Msg("close")
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
