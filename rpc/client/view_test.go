package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// mirror is what somebody knows who makes every change of a View, and what was told.
type mirror struct {
	tasks map[string]*schema.Task
	told  chan string // changes in short, and states in brackets
	fault error
}

func newMirror() *mirror {
	return &mirror{tasks: make(map[string]*schema.Task), told: make(chan string, 10_000)}
}

func (m *mirror) options(filter schema.Filter) client.ViewOptions {
	return client.ViewOptions{
		Filter:       filter,
		Changed:      m.change,
		StateChanged: func(s client.State) { m.told <- "[" + string(s) + "]" },
	}
}

func (m *mirror) change(c client.Change) {
	id := c.Event.TaskID
	if !reflect.DeepEqual(m.tasks[id], c.Before) {
		m.fault = fmt.Errorf("%s: before %+v, known %+v", id, c.Before, m.tasks[id])
	}
	if c.After == nil {
		delete(m.tasks, id)
		m.told <- "-" + id
		return
	}
	m.tasks[id] = c.After
	m.told <- fmt.Sprint("+", id, c.After.Version)
}

// awaits takes what is told until the last word of want, and compares.
func (m *mirror) awaits(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for words := []string(nil); ; {
		select {
		case word := <-m.told:
			words = append(words, word)
		case <-deadline:
			t.Fatalf("told %s, want %s", strings.Join(words, " "), want)
		}
		got := strings.Join(words, " ")
		if len(got) < len(want) {
			continue
		}
		if got != want {
			t.Fatalf("told %s\nwant %s", got, want)
		}
		return
	}
}

func (m *mirror) check(t *testing.T, v *client.View) {
	t.Helper()
	must(t, m.fault)
	shown := make(map[string]*schema.Task)
	for _, task := range v.All() {
		shown[task.ID] = task
	}
	if !maps.EqualFunc(shown, m.tasks, func(a, b *schema.Task) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("shows %v, the changes made %v", shown, m.tasks)
	}
}

// event makes the event of a task.
func event(kind schema.ChangeType, id string, seq int, cursor string) string {
	at := ""
	if cursor != "" {
		at = `"cursor":"` + cursor + `",`
	}
	return fmt.Sprintf(`{%s"seq":%d,"change_type":%q,"task_id":%q,"task":{"id":%q,"title":"t","version":%d}}`, at, seq, kind, id, id, seq)
}

func TestViewStartsOver(t *testing.T) {
	const s, u = schema.Snapshot, schema.Updated
	live := func(cursor string) string {
		return `{"change_type":"bookmark","cursor":"` + cursor + `","live":true}`
	}
	first := []string{event(s, "a", 1, ""), event(s, "b", 2, ""), live("e-2")}
	expired := schema.CursorExpired(schema.CursorEpoch, schema.Cursor{Epoch: "f"})
	for name, test := range map[string]struct {
		scenes []scene
		want   string
	}{
		"a loss": {
			[]scene{{since: "snapshot", events: first, cut: true}, {since: "e-2", events: []string{event(u, "a", 3, "e-3"), live("e-3")}}},
			"+a1 +b2 [live] [away] [catching up] +a3 [live]",
		},
		"changes before the bookmark of a snapshot": {
			[]scene{{since: "snapshot", events: []string{event(s, "a", 1, ""), event(u, "a", 3, "e-3"), live("e-3")}}},
			"+a1 +a3 [live]",
		},
		"a snapshot that is cut off": {
			[]scene{{since: "snapshot", events: first[:1], cut: true}, {since: "snapshot", events: first}},
			"[away] [catching up] +a1 +b2 [live]",
		},
		"a resync: only the differences": {
			[]scene{{since: "snapshot", events: append(slices.Clone(first), resync, event(s, "b", 2, ""), event(s, "c", 8, ""), live("e-9"))}},
			"+a1 +b2 [live] [catching up] -a +c8 [live]",
		},
		"another database": {
			[]scene{
				{since: "snapshot", events: first, cut: true},
				{since: "e-2", refuse: expired},
				{since: "snapshot", events: []string{event(s, "b", 1, ""), live("f-1")}},
			},
			"+a1 +b2 [live] [away] [catching up] -a +b1 [live]",
		},
		"a resync, and the daemon ends": {
			[]scene{
				{since: "snapshot", events: first, cut: true},
				{since: "e-2", events: []string{live("e-2"), resync}},
				{since: "snapshot", refuse: schema.ShuttingDown()},
				{since: "snapshot", events: []string{live("e-9")}},
			},
			"+a1 +b2 [live] [away] [catching up] [live] [catching up] [away] [catching up] -a -b [live]",
		},
		"what leaves, and what was never there": {
			[]scene{{since: "snapshot", events: append(slices.Clone(first),
				strings.Replace(event(u, "a", 3, "e-3"), `"seq"`, `"left":true,"seq"`, 1),
				event(schema.Deleted, "x", 4, "e-4"), event(schema.Deleted, "b", 5, "e-5"))}},
			"+a1 +b2 [live] -a -b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror()
			v, err := play(t, test.scenes...).View(t.Context(), m.options(schema.Filter{}))
			must(t, err)
			m.awaits(t, test.want)
			must(t, v.Close())
			m.check(t, v)
		})
	}
}

