package kit

import (
	"math"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/descartes-tasks/descartes/schema"
)

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
