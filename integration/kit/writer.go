package kit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Writer writes over a connection of its own. Only it changes titles of its
// tasks and deletes them: so it can find out what became of a write whose answer
// was lost, by repeating it.
type Writer struct {
	T       *testing.T
	Name    string
	Daemon  Daemon
	Random  *rand.Rand
	Answers *Tally
	// Late says that the daemon is one of a cluster. A write whose answer was lost may be
	// made even later than what came after it: what it would create is then never deleted,
	// so that it is not made twice.
	Late   bool
	Ledger []Written // of Work, when that is over
	Lost   int       // answers

	c   *client.Client
	n   int
	own []schema.Task // that can be changed and deleted
}

func (w *Writer) write(ctx context.Context) {
	switch p := w.Random.IntN(10); {
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

// Work writes until ctx ends.
func (w *Writer) Work(ctx context.Context) {
	w.c = w.Daemon.Dial()
	defer w.c.Close()
	for ctx.Err() == nil {
		w.write(context.WithoutCancel(ctx))
	}
}

// Check compares what it was told with the file: what was made is there once, in the
// order in which it was asked for.
func (w *Writer) Check(t *testing.T, f *File) (writes, made int) {
	t.Helper()
	var last int64
	for i := range w.Ledger {
		written := &w.Ledger[i]
		made += written.Check(t, f)
		if !written.Made || len(f.Seqs[written.Marks[0]]) == 0 {
			continue
		}
		if seq := f.Seqs[written.Marks[0]][0]; seq > last {
			last = seq
		} else {
			t.Errorf("%q is in the journal at %d, and came after what is there at %d", written.Marks[0], seq, last)
		}
	}
	return len(w.Ledger), made
}

// settle repeats a call until there is an answer that says what became of it, and
// tells whether an earlier one was lost, and with it perhaps a write that was made.
func (w *Writer) settle(call func() error) (lost bool, err error) {
	for w.T.Context().Err() == nil {
		w.Daemon.Running()
		err = call()
		again, perhapsMade := Unanswered(err)
		if !again {
			w.Answers.Add()
			return lost, err
		}
		if perhapsMade {
			lost = true
			w.Lost++
		}
		<-time.After(tryAgain)
	}
	return lost, err
}

// keep notes what became of a write.
func (w *Writer) keep(made bool, seqs []int64, marks ...string) {
	w.Ledger = append(w.Ledger, Written{Marks: marks, Seqs: seqs, Made: made})
}

func (w *Writer) unexpected(err error) {
	if w.T.Context().Err() == nil {
		w.T.Errorf("%s: %v", w.Name, err)
	}
}

func (w *Writer) next() string {
	w.n++
	return fmt.Sprintf("%s-%d", w.Name, w.n)
}

// draft is a new task whose id and title are its mark.
func (w *Writer) draft() schema.Draft {
	mark := w.next()
	return schema.Draft{ID: mark, Title: mark, Status: []schema.Status{schema.Todo, schema.InProgress, schema.Done}[w.Random.IntN(3)]}
}

func (w *Writer) create(ctx context.Context) {
	draft := w.draft()
	var task *schema.Task
	lost, err := w.settle(func() (err error) {
		task, err = w.c.Create(ctx, draft)
		return err
	})
	switch {
	case err == nil:
		w.keep(true, []int64{task.Version}, draft.Title)
		if !lost || !w.Late {
			w.own = append(w.own, *task)
		}
	case lost && schema.CodeOf(err) == schema.CodeTaskExists:
		w.keep(true, nil, draft.Title)
		if !w.Late {
			w.refresh(ctx, draft.ID)
		}
	default:
		w.unexpected(err)
	}
}

// refresh takes a task of its own as it is now.
func (w *Writer) refresh(ctx context.Context, id string) {
	var task *schema.Task
	if _, err := w.settle(func() error {
		// Of a cluster another daemon may answer than the one that has made the write.
		return w.c.Call(ctx, schema.MethodGet, schema.GetParams{ID: id, Fresh: &w.Late}, &task)
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
func (w *Writer) take() schema.Task {
	i := w.Random.IntN(len(w.own))
	task := w.own[i]
	w.own = append(w.own[:i], w.own[i+1:]...)
	return task
}

// retitle is an update whose mark is the new title.
func (w *Writer) retitle(task *schema.Task) *schema.UpdateParams {
	return &schema.UpdateParams{
		ID: task.ID, ExpectedVersion: &task.Version,
		Patch: schema.Patch{Title: schema.Some(w.next()), Status: schema.Some(schema.Statuses()[w.Random.IntN(4)])},
	}
}

func (w *Writer) update(ctx context.Context) {
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
			w.T.Errorf("%q was refused, and made", mark)
		}
	default:
		w.unexpected(err)
	}
}

func (w *Writer) delete(ctx context.Context) {
	task := w.take()
	var deleted *schema.DeleteResult
	lost, err := w.settle(func() (err error) {
		deleted, err = w.c.Delete(ctx, schema.DeleteParams{ID: task.ID, ExpectedVersion: &task.Version})
		return err
	})
	switch code := schema.CodeOf(err); {
	case err == nil:
		w.keep(true, []int64{deleted.Version}, DeletionOf(task.ID))
	case lost && code == schema.CodeTaskNotFound:
		w.keep(true, nil, DeletionOf(task.ID))
	case code == schema.CodeVersionConflict: // it has not been deleted: the other process changed it
		w.refresh(ctx, task.ID)
	default:
		w.unexpected(err)
	}
}

// exchange creates, updates and deletes in one transaction.
func (w *Writer) exchange(ctx context.Context) {
	draft, changed, gone := w.draft(), w.take(), w.take()
	params := w.retitle(&changed)
	marks := []string{draft.Title, params.Title.Value, DeletionOf(gone.ID)}
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
func (w *Writer) plan(ctx context.Context) {
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
func (w *Writer) apply(ctx context.Context, marks []string, operations ...schema.Operation) (made bool) {
	var applied *client.Applied
	lost, err := w.settle(func() (err error) {
		applied, err = w.c.Apply(ctx, operations...)
		return err
	})
	var seqs []int64
	switch code := schema.CodeOf(err); {
	case err == nil:
		seqs, made = Versions(applied), true
	case lost && code == schema.CodeTaskExists:
		made = true
	case code == schema.CodeVersionConflict:
	default:
		w.unexpected(err)
	}
	w.keep(made, seqs, marks...)
	return made
}
