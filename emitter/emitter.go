package emitter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// maxGroup bounds the changes of one commit: enough to share the cost of an
// fsync, few enough that the first one does not wait long for the last.
const maxGroup = 256

// catchUpPage is how many events are read at a time when others have committed.
const catchUpPage = 256

// maxSetBack is how far a clock may be set back without the times of changes
// following it. A clock that was further ahead was wrong, and is not to be
// believed until it is caught up with.
const maxSetBack = time.Minute

// catchUpRetry is how long the emitter waits before it reads again after the
// journal could not be read.
const catchUpRetry = 100 * time.Millisecond

// Config configures an Emitter. The zero value works.
type Config struct {
	Queue         int              // changes that may wait for the next commit; default 1024
	TailEvents    int              // newest events kept in memory; default 4096
	TailBytes     int              // and at most that many bytes of documents; default 4 MiB
	BookmarkEvery time.Duration    // silence after which a subscription gets a bookmark; default 15 s
	Now           func() time.Time // default time.Now
	NewID         func() string    // ids of tasks created without one; default UUIDv7 (RFC 9562)

	// Committed, if set, is told of each commit: how long it took and how many
	// changes shared it. It is called from the writing goroutine and must be quick.
	Committed func(took time.Duration, changes int)
	// Delivered, if set, is told of events that were written to a peer: how long
	// after their commit the oldest of them was. It must be quick and safe for
	// concurrent use.
	Delivered func(after time.Duration, events int)
}

// Emitter is the one door for writes. Its methods are safe for concurrent use.
type Emitter struct {
	journal Journal
	config  Config
	epoch   string
	tail    *tail
	queue   chan *Write
	counts  counters

	admission sync.RWMutex // held for reading while a write enters the queue
	closed    bool         // under admission; afterwards nothing enters
	done      chan struct{}

	// Owned by the writing goroutine.
	lastAt int64 // Unix milliseconds: the time given to changes does not go back with the clock
	behind bool  // events are committed that could not be read yet
}

// New starts an Emitter over journal, which must stay open until Close returned.
func New(ctx context.Context, journal Journal, config Config) (*Emitter, error) {
	bounds, err := journal.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the end of the journal: %w", err)
	}
	config = config.withDefaults()
	e := &Emitter{
		journal: journal,
		config:  config,
		epoch:   bounds.Epoch,
		tail:    newTail(bounds.Newest, config.TailEvents, config.TailBytes),
		queue:   make(chan *Write, config.Queue),
		done:    make(chan struct{}),
		lastAt:  bounds.NewestAt,
	}
	go e.run()
	return e, nil
}

// Close makes what was submitted, refuses what comes later with the code
// schema.CodeShuttingDown, and waits until the last answer is given. It does not
// end subscriptions. Closing twice is harmless.
func (e *Emitter) Close() {
	e.admission.Lock()
	if !e.closed {
		e.closed = true
		close(e.queue)
	}
	e.admission.Unlock()
	<-e.done
}

// Epoch tells the journal from every other one.
func (e *Emitter) Epoch() string { return e.epoch }

// Newest is the place of the newest announced event.
func (e *Emitter) Newest() schema.Cursor { return schema.Cursor{Epoch: e.epoch, Seq: e.tail.end()} }

// Write is a change on its way into the journal.
type Write struct {
	change  schema.Change
	done    chan struct{}
	outcome schema.Outcome // written before done is closed
}

// Done is closed when the outcome is known.
func (w *Write) Done() <-chan struct{} { return w.done }

// Outcome waits for what became of the write. An Err in it means that the change
// was not made.
func (w *Write) Outcome() schema.Outcome {
	<-w.done
	return w.outcome
}

func (w *Write) answer(o schema.Outcome) {
	w.outcome = o
	close(w.done)
}

