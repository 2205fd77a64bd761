package integration

import (
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"testing"

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

// The model takes what may happen and refuses what may not.
func TestLinearModel(t *testing.T) {
	create := func(task int, title string) linearStep {
		return linearStep{op: schema.OpCreate, task: task, title: title}
	}
	update := func(task int, title string, expected int64) linearStep {
		return linearStep{op: schema.OpUpdate, task: task, title: title, expected: expected}
	}
	write := func(steps ...linearStep) linearInput { return linearInput{steps: steps} }
	made := func(versions ...int64) linearOutput { return linearOutput{versions: versions} }
	conflict := func(title string, version int64) linearOutput {
		return linearOutput{code: schema.CodeVersionConflict, found: shown{title, version}}
	}
	get := func(task int) linearInput { return linearInput{read: true, task: task} }
	sees := func(title string, version int64) linearOutput { return linearOutput{found: shown{title, version}} }
	list := func(place int64, tasks ...shown) linearOutput {
		out := linearOutput{place: place}
		copy(out.list[:], tasks)
		return out
	}
	all, lost := linearInput{read: true, all: true}, linearOutput{lost: true}

	// Each operation begins after the one before has ended; one without an answer
	// does not end.
	for _, c := range []struct {
		name       string
		legal      bool
		operations []any // input, output, input, output, …
	}{
		{"a read of what was written", true, []any{write(create(0, "a")), made(1), get(0), sees("a", 1)}},
		{"a stale read", false, []any{
			write(create(0, "a")), made(1), write(update(0, "b", 1)), made(2), get(0), sees("a", 1),
		}},
		{"a lost write that is seen", true, []any{write(create(0, "a")), lost, get(0), sees("a", 3)}},
		{"a lost write that is not seen", true, []any{write(create(0, "a")), lost, get(0), sees("", 0)}},
		{"a lost write that is seen late", true, []any{
			write(create(0, "a")), lost, get(0), sees("", 0), get(0), sees("a", 1),
		}},
		{"a lost write that is seen and then not", false, []any{
			write(create(0, "a")), lost, get(0), sees("a", 1), get(0), sees("", 0),
		}},
		{"a lost write that has two versions", false, []any{
			write(create(0, "a")), lost, get(0), sees("a", 1), get(0), sees("a", 2),
		}},
		{"a lost write with the version of a later one", false, []any{
			write(create(0, "a")), lost, get(0), sees("a", 4), write(create(1, "b")), made(3),
		}},
		{"a lost write that was in time", true, []any{
			write(create(0, "a")), lost, write(create(1, "b")), made(2), get(0), sees("a", 1),
		}},
		{"a lost write that is refused for ever", true, []any{
			write(create(0, "a")), made(1), write(update(0, "b", 7)), lost, get(0), sees("a", 1),
		}},
		{"a refusal that is right", true, []any{write(create(0, "a")), made(1), write(update(0, "b", 7)), conflict("a", 1)}},
		{"a refusal that is wrong", false, []any{write(create(0, "a")), made(1), write(update(0, "b", 1)), conflict("a", 1)}},
		{"an update that should have been refused", false, []any{
			write(create(0, "a")), made(1), write(update(0, "b", 1)), made(2), write(update(0, "c", 1)), made(3),
		}},
		{"a refusal that shows the version of a lost write", true, []any{
			write(create(0, "a")), made(1), write(update(0, "b", 1)), lost,
			write(update(0, "c", 1)), conflict("b", 2), write(update(0, "d", 2)), made(3),
		}},
		{"a transaction", true, []any{
			write(create(0, "a"), create(1, "b")), made(1, 2), all, list(2, shown{"a", 1}, shown{"b", 2}),
		}},
		{"half a transaction", false, []any{
			write(create(0, "a"), create(1, "b")), made(1, 2), all, list(2, shown{"a", 1}),
		}},
		{"half of a lost transaction", false, []any{
			write(create(0, "a"), create(1, "b")), lost, all, list(2, shown{"a", 1}),
		}},
		{"a refused transaction that leaves something", false, []any{
			write(create(0, "a")), made(1),
			write(create(1, "b"), create(0, "c")),
			linearOutput{code: schema.CodeTaskExists, index: 1, found: shown{"a", 1}},
			get(1), sees("b", 2),
		}},
		{"a list at a place before what it shows", false, []any{write(create(0, "a")), made(5), all, list(4, shown{"a", 5})}},
		{"a version below the one before", false, []any{write(create(0, "a")), made(5), write(create(1, "b")), made(4)}},
	} {
		var history []porcupine.Operation
		for i := 0; i < len(c.operations); i += 2 {
			o := porcupine.Operation{
				Input: c.operations[i], Output: c.operations[i+1], Call: int64(2 * i), Return: int64(2*i + 1),
			}
			if o.Output.(linearOutput).lost {
				o.Return = math.MaxInt64
			}
			history = append(history, o)
		}
		end := int64(2 * len(c.operations))
		history = append(history, porcupine.Operation{
			Input: linearInput{over: true}, Output: linearOutput{}, Call: end, Return: end + 1,
		})
		if legal := porcupine.CheckOperations(linearModel(), history); legal != c.legal {
			t.Errorf("%s: legal is %v", c.name, legal)
		}
	}
}
