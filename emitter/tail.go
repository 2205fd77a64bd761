package emitter

import (
	"slices"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// item is an event on its way to subscribers: shared, never changed, with what
// several of them need of it made at most once.
type item struct {
	event     schema.Event
	announced time.Time // when it became visible; zero for one read back from the journal
	single    bool      // one subscription alone has it: what is encoded need not be kept

	encode     sync.Once
	cursor     string
	body       []byte
	encodeLite sync.Once
	liteBody   []byte // without the task

	decode        sync.Once
	before, after *schema.Task // before is nil for a creation, after for a deletion
	decodeErr     error
}

// size is about how much memory an item holds.
func (it *item) size() int { return 2*(len(it.event.Task)+len(it.event.Previous)) + 512 }

// encoded gives what every subscriber of this event is sent of it.
func (it *item) encoded(epoch string, includeTask bool) (cursor string, body []byte) {
	it.encode.Do(func() {
		it.cursor = schema.Cursor{Epoch: epoch, Seq: it.event.Seq}.String()
		it.body = it.event.AppendBody(make([]byte, 0, len(it.event.Task)+len(it.event.Previous)+256), true)
	})
	if includeTask {
		return it.cursor, it.body
	}
	it.encodeLite.Do(func() { it.liteBody = it.event.AppendBody(nil, false) })
	return it.cursor, it.liteBody
}

// states gives the task before and after the change.
func (it *item) states() (before, after *schema.Task, err error) {
	it.decode.Do(func() {
		var task *schema.Task
		if task, it.decodeErr = schema.ParseTask(it.event.Task); it.decodeErr != nil {
			return
		}
		switch it.event.ChangeType {
		case schema.Created:
			it.after = task
		case schema.Deleted:
			it.before = task
		default:
			it.after = task
			it.before, it.decodeErr = task.Before(it.event.Previous)
		}
	})
	return it.before, it.after, it.decodeErr
}

// tail holds the newest announced events, without gaps, and wakes those who wait
// for more.
type tail struct {
	maxItems, maxBytes int

	mu      sync.RWMutex
	items   []*item       // consecutive; readers get copies of parts of it
	bytes   int           // of items
	last    int64         // Seq of the newest announced event, whether it is in items or not
	changed chan struct{} // closed and replaced when last moves
}

func newTail(last int64, maxItems, maxBytes int) *tail {
	return &tail{maxItems: maxItems, maxBytes: maxBytes, last: last, changed: make(chan struct{})}
}

// end gives the Seq of the newest announced event.
func (t *tail) end() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last
}

// signal is end, with a channel that is closed when it moves.
func (t *tail) signal() (last int64, changed <-chan struct{}) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last, t.changed
}

// after returns the events after seq, as many as a subscription takes at a time,
// none if there are none yet. It is not ok if some of them are no longer in memory.
// last is the newest announced Seq; changed is closed when it has moved: whoever
// gets nothing waits on that one.
func (t *tail) after(seq int64) (items []*item, last int64, changed <-chan struct{}, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	missing := t.last - seq
	if missing > int64(len(t.items)) {
		return nil, t.last, t.changed, false
	}
	return round(t.items[len(t.items)-int(max(missing, 0)):]), t.last, t.changed, true
}

// round gives the first items, as many as a subscription takes at a time. It is a
// copy: a part of the tail would keep the whole tail in memory.
func round(items []*item) []*item {
	n, bytes := 0, 0
	for n < min(page, len(items)) && bytes < roundBytes {
		bytes += items[n].size()
		n++
	}
	return slices.Clone(items[:n])
}

// extend appends items, the first of which follows the newest announced event.
func (t *tail) extend(items []*item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, it := range items {
		t.bytes += it.size()
	}
	t.items = append(t.items, items...)
	t.last = items[len(items)-1].event.Seq
	drop := 0
	for len(t.items)-drop > t.maxItems || t.bytes > t.maxBytes && drop < len(t.items)-1 {
		t.bytes -= t.items[drop].size()
		drop++
	}
	clear(t.items[:drop]) // the array behind them would keep as much again in memory
	t.items = t.items[drop:]
	t.wake()
}

// skipTo forgets everything up to seq, which nobody can read any more.
func (t *tail) skipTo(seq int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items, t.bytes, t.last = nil, 0, seq
	t.wake()
}

func (t *tail) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}
