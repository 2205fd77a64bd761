package emitter

import (
	"errors"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// page is how many events or tasks a subscription takes at a time, and roundBytes
// about how much memory those from the tail may have: the most that it holds
// while it waits for its peer.
const (
	page       = 256
	roundBytes = 256 << 10
)

// readRetry is how long a subscription waits before it reads again after the
// journal could not be read.
const readRetry = time.Second

// ErrResynced ends a subscription whose next events were pruned, and which did not
// ask for a snapshot. Its subscriber was told.
var ErrResynced = errors.New("subscription ended by a resync")

var (
	errStopped    = errors.New("subscription stopped")
	errUnreadable = errors.New("the journal cannot be read now")
)

// run is the goroutine of a subscription, until the first bookmark.
func (s *Subscription) run() {
	s.sentAt = time.Now()
	s.timer = time.NewTimer(s.emitter.config.BookmarkEvery)
	if s.spec.Snapshot {
		if err := s.snapshot(); err != nil {
			s.end(err)
			return
		}
	}
	s.follow(rest{more: true})
}

// rest is what a subscription waits for between two rounds, see wait.
type rest struct {
	more    bool
	changed <-chan struct{}
	until   time.Time
}

// follow delivers until the subscription ends. The order of each round matters: first the
// signal, then what is there, then the wait for that signal. In any other order an event
// in between would be missed.
//
// Sending makes the stack grow, for good. A bookmark is sent to who has nothing to hear:
// after it a new goroutine waits in place of this one, with a stack of 2 KiB.
func (s *Subscription) follow(before rest) {
	for {
		err := s.wait(before.more, before.changed, before.until)
		if err == nil {
			before, err = s.round()
		}
		if err != nil {
			s.end(err)
			return
		}
		if s.quiet {
			s.quiet = false
			go s.follow(before)
			return
		}
	}
}

// round delivers what is there, and tells what comes before the next round.
func (s *Subscription) round() (rest, error) {
	more, changed, err := s.advance()
	switch {
	case errors.Is(err, schema.ErrCompacted):
		return rest{more: true}, s.resync()
	case errors.Is(err, errUnreadable):
		return rest{until: earlier(time.Now().Add(readRetry), s.deadline())}, nil
	}
	return rest{more, changed, s.deadline()}, err
}

// end is the last that the goroutine of a subscription does.
func (s *Subscription) end(err error) {
	defer close(s.done)
	s.timer.Stop()
	s.emitter.counts.held.Add(-int64(s.held))
	if !errors.Is(err, errStopped) {
		s.emitter.counts.remove(s)
		s.sink.Ended(err)
	}
}

// advance takes what is there and delivers it, in its turn; more tells that there
// was something.
func (s *Subscription) advance() (more bool, changed <-chan struct{}, err error) {
	if err := s.takeTurn(); err != nil {
		return false, nil, err
	}
	defer s.giveTurn()
	items, last, changed, ok := s.emitter.tail.after(s.place.Load())
	if ok {
		return len(items) > 0, changed, s.deliver(items)
	}
	return true, nil, s.replay(last)
}

// deliver sends what is to be sent now: of items, and of windows and batches that
// are over.
func (s *Subscription) deliver(items []*item) error {
	now := time.Now()
	s.fold.expire(now, func(f folded) { s.push(now, f, time.Time{}) })
	for _, it := range items {
		v, err := s.look(it)
		if err != nil {
			return err
		}
		s.place.Store(it.event.Seq)
		if out, send := s.fold.add(now, it, v); send {
			announced := it.announced
			if !s.live {
				announced = time.Time{} // it is of the past
			}
			s.push(now, out, announced)
		}
	}
	s.countHeld()
	if err := s.send(s.batch.due(now)); err != nil {
		return err
	}
	pastIsOver := !s.live && s.place.Load() >= s.past
	if pastIsOver || now.Sub(s.sentAt) >= s.emitter.config.BookmarkEvery {
		return s.bookmark(pastIsOver)
	}
	return nil
}

// look decides how the subscription sees an event.
func (s *Subscription) look(it *item) (verdict, error) {
	filter := &s.spec.Filter
	v := verdict{
		before: it.event.ChangeType != schema.Created,
		after:  it.event.ChangeType != schema.Deleted,
		wanted: filter.Wants(&it.event),
		own:    it.event.Source != 0 && it.event.Source == s.spec.Source,
	}
	if filter.IsZero() {
		return v, nil
	}
	before, after, err := it.states()
	if err != nil {
		return verdict{}, err
	}
	v.before = before != nil && filter.Match(before)
	v.after = after != nil && filter.Match(after)
	return v, nil
}

// push puts an event into what is sent next.
func (s *Subscription) push(now time.Time, f folded, announced time.Time) {
	s.emitter.counts.folded.Add(int64(f.coalesced - 1))
	s.queue(now, Delivery{item: f.item, coalesced: f.coalesced, left: f.left, own: f.own, announced: announced})
}

func (s *Subscription) queue(now time.Time, d Delivery) {
	d.epoch, d.cursor, d.includeTask = s.emitter.epoch, s.cursor(), !s.spec.WithoutTask
	if s.batch.spec.Max > 0 {
		s.batch.add(now, d)
	} else {
		s.out = append(s.out, d)
	}
}

// cursor is the place up to which everything has been delivered: it never passes
// a change that is held back.
func (s *Subscription) cursor() int64 {
	if floor, held := s.fold.floor(); held {
		return floor - 1
	}
	return s.place.Load()
}

// send sends what is ready: what is not in batches, batches that are full, and,
// if all is set, the one that is not.
func (s *Subscription) send(all bool) error {
	if len(s.out) > 0 {
		err := s.sink.Send(s.out)
		s.wrote(s.out)
		clear(s.out) // they would keep their events in memory until the next ones come
		if s.out = s.out[:0]; err != nil {
			return err
		}
	}
	for s.batch.full() || all && len(s.batch.waiting) > 0 {
		batch := s.batch.take(s.emitter.config.Now().UnixMilli())
		if err := s.sink.SendBatch(batch); err != nil {
			return err
		}
		s.wrote(batch.Events)
	}
	return nil
}

// wrote counts what was sent.
func (s *Subscription) wrote(events []Delivery) {
	s.sentAt = time.Now()
	s.sent += len(events)
	s.emitter.counts.delivered.Add(int64(len(events)))
	if observe := s.emitter.config.Delivered; observe != nil {
		for i := range events {
			if at := events[i].announced; !at.IsZero() {
				observe(s.sentAt.Sub(at), len(events)-i)
				return
			}
		}
	}
}

// special makes a delivery that stands for no change.
func (s *Subscription) special(event schema.Event) Delivery {
	if event.Timestamp == 0 {
		event.Timestamp = s.emitter.config.Now().UnixMilli()
	}
	return Delivery{item: &item{event: event}, includeTask: !s.spec.WithoutTask}
}

// flush sends everything that is held back.
func (s *Subscription) flush() (events int, err error) {
	before := s.sent
	now := time.Now()
	s.fold.flush(now, func(f folded) { s.push(now, f, time.Time{}) })
	s.countHeld()
	err = s.send(true)
	return s.sent - before, err
}

func (s *Subscription) countHeld() {
	s.emitter.counts.held.Add(int64(s.fold.count - s.held))
	s.held = s.fold.count
}

// deadline is when there will be something to do even if nothing happens.
func (s *Subscription) deadline() time.Time {
	at := s.sentAt.Add(s.emitter.config.BookmarkEvery)
	if end, any := s.fold.next(); any {
		at = earlier(at, end)
	}
	if len(s.batch.waiting) > 0 {
		at = earlier(at, s.batch.by)
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// wait returns when there is something to do: at once if there is more, else
// after changed or at the given time; meanwhile it stops and flushes.
func (s *Subscription) wait(more bool, changed <-chan struct{}, until time.Time) error {
	if more {
		select {
		case <-s.ctx.Done():
			return errStopped
		case sent := <-s.flushes:
			return s.answerFlush(sent)
		default:
			return nil
		}
	}
	s.timer.Reset(time.Until(until))
	select {
	case <-s.ctx.Done():
		return errStopped
	case sent := <-s.flushes:
		return s.answerFlush(sent)
	case <-changed:
	case <-s.timer.C:
	}
	return nil
}

// answerFlush looks first at what was committed before the flush was asked for:
// that may have to be held back, too.
func (s *Subscription) answerFlush(sent chan<- int) error {
	for end := s.emitter.tail.end(); s.live && s.place.Load() < end; {
		items, last, _, ok := s.emitter.tail.after(s.place.Load())
		if !ok {
			items = s.read(s.place.Load(), last).items
		}
		if len(items) == 0 {
			break // follow sees to it
		}
		if err := s.deliver(items); err != nil {
			sent <- 0
			return err
		}
	}
	n, err := s.flush()
	sent <- n
	return err
}
