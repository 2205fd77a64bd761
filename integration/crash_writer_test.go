package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// written is a write of which the outcome is known.
type written struct {
	marks []string // one for each operation; see markOf
	seqs  []int64  // of the events with these marks; nil: not known
	made  bool
}

// check compares a write with the file, and gives 1 for one that was made.
func (w *written) check(t *testing.T, f *file) int {
	t.Helper()
	for i, mark := range w.marks {
		seqs := f.seqs[mark]
		switch {
		case !w.made && isDeletion(mark): // a later try may have been made
		case !w.made && len(seqs) > 0:
			t.Errorf("%q was refused, and is in the journal at %v", mark, seqs)
		case w.made && len(seqs) != 1:
			t.Errorf("%q was acknowledged, and is in the journal %d times, at %v", mark, len(seqs), seqs)
		case w.made && w.seqs != nil && seqs[0] != w.seqs[i]:
			t.Errorf("%q was acknowledged as %d, and is in the journal at %d", mark, w.seqs[i], seqs[0])
		case w.made && len(w.marks) > 1 && f.at(seqs[0]).txLast != f.at(f.seqs[w.marks[0]][0]).txLast:
			t.Errorf("%q is not in the transaction of %q", mark, w.marks[0])
		}
	}
	if w.made {
		return 1
	}
	return 0
}

// crashWriter writes over a connection of its own. Only it changes titles of its
// tasks and deletes them: so it can find out what became of a write whose answer
// was lost, by repeating it.
type crashWriter struct {
	run    *crashRun
	name   string
	c      *client.Client
	random *rand.Rand
	n      int
	own    []schema.Task // that can be changed and deleted
	ledger []written
	lost   int // answers
}

func (r *crashRun) newWriter(i int) *crashWriter {
	return &crashWriter{run: r, name: fmt.Sprintf("w%d", i), c: r.dial(), random: rand.New(rand.NewPCG(r.seed, uint64(i)))}
}

func (w *crashWriter) write(ctx context.Context) {
	switch p := w.random.IntN(10); {
	case p < 3 || len(w.own) < 3:
		w.create(ctx)
	case p < 6:
		w.update(ctx)
	case p < 7:
		w.delete(ctx)
	case p < 9:
		w.exchange(ctx)
	default:
		w.plan(ctx)
	}
}

func (w *crashWriter) work(ctx context.Context) {
	for ctx.Err() == nil {
		w.write(context.WithoutCancel(ctx))
	}
}

// settle repeats a call until there is an answer that says what became of it, and
// tells whether an earlier one was lost, and with it perhaps a write that was made.
func (w *crashWriter) settle(call func() error) (lost bool, err error) {
	for w.run.t.Context().Err() == nil {
		w.run.running()
		err = call()
		again, perhapsMade := kit.Unanswered(err)
		if !again {
			w.run.answers.Add()
			return lost, err
		}
		if perhapsMade {
			lost = true
			w.lost++
		}
	}
	return lost, err
}

// keep notes what became of a write.
func (w *crashWriter) keep(made bool, seqs []int64, marks ...string) {
	w.ledger = append(w.ledger, written{marks: marks, seqs: seqs, made: made})
}

func (w *crashWriter) unexpected(err error) {
	if w.run.t.Context().Err() == nil {
		w.run.t.Errorf("%s: %v", w.name, err)
	}
}

func (w *crashWriter) next() string {
	w.n++
	return fmt.Sprintf("%s-%d", w.name, w.n)
}

// draft is a new task whose id and title are its mark.
func (w *crashWriter) draft() schema.Draft {
	mark := w.next()
	return schema.Draft{ID: mark, Title: mark, Status: []schema.Status{schema.Todo, schema.InProgress, schema.Done}[w.random.IntN(3)]}
}

func (w *crashWriter) create(ctx context.Context) {
	draft := w.draft()
	var task *schema.Task
	lost, err := w.settle(func() (err error) {
		task, err = w.c.Create(ctx, draft)
		return err
	})
	switch {
	case err == nil:
		w.own = append(w.own, *task)
		w.keep(true, []int64{task.Version}, draft.Title)
	case lost && schema.CodeOf(err) == schema.CodeTaskExists:
		w.keep(true, nil, draft.Title)
		w.refresh(ctx, draft.ID)
	default:
		w.unexpected(err)
	}
}

// refresh takes a task of its own as it is now.
func (w *crashWriter) refresh(ctx context.Context, id string) {
	var task *schema.Task
	if _, err := w.settle(func() (err error) {
		task, err = w.c.Get(ctx, id)
		return err
	}); err != nil {
		w.unexpected(err)
		return
	}
	for i := range w.own {
		if w.own[i].ID == id {
			w.own[i] = *task
			return
		}
	}
	w.own = append(w.own, *task)
}

