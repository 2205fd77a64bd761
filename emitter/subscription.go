package emitter

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// Spec is what a subscriber wants.
type Spec struct {
	Filter      schema.EventFilter
	Since       string        // a cursor, schema.SinceStart, or "": from now on
	Snapshot    bool          // first every matching task as it is now; not with Since
	Debounce    time.Duration // window of folding; 0: every change
	WithoutTask bool          // leave the task out of events
	Batch       BatchSpec     // zero: every event by itself
	Source      int64         // the connection: its own changes are marked
	Turn        chan struct{} // of capacity 1, shared by the subscriptions of one peer; nil: they need not take turns
}

// BatchSpec asks for events in batches.
type BatchSpec struct {
	Max  int           // events of a batch; 0: no batches
	Wait time.Duration // how long the first event of a batch may wait for others
}

// Sink takes what a subscription delivers. Its methods are called by one
// goroutine at a time, and may block: the subscription then stays where it is. An
// error ends the subscription.
type Sink interface {
	// Send writes each event as a notification of its own. The events are the
	// subscription's again when it returns.
	Send(events []Delivery) error
	// SendBatch writes one notification.
	SendBatch(Batch) error
	// Ended is called at most once, when the subscription ended by itself: with
	// ErrResynced, an error of Send or SendBatch, or one that nobody expects.
	Ended(error)
}

// Subscription is a cursor over the journal and the goroutine that moves it.
type Subscription struct {
	emitter *Emitter
	spec    Spec
	sink    Sink
	place   atomic.Int64 // everything up to here has been looked at; written by the goroutine alone

	lifecycle sync.Mutex
	started   bool            // under lifecycle
	stopped   bool            // under lifecycle
	ctx       context.Context // ends with Stop
	cancel    context.CancelFunc
	done      chan struct{}
	flushes   chan chan int

	// Owned by the goroutine.
	fold   *fold
	batch  batcher
	out    []Delivery // to be sent together, where there are no batches
	past   int64      // the place at which the past is over
	live   bool       // it was said that the past is over
	held   int        // changes held back, as last counted
	sent   int        // events sent so far
	sentAt time.Time  // when something was last sent
	quiet  bool       // the last that was sent is a bookmark, in this round
	timer  *time.Timer
}

