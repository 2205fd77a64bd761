package kit

import (
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/descartes-tasks/descartes/schema"
)

// linearTasks is how many tasks the clients share: few, so that they meet.
const linearTasks = 5

// linearInput is an operation of a client: a read (one task, or all of them), or a
// write of one or more steps that are made together or not at all.
type linearInput struct {
	read  bool
	all   bool // a list
	task  int  // of a get
	steps []linearStep
	over  bool // the end of the history, after which nothing was seen
}

type linearStep struct {
	op       schema.Op
	task     int
	title    string // given by a create or update, and by no other
	expected int64  // 0: any version
}

// linearOutput is what the client was told.
type linearOutput struct {
	lost     bool               // nothing: the write was made, or not, or will be
	code     schema.Code        // 0: it was made
	index    int                // the step that was refused
	versions []int64            // of the steps
	found    shown              // a get, and what a refusal shows
	list     [linearTasks]shown // a list
	place    int64              // at which the list is true
}

// shown is a task as a client sees it; the zero value: there is none.
type shown struct {
	title   string
	version int64
}

// cell is a task as the model knows it.
type cell struct {
	title string // "": there is none
	// version is 0 as long as nobody has seen that of a write without an answer. It is
	// above after, and below before, which is 0 as long as nothing came later.
	version, after, before int64
}

// world is the state of the model: five tasks and the newest seq that is known.
type world struct {
	last  int64
	over  bool
	cells [linearTasks]cell
}

// linearModel is what a daemon promises: each operation happens at one moment
// between its call and its answer, and versions grow in the order of the writes. A
// write without an answer happens at some moment after its call, or never.
func linearModel() porcupine.Model {
	seed := maphash.MakeSeed()
	return porcupine.Model{
		Init: func() any { return world{} },
		Step: func(state, input, output any) (bool, any) {
			w := state.(world)
			ok := w.step(input.(linearInput), output.(linearOutput))
			return ok, w
		},
		Equal:             func(a, b any) bool { return a.(world) == b.(world) },
		Hash:              func(state any) uint64 { return maphash.Comparable(seed, state.(world)) },
		DescribeOperation: func(input, output any) string { return describeLinear(input.(linearInput), output.(linearOutput)) },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state.(world)) },
	}
}

// step makes an operation, if it can have happened now with that output.
func (w *world) step(in linearInput, out linearOutput) bool {
	switch {
	case in.over:
		w.over = true
		return true
	case in.read && !in.all:
		return w.see(in.task, out.found)
	case in.read:
		for task, seen := range out.list {
			if !w.see(task, seen) {
				return false
			}
		}
		return w.reach(out.place)
	case out.lost:
		return w.lose(in.steps)
	}
	return w.write(in.steps, out)
}

// see tells whether a task can be as it was seen, and learns its version.
func (w *world) see(task int, seen shown) bool {
	c := &w.cells[task]
	switch {
	case c.title != seen.title:
		return false
	case c.title == "" || c.version == seen.version:
		return true
	case c.version != 0 || seen.version <= c.after || c.before != 0 && seen.version >= c.before:
		return false
	}
	c.version = seen.version
	w.last = max(w.last, seen.version)
	return true
}

// reach tells whether the journal can be at a place, and notes that it is.
func (w *world) reach(place int64) bool {
	if place < w.last {
		return false
	}
	w.limit(place + 1)
	w.last = place
	return true
}

// limit notes that what was written before has a version below the given one.
func (w *world) limit(version int64) {
	for i := range w.cells {
		if c := &w.cells[i]; c.title != "" && c.version == 0 && c.before == 0 {
			c.before = version
		}
	}
}

// lose makes a write without an answer, if it would change something now: at a
// moment where it is refused it need not be looked at. What remains at the end was
// never made.
func (w *world) lose(steps []linearStep) bool {
	if w.over {
		return true
	}
	next := *w
	for _, s := range steps {
		// Who expects a version has seen it: a version that is not known is another one.
		if next.refuses(s) != 0 {
			return false
		}
		next.put(s, 0)
	}
	*w = next
	return true
}

// write makes a write with an answer.
func (w *world) write(steps []linearStep, out linearOutput) bool {
	next := *w
	var touched [linearTasks]bool
	for i, s := range steps {
		code := next.refuses(s)
		if code != 0 || out.code != 0 && out.index == i {
			// A step before may have changed the task that the refusal shows: only its title
			// is known here. Nothing of these steps remains.
			if code != out.code || out.index != i || next.cells[s.task].title != out.found.title {
				return false
			}
			return touched[s.task] || w.see(s.task, out.found) && w.refuses(s) == code
		}
		touched[s.task] = true
		next.put(s, -1)
	}
	if len(out.versions) != len(steps) || out.versions[0] <= w.last {
		return false
	}
	next = *w
	next.limit(out.versions[0])
	for i, s := range steps {
		if out.versions[i] != out.versions[0]+int64(i) {
			return false
		}
		next.put(s, out.versions[i])
		next.last = out.versions[i]
	}
	*w = next
	return true
}

// refuses gives the code with which a step is refused now, or 0.
func (w *world) refuses(s linearStep) schema.Code {
	c := &w.cells[s.task]
	switch {
	case s.op == schema.OpCreate && c.title != "":
		return schema.CodeTaskExists
	case s.op == schema.OpCreate:
		return 0
	case c.title == "":
		return schema.CodeTaskNotFound
	case s.expected != 0 && s.expected != c.version:
		return schema.CodeVersionConflict
	}
	return 0
}

// put makes a step; version 0 is one that nobody knows yet.
func (w *world) put(s linearStep, version int64) {
	w.cells[s.task] = cell{title: s.title, version: version}
	if s.op != schema.OpDelete && version == 0 {
		w.cells[s.task].after = w.last
	}
	if s.op == schema.OpDelete {
		w.cells[s.task] = cell{}
	}
}

func describeLinear(in linearInput, out linearOutput) string {
	switch {
	case in.over:
		return "end"
	case in.all:
		return fmt.Sprintf("list -> %v at %d", out.list, out.place)
	case in.read:
		return fmt.Sprintf("get %d -> %v", in.task, out.found)
	}
	steps := make([]string, len(in.steps))
	for i, s := range in.steps {
		steps[i] = fmt.Sprintf("%s %d %s", s.op, s.task, s.title)
		if s.expected != 0 {
			steps[i] += fmt.Sprintf(" at %d", s.expected)
		}
	}
	text := strings.Join(steps, ", ") + " -> "
	switch {
	case out.lost:
		return text + "?"
	case out.code != 0:
		return text + fmt.Sprintf("%d at %d: %v", out.code, out.index, out.found)
	}
	return text + fmt.Sprint(out.versions)
}