// take takes a task out of those of its own.
func (w *crashWriter) take() schema.Task {
	i := w.random.IntN(len(w.own))
	task := w.own[i]
	w.own = append(w.own[:i], w.own[i+1:]...)
	return task
}

// retitle is an update whose mark is the new title.
func (w *crashWriter) retitle(task *schema.Task) *schema.UpdateParams {
	return &schema.UpdateParams{
		ID: task.ID, ExpectedVersion: &task.Version,
		Patch: schema.Patch{Title: schema.Some(w.next()), Status: schema.Some(schema.Statuses()[w.random.IntN(4)])},
	}
}

func (w *crashWriter) update(ctx context.Context) {
	task := w.take()
	params := w.retitle(&task)
	mark := params.Title.Value
	var after *schema.Task
	lost, err := w.settle(func() (err error) {
		after, err = w.c.Update(ctx, *params)
		return err
	})
	switch {
	case err == nil:
		w.own = append(w.own, *after)
		w.keep(true, []int64{after.Version}, mark)
	case schema.CodeOf(err) == schema.CodeVersionConflict: // of an earlier try, or of the other process
		w.refresh(ctx, task.ID)
		w.keep(w.own[len(w.own)-1].Title == mark, nil, mark)
		if !lost && w.own[len(w.own)-1].Title == mark {
			w.run.t.Errorf("%q was refused, and made", mark)
		}
	default:
		w.unexpected(err)
	}
}

func (w *crashWriter) delete(ctx context.Context) {
	task := w.take()
	var deleted *schema.DeleteResult
	lost, err := w.settle(func() (err error) {
		deleted, err = w.c.Delete(ctx, schema.DeleteParams{ID: task.ID, ExpectedVersion: &task.Version})
		return err
	})
	switch code := schema.CodeOf(err); {
	case err == nil:
		w.keep(true, []int64{deleted.Version}, deletionOf(task.ID))
	case lost && code == schema.CodeTaskNotFound:
		w.keep(true, nil, deletionOf(task.ID))
	case code == schema.CodeVersionConflict: // it has not been deleted: the other process changed it
		w.refresh(ctx, task.ID)
	default:
		w.unexpected(err)
	}
}

// exchange creates, updates and deletes in one transaction.
func (w *crashWriter) exchange(ctx context.Context) {
	draft, changed, gone := w.draft(), w.take(), w.take()
	params := w.retitle(&changed)
	marks := []string{draft.Title, params.Title.Value, deletionOf(gone.ID)}
	made := w.apply(ctx, marks,
		schema.Operation{Op: schema.OpCreate, Create: &draft},
		schema.Operation{Op: schema.OpUpdate, Update: params},
		schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: gone.ID, ExpectedVersion: &gone.Version}})
	w.refresh(ctx, changed.ID)
	if made {
		w.refresh(ctx, draft.ID)
	} else {
		w.refresh(ctx, gone.ID)
	}
}

// plan creates a task and one that depends on it, and finishes the first: the
// transaction has a fourth event, because the other one becomes ready.
func (w *crashWriter) plan(ctx context.Context) {
	first, second := w.draft(), w.draft()
	first.Status, second.Status, second.Dependencies = schema.Todo, schema.Todo, []string{first.ID}
	title := w.next()
	if w.apply(ctx, []string{first.Title, second.Title, title},
		schema.Operation{Op: schema.OpCreate, Create: &first},
		schema.Operation{Op: schema.OpCreate, Create: &second},
		schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{
			ID: first.ID, Patch: schema.Patch{Title: schema.Some(title), Status: schema.Some(schema.Done)},
		}}) {
		w.refresh(ctx, second.ID)
	}
}

// apply makes a transaction whose first operation is a creation, which tells
// whether an earlier try was made.
func (w *crashWriter) apply(ctx context.Context, marks []string, operations ...schema.Operation) (made bool) {
	var applied *client.Applied
	lost, err := w.settle(func() (err error) {
		applied, err = w.c.Apply(ctx, operations...)
		return err
	})
	var seqs []int64
	switch code := schema.CodeOf(err); {
	case err == nil:
		seqs, made = kit.Versions(applied), true
	case lost && code == schema.CodeTaskExists:
		made = true
	case code == schema.CodeVersionConflict:
	default:
		w.unexpected(err)
	}
	w.keep(made, seqs, marks...)
	return made
}
