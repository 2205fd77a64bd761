package emitter

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

// finishTime is how long Close may take to end leases.
const finishTime = 5 * time.Second

// Config configures an Emitter. The zero value works.
type Config struct {
	Queue         int              // changes that may wait for the next commit; default 1024
	TailEvents    int              // newest events kept in memory; default 4096
	TailBytes     int              // and at most that many bytes of documents; default 4 MiB
	BookmarkEvery time.Duration    // silence after which a subscription gets a bookmark; default 15 s
	Now           func() time.Time // default time.Now; where others write the same journal: the time that they have, too
	NewID         func() string    // ids of tasks created without one; default UUIDv7 (RFC 9562)
	NewToken      func() string    // tokens of leases, not to be guessed; default UUIDv4 (RFC 9562)

	// AheadPatience is how long a cursor that is ahead of the journal may wait for the
	// journal to come to it: its events are somewhere, and on their way. Default 0: it is
	// refused at once.
	AheadPatience time.Duration
	// Skew is how far Now may be apart from the clocks of those who write leases. Where
	// it is not 0 a lease of somebody else has its whole length from when it is heard of,
	// and one that was there at the start has Skew more than the clock says: nobody's
	// lease ends early because of a clock. Default 0: all go by one clock.
	Skew time.Duration

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
	closing   atomic.Bool  // closed will be set
	done      chan struct{}

	withdrawals chan *Write
	abandoned   chan int64    // connections that are gone
	pings       chan struct{} // taken as a turn of their own
	always      chan struct{} // closed

	// Owned by the writing goroutine.
	lastAt  int64     // Unix milliseconds: the time given to changes does not go back with the clock
	behind  bool      // events are committed that could not be read yet
	retries bool      // the timer for reading again runs
	leases  leases    // claims whose time runs
	waiting list.List // of *Write: patient claims, in the order in which they came
	woken   []*Write  // those of them that are to try again
	late    []*Write  // claims that go after those, but before the queue
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
		leases:  leases{byTask: make(map[string]*lease)},

		withdrawals: make(chan *Write), abandoned: make(chan int64), pings: make(chan struct{}), always: make(chan struct{}),
	}
	close(e.always)
	if err := e.readLeases(true); err != nil {
		return nil, fmt.Errorf("read the leases: %w", err)
	}
	go e.run()
	return e, nil
}

// Close makes what was submitted, refuses what comes later with the code
// schema.CodeShuttingDown, and waits until the last answer is given. It does not
// end subscriptions. Closing twice is harmless.
func (e *Emitter) Close() {
	e.closing.Store(true) // before the lock: for that it may have to wait for the queue
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

// run is the writing goroutine. It ends when the queue is closed and empty.
func (e *Emitter) run() {
	defer close(e.done)
	defer e.finish()
	for e.endLeases() && !e.closing.Load() {
	}
	retry, lease := time.NewTimer(0), time.NewTimer(0)
	defer retry.Stop()
	defer lease.Stop()
	for e.setTimers(retry, lease); e.step(retry.C, lease.C); {
		e.setTimers(retry, lease)
	}
}

// setTimers sets the timers for what is to be done later. One for reading again goes on
// whatever else is done meanwhile: there may always be something else.
func (e *Emitter) setTimers(retry, lease *time.Timer) {
	if behind := e.behind || e.leases.behind; !behind {
		retry.Stop()
		e.retries = false
	} else if !e.retries {
		retry.Reset(catchUpRetry)
		e.retries = true
	}
	lease.Stop()
	if at, ok := e.leases.next(); ok {
		lease.Reset(time.Until(at))
	}
}

// step does one of the things that there are to do, unless it was the last.
func (e *Emitter) step(retry, lease <-chan time.Time) (more bool) {
	queue, woken := e.queue, chan struct{}(nil)
	if len(e.woken)+len(e.late) > 0 {
		queue, woken = nil, e.always // whoever is in the queue came later
	}
	select {
	case w, open := <-queue:
		if !open {
			return false
		}
		e.commit(e.fill([]*Write{w}))
	case <-woken:
		e.commit(e.wokenGroup())
	case <-e.journal.Moved():
		e.catchUp()
		e.refreshLeases()
	case <-retry:
		e.retries = false
		e.catchUp()
		e.refreshLeases()
	case <-lease:
		e.endLeases()
	case w := <-e.withdrawals:
		e.withdraw(w)
	case source := <-e.abandoned:
		e.leases.abandon(source, time.Now())
	case <-e.pings:
	}
	return true
}

// finish ends what need not be there after the emitter: the leases of connections that
// are gone, as many as there is time for (the others are orphaned at the next start),
// and claims that wait.
func (e *Emitter) finish() {
	for began := time.Now(); e.endLeases() && time.Since(began) < finishTime; {
	}
	for e.waiting.Len() > 0 {
		e.settle(e.waiting.Front().Value.(*Write), schema.Outcome{Err: schema.ShuttingDown()})
	}
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
			e.leases.doubt(w, err)
			e.settle(w, schema.Outcome{Err: err})
		}
		return
	}
	if e.config.Committed != nil {
		e.config.Committed(time.Since(start), len(group))
	}
	e.leases.rest = time.Time{}
	e.counts.commits.Add(1)
	e.counts.writes.Add(int64(len(group)))
	now := time.Now()
	for i, w := range group { // before the events: one may be of the end of a lease, or of what a claim waits for
		e.leases.doubt(w, outcomes[i].Err)
		if lease := outcomes[i].Lease; lease != nil {
			e.addLease(*lease, now, leftOf(lease, time.UnixMilli(w.change.At).Add(now.Sub(start))))
		}
		if e.park(w, &outcomes[i]) {
			group[i] = nil
		}
	}
	e.announce(events)
	for i, w := range group {
		if w != nil {
			e.settle(w, outcomes[i])
		}
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
			draft.ID, c.Operations[i].FreshID = e.config.NewID(), true
		}
		if claim := c.Operations[i].Claim; claim != nil && claim.LeaseToken == "" {
			claim.LeaseToken = e.config.NewToken()
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
	e.seeEnds(events)
	for _, it := range items {
		e.offer(it)
	}
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
			e.wakeAll()
		case err != nil || len(events) == 0:
			e.behind = true
			return
		default:
			e.extend(events)
		}
	}
	e.behind = false
}
