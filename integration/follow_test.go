package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Four writers, a daemon that is killed or ended and started again ten times, and
// followers whose connections are cut 50 times each, at any byte of a handshake or a
// frame: nobody misses an event or gets one twice, and in the end a View is what
// task.list says.
func TestFollowersMissNothing(t *testing.T) {
	const writers = 4
	cuts, restarts := int64(50), 10
	if withRaceDetector {
		cuts, restarts = 20, 4
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := startService(t, database(t), "s")
	work := newWriting(s)
	work.begin(t.Context(), writers)
	work.answers.Await(t, 300) // so that there are snapshots that can be cut off
	followers := map[string]follower{
		"every event":          &scribe{},
		"folding":              &folding{},
		"view":                 newViewer(schema.Filter{}),
		"view of what is open": newViewer(schema.Filter{Status: []schema.Status{schema.Todo, schema.InProgress}}),
	}
	ended := make(chan error, len(followers))
	var cutters []*cutter
	for name, f := range followers {
		c := newCutter(t, s.socket, cuts)
		cutters = append(cutters, c)
		go func() {
			err := f.follow(ctx, c.url)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
				cancel() // nothing more to learn
			}
			ended <- err
		}()
	}
	for i := range restarts {
		work.answers.Await(t, 300)
		if i%2 == 0 {
			s.kill()
		} else {
			s.restart()
		}
	}
	for _, c := range cutters {
		select {
		case <-c.spent:
		case <-ctx.Done():
			t.Errorf("%d cuts are left", c.left.Load())
		}
	}
	if err := work.end(); err != nil {
		t.Error(err)
	}
	c := s.dial()
	last, err := c.Create(ctx, schema.Draft{ID: lastTask, Title: "the last one"})
	if err != nil {
		t.Error(err)
	}
	for range followers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for name, f := range followers {
		if t.Failed() {
			return
		}
		if err := f.check(ctx, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("%d writes, %d restarts, %d x %d cuts, %d events", work.answers.Count(), restarts, len(cutters), cuts, last.Version)
}

// writing is the work of several writers. A writer that has no answer repeats what it
// asked for: each of its writes can be repeated.
type writing struct {
	service *service
	answers kit.Tally
	stop    context.CancelFunc
	ended   chan error
	writers int
}

func newWriting(s *service) *writing { return &writing{service: s, ended: make(chan error)} }

func (w *writing) begin(ctx context.Context, writers int) {
	ctx, w.stop = context.WithCancel(ctx)
	w.writers = writers
	for i := range writers {
		c := w.service.dial()
		go func() { w.ended <- w.write(ctx, c, fmt.Sprint("w", i)) }()
	}
}

// end lets every writer end what it has begun.
func (w *writing) end() error {
	w.stop()
	var all error
	for range w.writers {
		all = errors.Join(all, <-w.ended)
	}
	return all
}

// write creates, changes and deletes tasks of its own until ctx ends; at most 20 of
// them are there at a time.
func (w *writing) write(ctx context.Context, c *client.Client, name string) error {
	statuses := schema.Statuses()
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprint(name, "-", i)
		_, err := repeated(w, func(ctx context.Context) (*schema.Task, error) {
			return c.Create(ctx, schema.Draft{ID: id, Title: id, Metadata: []byte(fmt.Sprintf(`{"n":%d}`, i))})
		}, schema.CodeTaskExists)
		for range rand.IntN(4) {
			if err == nil {
				status := statuses[rand.IntN(len(statuses))]
				_, err = repeated(w, func(ctx context.Context) (*schema.Task, error) {
					return c.Update(ctx, schema.UpdateParams{ID: id, Patch: schema.Patch{Status: schema.Some(status)}})
				}, 0)
			}
		}
		if err == nil && i >= 20 {
			_, err = repeated(w, func(ctx context.Context) (*schema.DeleteResult, error) {
				return c.Delete(ctx, schema.DeleteParams{ID: fmt.Sprint(name, "-", i-20)})
			}, schema.CodeTaskNotFound)
		}
		if err != nil {
			return fmt.Errorf("writer %s: %w", name, err)
		}
	}
	return nil
}

// repeated makes a write until it has an answer. Once one was lost, made is the code of
// an answer that says that it was made before.
func repeated[T any](w *writing, write func(ctx context.Context) (T, error), made schema.Code) (T, error) {
	for perhaps := false; ; {
		w.service.running()
		result, err := write(context.Background())
		switch again, lost := kit.Unanswered(err); {
		case again:
			perhaps = perhaps || lost
		case err == nil || perhaps && errors.Is(err, made):
			w.answers.Add()
			return result, nil
		default:
			return result, err
		}
	}
}

// A View of a database that was restored from a backup changes from the one to the other
// at once: it is never empty, and tells just the differences.
func TestViewOfARestoredDatabase(t *testing.T) {
	ctx := t.Context()
	s := startService(t, database(t), "s")
	c := s.dial()
	stays, changes := create(t, c, "stays"), create(t, c, "changes")
	states, told := make(chan client.State, 10), make(chan string, 10)
	v, err := c.View(ctx, client.ViewOptions{
		StateChanged: func(state client.State) { states <- state },
		Changed:      func(c client.Change) { told <- string(c.Event.ChangeType) + " " + c.Event.TaskID },
	})
	if err != nil {
		t.Fatal(err)
	}
	await := func(want string) {
		t.Helper()
		if got := <-told; got != want {
			t.Fatalf("told %s, want %s", got, want)
		}
	}
	await("snapshot " + stays.ID)
	await("snapshot " + changes.ID)
	copied := filepath.Join(t.TempDir(), "copy.db")
	mustRun(t, "backup", "--db", s.db, copied)
	lost := create(t, c, "lost")
	await("created " + lost.ID)
	if _, err := c.Update(ctx, schema.UpdateParams{ID: changes.ID, Patch: schema.Patch{Title: schema.Some("changed")}}); err != nil {
		t.Fatal(err)
	}
	await("updated " + changes.ID)
	s.daemon.stop()
	mustRun(t, "restore", "--db", s.db, "--force", copied)
	s.daemon = serve(t, s.db, s.flags...)
	await("resync " + lost.ID)
	await("snapshot " + changes.ID)
	for _, want := range []client.State{client.Live, client.Away, client.CatchingUp, client.Live} {
		if got := <-states; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if len(told) > 0 || v.Get(changes.ID).Title != "changes" || v.Get(lost.ID) != nil || v.Len() != 2 {
		t.Errorf("shows %v", v.All())
	}
}
