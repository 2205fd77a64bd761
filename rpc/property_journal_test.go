package rpc_test

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/descartes-tasks/descartes/schema"
)

// history is the model: every event that ever was, as the file has it, and what
// the tasks are after them. It is read with plain SQL, past everything under test.
type history struct {
	events []entry // events[i] has the seq i+1
	now    map[string]*entry
	pruned int64 // events up to here are gone from the file
}

// entry is an event of the journal. before is nil for a creation, after for a
// deletion.
type entry struct {
	seq, txLast        int64
	kind               schema.ChangeType
	id, task, previous string
	old, new           schema.Status
	origin             schema.Origin
	before, after      *schema.Task
	claimed            bool // a write was answered with it
	maker              int  // the connection that made it; 0: not known
}

func (h *history) newest() int64 { return int64(len(h.events)) }

// add takes the next event and checks that it goes with what was there.
func (h *history) add(e entry) error {
	task, err := schema.ParseTask([]byte(e.task))
	if err != nil {
		return err
	}
	last := h.now[e.id]
	switch {
	case e.seq != h.newest()+1:
		return fmt.Errorf("event %d comes after event %d", e.seq, h.newest())
	case (last == nil) != (e.kind == schema.Created):
		return fmt.Errorf("event %d: %s, but the task is %v", e.seq, e.kind, last)
	case last != nil && e.old != last.new:
		return fmt.Errorf("event %d: previous_status %s, but it was %s", e.seq, e.old, last.new)
	case e.kind == schema.Deleted && e.task != last.task:
		return fmt.Errorf("event %d: the deleted task was %s, not %s", e.seq, last.task, e.task)
	}
	if last != nil {
		e.before = last.after
	}
	if h.events = append(h.events, e); e.kind == schema.Deleted {
		delete(h.now, e.id)
		return nil
	}
	added := &h.events[h.newest()-1]
	added.after = task
	now := *added
	h.now[e.id] = &now
	return nil
}

// claim checks that what was answered is in the journal.
func (h *history) claim(a answer) error {
	if a.version < 1 || a.version > h.newest() {
		return fmt.Errorf("there is no event of %+v", a)
	}
	e := &h.events[a.version-1]
	if e.id != a.id || (a.task == "") != (e.kind == schema.Deleted) || a.task != "" && a.task != e.task {
		return fmt.Errorf("%+v was answered for %+v", a, *e)
	}
	e.claimed = true
	if a.made || a.task == "" {
		e.maker = a.peer
	}
	return nil
}

// unclaimed counts the changes of clients that none was told to have made.
func (h *history) unclaimed() (n int) {
	for i := range h.events {
		if e := &h.events[i]; e.origin == schema.OriginRPC && !e.claimed && !e.isFlip() {
			n++
		}
	}
	return n
}

// concerns tells whether a subscriber with this filter is told of e.
func (e *entry) concerns(f *schema.EventFilter) bool {
	event := schema.Event{ChangeType: e.kind, PreviousStatus: e.old, NewStatus: e.new}
	return f.Wants(&event) && (e.before != nil && f.Match(e.before) || e.after != nil && f.Match(e.after))
}

func (e *entry) leaves(f *schema.EventFilter) bool {
	return e.kind == schema.Updated && f.Match(e.before) && !f.Match(e.after)
}

// isFlip tells whether e only turns ready, as the consequence of another change.
func (e *entry) isFlip() bool {
	return e.kind == schema.Updated && (e.previous == `{"ready":true}` || e.previous == `{"ready":false}`)
}

// told gives the events in (after, through] that a subscriber is told of.
func (h *history) told(f *schema.EventFilter, after, through int64) (told []*entry) {
	for i := after; i < through; i++ {
		if e := &h.events[i]; e.concerns(f) {
			told = append(told, e)
		}
	}
	return told
}

// at gives the tasks that match f at a place.
func (h *history) at(f *schema.EventFilter, place int64) view {
	tasks := view{}
	for i := range h.events[:place] {
		e := &h.events[i]
		if delete(tasks, e.id); e.after != nil && f.Match(e.after) {
			tasks[e.id] = held{e.seq, e.task}
		}
	}
	return tasks
}

// check compares what a subscriber with debounce 0 was told of an event with the
// event.
func (e *entry) check(got *schema.Event, f *schema.EventFilter, withTask bool) error {
	task := e.task
	if !withTask {
		task = ""
	}
	previous := bytes.Equal(compact(got.Previous), compact([]byte(e.previous)))
	if got.Seq == e.seq && got.ChangeType == e.kind && got.TaskID == e.id && string(got.Task) == task &&
		got.PreviousStatus == e.old && got.NewStatus == e.new && previous && got.Coalesced == 1 &&
		got.Left == e.leaves(f) && got.Origin == e.origin && got.TxLast == e.txLast {
		return nil
	}
	return fmt.Errorf("event %d was told wrong: %+v, is %+v", e.seq, got, e)
}

func compact(raw []byte) []byte {
	var b bytes.Buffer
	if len(raw) == 0 || json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}
