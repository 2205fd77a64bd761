package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// linearClient makes one operation after the other.
type linearClient struct {
	*history
	daemon Daemon
	c      *client.Client
	random *rand.Rand
	number int
	n      int
	known  [linearTasks]int64 // versions that it has seen
}

func (l *linearClient) work(ctx context.Context) {
	for ctx.Err() == nil {
		l.daemon.Running()
		l.do(l.choose(), nil)
		if l.Pause > 0 {
			<-time.After(l.Pause)
		}
	}
}

func (l *linearClient) choose() linearInput {
	switch p := l.random.IntN(20); {
	case p < 5:
		return linearInput{read: true, task: l.random.IntN(linearTasks)}
	case p < 7:
		return linearInput{read: true, all: true}
	case p < 17:
		return linearInput{steps: []linearStep{l.chooseStep()}}
	}
	return linearInput{steps: []linearStep{l.chooseStep(), l.chooseStep(), l.chooseStep()}}
}

func (l *linearClient) chooseStep() linearStep {
	l.n++
	s := linearStep{op: schema.OpUpdate, task: l.random.IntN(linearTasks), title: fmt.Sprintf("c%d-%d", l.number, l.n)}
	s.expected = l.known[s.task]
	switch p := l.random.IntN(10); {
	case p < 3 || s.expected == 0:
		s.op, s.expected = schema.OpCreate, 0
	case p < 5:
		s.op, s.title = schema.OpDelete, ""
	}
	if s.op != schema.OpCreate && l.random.IntN(8) == 0 {
		s.expected = 0 // whatever it is now
	}
	return s
}

// do makes an operation and notes it, unless it says nothing: a read without an
// answer, and what was never sent.
func (l *linearClient) do(in linearInput, metadata any) {
	call := time.Since(l.began)
	out, err := l.perform(l.t.Context(), &in)
	returned := int64(time.Since(l.began))
	again, lost := Unanswered(err)
	if again {
		<-time.After(tryAgain)
	}
	switch {
	case again && (!lost || in.read):
		return
	case again:
		out, returned = linearOutput{lost: true}, math.MaxInt64
	case err != nil:
		if l.t.Context().Err() == nil {
			l.t.Errorf("%s: %v", describeLinear(in, out), err)
		}
		return
	default:
		l.learn(&in, &out)
	}
	l.mu.Lock()
	l.operations = append(l.operations, porcupine.Operation{
		ClientId: l.number, Input: in, Call: int64(call), Output: out, Return: returned, Metadata: metadata,
	})
	l.mu.Unlock()
	l.answers.Add()
}

// learn notes the versions that an answer shows. That which the refusal of a later
// step shows may never be.
func (l *linearClient) learn(in *linearInput, out *linearOutput) {
	switch {
	case in.all:
		for task, seen := range out.list {
			l.known[task] = seen.version
		}
	case in.read:
		l.known[in.task] = out.found.version
	case out.code == 0:
		for i, s := range in.steps {
			if l.known[s.task] = out.versions[i]; s.op == schema.OpDelete {
				l.known[s.task] = 0
			}
		}
	case out.index == 0:
		l.known[in.steps[0].task] = out.found.version
	}
}

func (l *linearClient) perform(ctx context.Context, in *linearInput) (out linearOutput, err error) {
	switch {
	case in.all:
		return l.list(ctx)
	case in.read:
		return l.get(ctx, in.task)
	case len(in.steps) > 1:
		err = l.apply(ctx, in.steps, &out)
	default:
		err = l.single(ctx, &in.steps[0], &out)
	}
	refusal, ok := errors.AsType[*schema.Error](err)
	if again, _ := Unanswered(err); !ok || again {
		return out, err
	}
	out.code = refusal.Code
	if refusal.Data.Index != nil {
		out.index = *refusal.Data.Index
	}
	if refusal.Data.Task != nil {
		var task schema.Task
		if err := json.Unmarshal(refusal.Data.Task, &task); err != nil {
			return out, err
		}
		out.found = shown{task.Title, task.Version}
	}
	return out, unlessRefused(err)
}

// unlessRefused drops the errors that the model knows.
func unlessRefused(err error) error {
	switch schema.CodeOf(err) {
	case schema.CodeTaskNotFound, schema.CodeTaskExists, schema.CodeVersionConflict:
		return nil
	}
	return err
}

func (l *linearClient) get(ctx context.Context, number int) (out linearOutput, err error) {
	var task schema.Task
	err = l.c.Call(ctx, schema.MethodGet, l.fresh(map[string]any{"id": l.id(number)}), &task)
	if err == nil {
		out.found = shown{task.Title, task.Version}
	}
	return out, unlessRefused(err)
}

// fresh asks for what was acknowledged anywhere before, if that has to be asked for.
func (l *linearClient) fresh(params map[string]any) map[string]any {
	if l.Fresh {
		params["fresh"] = true
	}
	return params
}

func (l *linearClient) list(ctx context.Context) (out linearOutput, err error) {
	ids := make([]string, linearTasks)
	for task := range ids {
		ids[task] = l.id(task)
	}
	var page client.Page
	err = l.c.Call(ctx, schema.MethodList, l.fresh(map[string]any{"filter": schema.Filter{IDs: ids}}), &page)
	if err != nil {
		return out, err
	}
	for i := range page.Tasks {
		out.list[slices.Index(ids, page.Tasks[i].ID)] = shown{page.Tasks[i].Title, page.Tasks[i].Version}
	}
	place, err := schema.ParseCursor("cursor", page.Cursor)
	out.place = place.Seq
	return out, err
}

func (l *linearClient) single(ctx context.Context, s *linearStep, out *linearOutput) error {
	o := l.operation(s)
	var task *schema.Task
	var err error
	switch o.Op {
	case schema.OpCreate:
		task, err = l.c.Create(ctx, *o.Create)
	case schema.OpUpdate:
		task, err = l.c.Update(ctx, *o.Update)
	default:
		var deleted *schema.DeleteResult
		if deleted, err = l.c.Delete(ctx, *o.Delete); err == nil {
			out.versions = []int64{deleted.Version}
		}
		return err
	}
	if err == nil {
		out.versions = []int64{task.Version}
	}
	return err
}

func (l *linearClient) apply(ctx context.Context, steps []linearStep, out *linearOutput) error {
	operations := make([]schema.Operation, len(steps))
	for i := range steps {
		operations[i] = l.operation(&steps[i])
	}
	applied, err := l.c.Apply(ctx, operations...)
	if err == nil {
		out.versions = Versions(applied)
	}
	return err
}

func (l *linearClient) operation(s *linearStep) schema.Operation {
	id := l.id(s.task)
	var expected *int64
	if s.expected != 0 {
		expected = &s.expected
	}
	switch s.op {
	case schema.OpCreate:
		return schema.Operation{Op: s.op, Create: &schema.Draft{ID: id, Title: s.title}}
	case schema.OpUpdate:
		return schema.Operation{Op: s.op, Update: &schema.UpdateParams{
			ID: id, Patch: schema.Patch{Title: schema.Some(s.title)}, ExpectedVersion: expected,
		}}
	}
	return schema.Operation{Op: s.op, Delete: &schema.DeleteParams{ID: id, ExpectedVersion: expected}}
}
