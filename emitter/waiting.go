package emitter

import (
	"encoding/json"
	"slices"

	"github.com/descartes-tasks/descartes/schema"
)

// A patient claim that finds nothing is parked: it costs nothing until an event shows
// a task that is ready and that it wants. The first such claim in the order in which
// they came is then woken, and no other: it tries again in the next commit, before
// anything that was submitted later. If it takes another task, or fails, what it was
// woken for is offered to the next one. If it finds nothing, that task is gone, and it
// keeps its place.

// nothing is the result of a claim or an expiry that has nothing to give.
const nothing = "null"

// park lets a claim that found nothing wait, if it wants to.
func (e *Emitter) park(w *Write, o *schema.Outcome) (parked bool) {
	if !w.patient || w.withdrawn || o.Err != nil || string(o.Results[0]) != nothing {
		return false
	}
	w.offered = nil
	if w.waits == nil {
		w.waits = e.waiting.PushBack(w)
		close(w.tried)
		e.counts.waiting.Add(1)
	}
	return true
}

// settle answers a write, which waits no longer.
func (e *Emitter) settle(w *Write, o schema.Outcome) {
	if w.waits != nil {
		e.waiting.Remove(w.waits)
		w.waits = nil
		e.counts.waiting.Add(-1)
	}
	w.answer(o)
	if w.offered != nil && w.offered.event.ChangeType != schema.Deleted && !took(w.offered, &o) {
		e.offer(w.offered)
	}
}

// took tells whether a claim ended with the task that it was woken for.
func took(offered *item, o *schema.Outcome) bool {
	if o.Err != nil {
		return false
	}
	var claimed struct {
		Task struct {
			ID string `json:"id"`
		} `json:"task"`
	}
	err := json.Unmarshal(o.Results[0], &claimed)
	return err == nil && claimed.Task.ID == offered.event.TaskID
}

// offer wakes, for a task that is ready, the first of those who wait for it. Who waits
// for a task that is deleted is to be told so.
func (e *Emitter) offer(it *item) {
	if e.waiting.Len() == 0 {
		return
	}
	deleted := it.event.ChangeType == schema.Deleted
	_, task, err := it.states()
	if !deleted && (err != nil || !task.Ready) {
		return
	}
	for place := e.waiting.Front(); place != nil; place = place.Next() {
		w := place.Value.(*Write)
		claim := w.change.Operations[0].Claim
		switch {
		case w.offered != nil: // is woken already
		case deleted && claim.ID != nil && *claim.ID == it.event.TaskID:
			e.wake(w, it)
		case !deleted && claim.Matches(task):
			e.wake(w, it)
			return
		}
	}
}

// wakeAll has everybody who waits try again: events were pruned before they were seen.
func (e *Emitter) wakeAll() {
	for place := e.waiting.Front(); place != nil; place = place.Next() {
		if w := place.Value.(*Write); w.offered == nil {
			e.wake(w, new(item))
		}
	}
}

func (e *Emitter) wake(w *Write, it *item) {
	w.offered = it
	e.woken = append(e.woken, w)
}

// withdraw lets a claim wait no longer. One that has not been tried yet is tried once.
func (e *Emitter) withdraw(w *Write) {
	w.withdrawn = true
	if w.waits == nil {
		return
	}
	e.woken = slices.DeleteFunc(e.woken, func(other *Write) bool { return other == w })
	e.settle(w, schema.Outcome{Results: []json.RawMessage{json.RawMessage(nothing)}, Last: e.tail.end()})
}