// Against a real daemon: a filter, and what task.list says.
func TestViewShowsWhatTheListSays(t *testing.T) {
	ctx := t.Context()
	c := dial(t, startDaemon(t).url(), client.Options{})
	filter := schema.Filter{Status: []schema.Status{schema.Todo, schema.InProgress}}
	first := create(t, c, "first")
	m := newMirror()
	v, err := c.View(ctx, m.options(filter))
	must(t, err)
	must(t, v.Wait(ctx))
	if v.Len() != 1 || v.Get(first.ID).Title != "first" || v.Get("none") != nil || v.State() != client.Live || v.Err() != nil {
		t.Fatalf("shows %v, %s", v.All(), v.State())
	}
	for i := range 50 {
		task := create(t, c, fmt.Sprint(i))
		switch i % 4 {
		case 1:
			_, err = c.Update(ctx, schema.UpdateParams{ID: task.ID, Patch: schema.Patch{Status: schema.Some(schema.Done)}})
		case 2:
			_, err = c.Delete(ctx, schema.DeleteParams{ID: task.ID})
		}
		must(t, err)
	}
	last := create(t, c, "last")
	for word := ""; word != fmt.Sprint("+", last.ID, last.Version); word = <-m.told {
	}
	page, err := c.List(ctx, schema.ListParams{Filter: &filter})
	must(t, err)
	tasks, cursor := v.At()
	if cursor != page.Cursor || len(tasks) != len(page.Tasks) {
		t.Fatalf("%d tasks at %s, listed are %d at %s", len(tasks), cursor, len(page.Tasks), page.Cursor)
	}
	for i := range page.Tasks {
		if !reflect.DeepEqual(*tasks[i], page.Tasks[i]) {
			t.Errorf("%d: shows %+v, listed is %+v", i, tasks[i], page.Tasks[i])
		}
	}
	must(t, v.Close())
	m.check(t, v)
}

func TestViewEnds(t *testing.T) {
	d := startDaemon(t)
	c := dial(t, d.url(), client.Options{})
	task := create(t, c, "stays")
	closed, err := c.View(t.Context(), client.ViewOptions{})
	must(t, err)
	ended := make(chan client.State, 2) // live, and ended
	cut, err := c.View(t.Context(), client.ViewOptions{StateChanged: func(s client.State) { ended <- s }})
	must(t, err)
	must(t, errors.Join(closed.Wait(t.Context()), cut.Wait(t.Context())))
	must(t, closed.Close())
	must(t, closed.Close())
	d.stop()
	if first, second := <-ended, <-ended; first != client.Live || second != client.Ended {
		t.Errorf("was %s, then %s", first, second)
	}
	for v, want := range map[*client.View]error{closed: client.ErrClosed, cut: client.ErrDisconnected} {
		if err := v.Wait(t.Context()); !errors.Is(err, want) || v.State() != client.Ended || !errors.Is(v.Err(), want) {
			t.Errorf("%s with %v, want %v", v.State(), err, want)
		}
		if v.Get(task.ID) == nil {
			t.Error("shows nothing any more")
		}
	}
	must(t, c.Close())
	if _, err := c.View(t.Context(), client.ViewOptions{}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// The Client closes its Views, and a wait for one ends with its context.
func TestViewAndItsClient(t *testing.T) {
	c := play(t, scene{since: "snapshot"})
	v, err := c.View(t.Context(), client.ViewOptions{})
	must(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if err := v.Wait(ctx); !errors.Is(err, gone) || v.State() != client.CatchingUp {
		t.Errorf("%s: %v", v.State(), err)
	}
	must(t, c.Close())
	if err := v.Wait(t.Context()); !errors.Is(err, client.ErrClosed) {
		t.Error(err)
	}
}