// Submit queues a change whose operations are normalized. Changes that one
// goroutine submits are committed in that order. Submit blocks while the queue is
// full; it never waits for a commit otherwise. It fills in ids and the time in
// the change, which the caller must not touch afterwards.
func (e *Emitter) Submit(change schema.Change) *Write {
	w := &Write{change: change, done: make(chan struct{})}
	e.admission.RLock()
	defer e.admission.RUnlock()
	if e.closed {
		w.answer(schema.Outcome{Err: schema.ShuttingDown()})
		return w
	}
	e.queue <- w
	return w
}

// run is the writing goroutine. It ends when the queue is closed and empty.
func (e *Emitter) run() {
	defer close(e.done)
	retry := time.NewTimer(catchUpRetry)
	defer retry.Stop()
	for {
		select {
		case w, open := <-e.queue:
			if !open {
				return
			}
			e.commit(e.group(w))
		case <-e.journal.Moved():
			e.catchUp()
		case <-retry.C:
			e.catchUp()
		}
		if retry.Stop(); e.behind {
			retry.Reset(catchUpRetry)
		}
	}
}

// group gathers what waits behind first.
func (e *Emitter) group(first *Write) []*Write {
	group := append(make([]*Write, 0, min(maxGroup, len(e.queue)+1)), first)
	for len(group) < maxGroup {
		select {
		case w, open := <-e.queue:
			if !open {
				return group
			}
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// commit makes the changes of a group durable, announces their events and then
// answers.
func (e *Emitter) commit(group []*Write) {
	changes := make([]schema.Change, len(group))
	for i, w := range group {
		e.complete(&w.change)
		changes[i] = w.change
	}
	start := time.Now()
	outcomes, events, err := e.journal.Apply(context.Background(), changes)
	if err != nil {
		for _, w := range group {
			w.answer(schema.Outcome{Err: err})
		}
		return
	}
	if e.config.Committed != nil {
		e.config.Committed(time.Since(start), len(group))
	}
	e.counts.commits.Add(1)
	e.counts.writes.Add(int64(len(group)))
	e.announce(events)
	for i, w := range group {
		w.answer(outcomes[i])
	}
}

// complete decides what no other machine could decide the same way.
func (e *Emitter) complete(c *schema.Change) {
	if now := e.config.Now().UnixMilli(); now > e.lastAt || now < e.lastAt-maxSetBack.Milliseconds() {
		e.lastAt = now
	}
	c.At = e.lastAt
	for i := range c.Operations {
		if draft := c.Operations[i].Create; draft != nil && draft.ID == "" {
			draft.ID = e.config.NewID()
		}
	}
}

// announce makes events visible to subscriptions, in journal order, after those
// that others committed before them.
func (e *Emitter) announce(events []schema.Event) {
	if len(events) == 0 {
		return
	}
	first := events[0].Seq
	if first > e.tail.end()+1 {
		e.catchUpTo(first - 1)
	}
	if first > e.tail.end()+1 {
		return // these come from the journal with the ones before them
	}
	e.extend(events)
}

// extend appends events to the tail, which wakes the subscriptions.
func (e *Emitter) extend(events []schema.Event) {
	items := make([]*item, len(events))
	now := time.Now()
	for i := range events {
		items[i] = &item{event: events[i], announced: now}
		e.counts.emitted(events[i].ChangeType)
	}
	e.tail.extend(items)
}

// catchUp announces everything that the journal has by now.
func (e *Emitter) catchUp() {
	bounds, err := e.journal.Bounds(context.Background())
	if err != nil {
		e.behind = true
		return
	}
	e.catchUpTo(bounds.Newest)
}

// catchUpTo announces what the journal has up to the given place. When it cannot
// be read now, the emitter stays behind and tries again.
func (e *Emitter) catchUpTo(through int64) {
	for e.tail.end() < through {
		events, err := e.journal.Events(context.Background(), e.tail.end(), through, catchUpPage)
		switch {
		case errors.Is(err, schema.ErrCompacted):
			// Pruned before anybody here saw it: subscriptions find that out by
			// themselves and resync.
			e.tail.skipTo(through)
		case err != nil || len(events) == 0:
			e.behind = true
			return
		default:
			e.extend(events)
		}
	}
	e.behind = false
}
