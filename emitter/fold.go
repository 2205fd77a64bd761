package emitter

import (
	"container/list"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// maxFoldBytes bounds what the folds of one subscription hold. Past it the oldest
// window ends early: its event is sent sooner than asked for, and nothing is lost.
const maxFoldBytes = 4 << 20

// fold holds back events of tasks that change too often for a subscriber.
//
// Sending an event opens the window of its task. A change outside a window goes
// out at once; those inside it are folded into one event that is sent when the
// window ends, which opens the next one. A fold belongs to one subscription and
// is used by its goroutine alone; times are given to it.
type fold struct {
	length time.Duration      // of a window; 0: every change goes out at once
	tasks  map[string]*window // nil until there is one
	ending list.List          // of *window, the next to end in front: all are equally long
	held   list.List          // of *window that hold something, by first counted Seq
	bytes  int                // of the items that windows hold
	count  int                // changes that windows hold and that count
	told   int64              // see newFold
}

// window is the time after a sent event in which changes of its task are folded.
type window struct {
	task     string
	end      time.Time
	inEnding *list.Element
	inHeld   *list.Element // nil while nothing that counts is held

	// What happened to the task since the event that opened the window.
	first, last *item // nil: nothing
	firstSeq    int64 // of the first change that counts
	count       int   // changes that count
	own         bool  // all of these are the subscriber's own
	wasInView   bool  // the subscriber may have the task in its view: it matched before first, say
	isInView    bool  // it matches after last
}

// verdict is how a subscription looks at one event.
type verdict struct {
	before, after bool // the filter matches the task before, after
	wanted        bool // and wants this kind of event
	own           bool
}

// counts tells whether the event concerns the subscription at all.
func (v verdict) counts() bool { return v.wanted && (v.before || v.after) }

// folded is an event that comes out of a fold.
type folded struct {
	item      *item
	coalesced int
	left, own bool
}

// newFold makes a fold without windows. The subscriber may have been told, on a
// connection before this one, of any state up to the place told: it ignores what
// it is told again, but not that a task has left since.
func newFold(length time.Duration, told int64) *fold {
	return &fold{length: length, told: told}
}

// add takes the next event of the journal and gives what is to be sent of it now.
func (f *fold) add(now time.Time, it *item, v verdict) (out folded, send bool) {
	w := f.tasks[it.event.TaskID]
	kind := it.event.ChangeType
	if w != nil && kind == schema.Updated {
		f.hold(w, it, v)
		return folded{}, false
	}
	out, send = folded{it, 1, v.before && !v.after && kind == schema.Updated, v.own}, v.counts()
	if w != nil {
		if kind == schema.Deleted && w.first != nil {
			out, send = w.withDeletion(it, v)
		}
		f.close(w)
	}
	if send && kind != schema.Deleted {
		f.open(now, it.event.TaskID)
	}
	return out, send
}

// withDeletion gives what is to be sent when the task of w is deleted while w
// holds something: the deletion in its place, or, for a subscriber who does not
// want deletions, what was held.
func (w *window) withDeletion(it *item, v verdict) (folded, bool) {
	if !v.wanted {
		return w.result()
	}
	out := folded{item: it, coalesced: w.count + 1, own: v.own && w.own}
	if before := w.first.event.PreviousStatus; before != it.event.PreviousStatus {
		event := it.event
		event.PreviousStatus = before
		out.item = &item{event: event}
	}
	return out, v.before || w.wasInView
}

// hold folds an update into the window of its task.
func (f *fold) hold(w *window, it *item, v verdict) {
	if w.first == nil {
		w.first, w.wasInView, w.own = it, v.before, true
		f.bytes += it.size()
	}
	if w.last != w.first && w.last != nil {
		f.bytes -= w.last.size()
	}
	if it != w.first {
		f.bytes += it.size()
	}
	w.last, w.isInView = it, v.after
	w.wasInView = w.wasInView || v.after && it.event.Seq <= f.told
	if !v.counts() {
		return
	}
	w.count++
	f.count++
	w.own = w.own && v.own
	if w.inHeld == nil {
		w.firstSeq = it.event.Seq
		w.inHeld = f.held.PushBack(w)
	}
}

// expire ends the windows that are over, and gives emit what they held.
func (f *fold) expire(now time.Time, emit func(folded)) {
	for front := f.ending.Front(); front != nil; front = f.ending.Front() {
		w := front.Value.(*window)
		if w.end.After(now) && f.bytes <= maxFoldBytes {
			return
		}
		f.finish(now, w, emit)
	}
}

// flush ends every window now, and gives emit what they held.
func (f *fold) flush(now time.Time, emit func(folded)) {
	for range f.ending.Len() {
		f.finish(now, f.ending.Front().Value.(*window), emit)
	}
}

// finish closes w. If that gives an event, it opens the next window.
func (f *fold) finish(now time.Time, w *window, emit func(folded)) {
	f.close(w)
	if out, send := w.result(); send {
		emit(out)
		f.open(now, w.task)
	}
}

// result gives the one event that stands for what w holds. It is not to be sent
// if nothing counted, or if the task neither was in view nor is now.
func (w *window) result() (folded, bool) {
	if w.count == 0 || !w.wasInView && !w.isInView {
		return folded{}, false
	}
	out := folded{item: w.last, coalesced: w.count, left: w.wasInView && !w.isInView, own: w.own}
	if w.first == w.last {
		return out, true
	}
	event := w.last.event
	event.PreviousStatus = w.first.event.PreviousStatus
	before, _, err := w.first.states()
	_, after, err2 := w.last.states()
	if err == nil && err2 == nil {
		event.Previous, _ = schema.AppendPrevious(nil, before, after)
	}
	out.item = &item{event: event}
	return out, true
}

func (f *fold) open(now time.Time, task string) {
	if f.length <= 0 {
		return
	}
	w := &window{task: task, end: now.Add(f.length)}
	if f.tasks == nil {
		f.tasks = make(map[string]*window)
	}
	w.inEnding = f.ending.PushBack(w)
	f.tasks[task] = w
}

func (f *fold) close(w *window) {
	f.ending.Remove(w.inEnding)
	delete(f.tasks, w.task)
	f.count -= w.count
	if w.inHeld != nil {
		f.held.Remove(w.inHeld)
	}
	if w.first != nil {
		f.bytes -= w.first.size()
		if w.last != w.first {
			f.bytes -= w.last.size()
		}
	}
}

// next tells when the next window ends.
func (f *fold) next() (end time.Time, any bool) {
	front := f.ending.Front()
	if front == nil {
		return time.Time{}, false
	}
	return front.Value.(*window).end, true
}

// floor gives the Seq of the first change that is held back, which no cursor may
// pass.
func (f *fold) floor() (seq int64, any bool) {
	front := f.held.Front()
	if front == nil {
		return 0, false
	}
	return front.Value.(*window).firstSeq, true
}