// Subscribe places a subscription in the journal. It delivers nothing before
// Start. The error for a cursor that cannot be continued is a *schema.Error with
// code schema.CodeCursorExpired, for text that is no cursor one with
// schema.CodeInvalidParams.
func (e *Emitter) Subscribe(ctx context.Context, spec Spec, sink Sink) (*Subscription, error) {
	resumed, told := int64(0), int64(0)
	if spec.Since != "" {
		var err error
		if resumed, err = e.Resume(ctx, "since", spec.Since); err != nil {
			return nil, err
		}
	}
	newest := e.tail.end() // not before: Resume may have waited
	place := newest
	if spec.Since != "" {
		place = resumed
	}
	if spec.Since != schema.SinceStart {
		told = newest
	}
	s := &Subscription{
		emitter: e, spec: spec, sink: sink,
		done: make(chan struct{}), flushes: make(chan chan int),
		fold: newFold(spec.Debounce, told), batch: batcher{spec: spec.Batch},
		past: newest,
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.place.Store(place)
	e.counts.add(s)
	return s, nil
}

// Resume gives the journal place of a cursor, or of schema.SinceStart. The errors
// are those of Subscribe; field names the parameter. A cursor that is ahead of the
// journal waits for it as long as Config.AheadPatience says; if ctx ends first the error
// is its cause, and schema.CodeShuttingDown if the Emitter is closed.
func (e *Emitter) Resume(ctx context.Context, field, since string) (int64, error) {
	if since == schema.SinceStart {
		bounds, err := e.journal.Bounds(ctx)
		return bounds.Oldest - 1, err
	}
	bounds, place, err := e.await(ctx, field, since)
	if err == nil && place < bounds.Oldest-1 {
		err = schema.CursorExpired(schema.CursorCompacted, oldestOf(bounds))
	}
	return place, err
}

// Before gives the journal place of a cursor, or of schema.BeforeEnd, for who reads
// backwards from there. The errors are those of Resume, but that a place before the
// oldest event is none: nothing is before it, and nothing was missed.
func (e *Emitter) Before(ctx context.Context, field, before string) (int64, error) {
	if before == schema.BeforeEnd {
		bounds, err := e.journal.Bounds(ctx)
		return bounds.Newest, err
	}
	_, place, err := e.await(ctx, field, before)
	return place, err
}

// await gives the place of a cursor, when the journal has come to it, and the ends that
// the journal has then.
func (e *Emitter) await(ctx context.Context, field, text string) (bounds schema.Bounds, place int64, err error) {
	if bounds, err = e.journal.Bounds(ctx); err != nil {
		return bounds, 0, err
	}
	place, err = placeOf(bounds, field, text)
	if !isAhead(err) || e.config.AheadPatience <= 0 {
		return bounds, place, err
	}
	switch came, stopped := e.comesTo(ctx, place); {
	case stopped != nil:
		return bounds, place, stopped
	case !came:
		return bounds, place, err
	}
	if bounds, err = e.journal.Bounds(ctx); err != nil {
		return bounds, 0, err
	}
	place, err = placeOf(bounds, field, text)
	return bounds, place, err
}

// comesTo waits until events up to a place are announced, as long as the configuration
// says, and tells whether they are. The order of each round matters: first the signal,
// then the place.
func (e *Emitter) comesTo(ctx context.Context, place int64) (came bool, stopped error) {
	over := time.NewTimer(e.config.AheadPatience)
	defer over.Stop()
	for {
		end, moved := e.tail.signal()
		if end >= place {
			return true, nil
		}
		select {
		case <-moved:
		case <-over.C:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-e.done:
			return false, schema.ShuttingDown()
		}
	}
}

// isAhead tells whether a cursor cannot be continued because the journal ends before it.
func isAhead(err error) bool {
	expired, ok := errors.AsType[*schema.Error](err)
	return ok && expired.Data.ReasonDetail == schema.CursorAhead
}

// placeOf gives the place of a cursor of this journal; with an error if it is ahead of it.
func placeOf(bounds schema.Bounds, field, text string) (int64, error) {
	cursor, err := schema.ParseCursor(field, text)
	switch {
	case err != nil:
		return 0, err
	case cursor.Epoch != bounds.Epoch:
		return 0, schema.CursorExpired(schema.CursorEpoch, oldestOf(bounds))
	case cursor.Seq > bounds.Newest:
		return cursor.Seq, schema.CursorExpired(schema.CursorAhead, oldestOf(bounds))
	}
	return cursor.Seq, nil
}

func oldestOf(bounds schema.Bounds) schema.Cursor {
	return schema.Cursor{Epoch: bounds.Epoch, Seq: bounds.Oldest - 1}
}

// Start begins to deliver. It does nothing the second time, and after Stop.
func (s *Subscription) Start() {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if !s.started && !s.stopped {
		s.started = true
		go s.run()
	}
}

// Stop ends the subscription and waits until it has: nothing is sent afterwards.
// A Send that is blocked must be made to return by whoever owns the sink. Stopping
// twice is harmless.
func (s *Subscription) Stop() {
	s.lifecycle.Lock()
	started := s.started
	if !s.stopped {
		s.stopped = true
		s.cancel()
		s.emitter.counts.remove(s)
	}
	s.lifecycle.Unlock()
	if started {
		<-s.done
	}
}

// Flush ends every window, and the waiting batch, now. It gives how many
// held-back events were sent, and returns after they were.
func (s *Subscription) Flush() int {
	s.lifecycle.Lock()
	started := s.started
	s.lifecycle.Unlock()
	if !started {
		return 0
	}
	sent := make(chan int, 1)
	select {
	case s.flushes <- sent:
		return <-sent
	case <-s.done:
		return 0
	}
}
