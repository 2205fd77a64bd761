package journaltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

func testEvents(f *fixture) {
	if got := f.events(0, 10, 10); len(got) > 0 {
		f.Fatalf("an empty journal gave%s", text(got))
	}
	var all []schema.Event
	for i := range 10 {
		_, events := f.must(f.change(create(fmt.Sprint("t", i))))
		all = append(all, events...)
	}
	for _, limit := range []int{1, 3, 10, 1000} {
		f.same("all", f.events(0, 10, limit), all)
		f.same("from the middle", f.events(4, 7, limit), all[4:7])
		f.same("beyond the end", f.events(8, schema.MaxSeq, limit), all[8:])
	}
	for _, place := range [][2]int64{{10, 10}, {10, 20}, {5, 5}} {
		if got := f.events(place[0], place[1], 5); len(got) > 0 {
			f.Errorf("Events(%d, %d) gave%s", place[0], place[1], text(got))
		}
	}
}

func testTasksAt(f *fixture) {
	if rows := f.rows(0, 10); len(rows) > 0 {
		f.Fatalf("an empty journal has rows%s", text(rows))
	}
	// The order is that of bytes: "B" is before "a".
	f.do(create("b"), create("a"), create("B"), create("a.1"), create("c", "a"))
	places := map[int64][]json.RawMessage{}
	for at := range int64(6) {
		places[at] = f.rows(at, 10)
	}
	for at, ids := range [][]string{{}, {"b"}, {"a", "b"}, {"B", "a", "b"}, {"B", "a", "a.1", "b"}, {"B", "a", "a.1", "b", "c"}} {
		got := []string{}
		for _, document := range places[int64(at)] {
			got = append(got, f.task(document).ID)
		}
		f.same(fmt.Sprint("ids at ", at), got, ids)
	}
	f.do(
		setStatus("a", schema.Done), remove("b"), create("b"), setStatus("b", schema.Blocked), setStatus("a", schema.Todo),
		update("B", schema.Patch{Title: schema.Some("é"), Metadata: schema.Some(json.RawMessage(`{"n":1.0}`))}),
	)
	for at, want := range places {
		for _, limit := range []int{1, 2, 3, 100} {
			f.same(fmt.Sprint("rows at ", at), f.rows(at, limit), want)
		}
	}
}

// testTasksAtLimit reads pages of what is still there and what is not.
func testTasksAtLimit(f *fixture) {
	f.do(create("a"), create("b"), create("c"), create("d"), create("e"))
	want := f.rows(5, 100)
	f.do(remove("a"), remove("d"))
	for limit := 1; limit <= 6; limit++ {
		f.same("rows", f.rows(5, limit), want)
	}
}

func testLarge(f *fixture) {
	var creations, updates []schema.Change
	for i := range 40 {
		op := create(fmt.Sprintf("t%02d", i))
		op.Create.Description = new(strings.Repeat("ä", schema.MaxDescription/2))
		creations = append(creations, f.change(op))
		updates = append(updates, f.change(update(op.TaskID(), schema.Patch{Description: schema.Some("small")})))
	}
	_, created := f.apply(creations...)
	rows := f.rows(40, 1000)
	_, updated := f.apply(updates...)
	f.same("events", f.events(0, 80, 1000), slices.Concat(created, updated))
	f.same("rows before the updates", f.rows(40, 1000), rows)
	f.same("number of rows", len(rows), 40)
}

func testBounds(f *fixture) {
	empty := f.bounds()
	if empty.Epoch == "" || empty.Oldest != 1 || empty.Newest != 0 || empty.NewestAt != 0 {
		f.Fatalf("of an empty journal: %+v", empty)
	}
	if _, err := schema.ParseCursor("since", (schema.Cursor{Epoch: empty.Epoch, Seq: 5}).String()); err != nil {
		f.Errorf("the epoch %q makes no cursor", empty.Epoch)
	}
	f.do(create("a"), create("b"))
	f.same("bounds", f.bounds(), schema.Bounds{Epoch: empty.Epoch, Oldest: 1, Newest: 2, NewestAt: f.now})
}

// testReaders has readers compare two ways to the tasks at one place, TasksAt and
// the events up to it, while the journal grows.
func testReaders(f *fixture) {
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for at := int64(-1); ; {
				select {
				case <-stop:
					return
				default:
				}
				if newest, ok := f.compareReads(); !ok || newest < at {
					f.Errorf("reading failed, or the journal shrank from %d to %d", at, newest)
					return
				} else {
					at = newest
				}
			}
		})
	}
	for i := range 40 {
		id := fmt.Sprint("t", i%8)
		f.apply(f.change(create(id)), f.change(setStatus(id, schema.Statuses()[i%4])), f.change(create(id+"x", id)))
		if i%5 == 0 {
			f.apply(f.change(remove(id+"x")), f.change(remove(id)))
		}
	}
	close(stop)
	readers.Wait()
}

// compareReads is for other goroutines than the test's: it does not end the test.
func (f *fixture) compareReads() (newest int64, ok bool) {
	bounds, err := f.j.Bounds(f.Context())
	if err != nil {
		return 0, false
	}
	documents := map[string]json.RawMessage{}
	for after := int64(0); after < bounds.Newest; {
		events, err := f.j.Events(f.Context(), after, bounds.Newest, 16)
		if err != nil || len(events) == 0 {
			return 0, false
		}
		for _, e := range events {
			if after++; e.Seq != after {
				return 0, false
			}
			documents[e.TaskID] = e.Task
			if e.ChangeType == schema.Deleted {
				delete(documents, e.TaskID)
			}
		}
	}
	for after := ""; ; {
		rows, err := f.j.TasksAt(f.Context(), bounds.Newest, after, 3)
		if err != nil {
			return 0, false
		}
		if len(rows) == 0 {
			return bounds.Newest, len(documents) == 0
		}
		for _, row := range rows {
			task, err := schema.ParseTask(row)
			if err != nil || string(documents[task.ID]) != string(row) {
				return 0, false
			}
			delete(documents, task.ID)
			after = task.ID
		}
	}
}

func testPrune(f *fixture) {
	f.do(create("a"), create("b"), setStatus("a", schema.Done), create("c"))
	f.h.Prune(f.TB, f.j, 2)
	bounds := f.bounds()
	if bounds.Oldest != 3 || bounds.Newest != 4 || bounds.NewestAt != f.now {
		f.Fatalf("bounds are %+v", bounds)
	}
	for _, after := range []int64{0, 1} {
		if _, err := f.j.Events(f.Context(), after, 4, 10); !errors.Is(err, schema.ErrCompacted) {
			f.Errorf("Events(%d): %v", after, err)
		}
		if _, err := f.j.TasksAt(f.Context(), after, "", 10); !errors.Is(err, schema.ErrCompacted) {
			f.Errorf("TasksAt(%d): %v", after, err)
		}
	}
	if got := len(f.events(2, 4, 10)); got != 2 {
		f.Errorf("%d events are left", got)
	}
	if got := len(f.rows(2, 10)); got != 2 {
		f.Errorf("%d tasks at the oldest place", got)
	}
	f.h.Prune(f.TB, f.j, 4)
	f.same("bounds", f.bounds(), schema.Bounds{Epoch: bounds.Epoch, Oldest: 5, Newest: 4})
	if got := f.events(4, 10, 10); len(got) > 0 {
		f.Errorf("events after everything:%s", text(got))
	}
	if got := len(f.rows(4, 10)); got != 3 {
		f.Errorf("%d tasks at the newest place", got)
	}
	f.do(create("d"))
	f.same("bounds", f.bounds(), schema.Bounds{Epoch: bounds.Epoch, Oldest: 5, Newest: 5, NewestAt: f.now})
}

func testReopen(f *fixture) {
	f.do(create("a"), create("b", "a"), setStatus("a", schema.Done), create("c"), remove("c"))
	bounds, events, rows, past := f.bounds(), f.events(0, 100, 10), f.rows(6, 10), f.rows(2, 10)
	f.j = f.h.Reopen(f.TB, f.j)
	f.same("bounds", f.bounds(), bounds)
	f.same("events", f.events(0, 100, 10), events)
	f.same("rows", f.rows(6, 10), rows)
	f.same("rows of the past", f.rows(2, 10), past)
	f.refused(schema.CodeDependencyInvalid, f.change(setDependencies("a", "b")))
	f.do(setStatus("a", schema.Todo))
	f.same("newest", f.bounds().Newest, bounds.Newest+2)
}

func testNeverReused(f *fixture) {
	f.do(create("a"), remove("a"))
	f.h.Prune(f.TB, f.j, 2)
	f.j = f.h.Reopen(f.TB, f.j)
	f.same("newest", f.bounds().Newest, 2)
	f.do(create("a"))
	f.same("version", f.row("a").Version, 3)
}

// outside makes operations as another process and waits until the events after
// the newest that there was are n.
func (f *fixture) outside(n int, operations ...schema.Operation) []schema.Event {
	f.Helper()
	newest := f.bounds().Newest
	f.h.Outside(f.TB, f.j, operations...)
	deadline := time.After(10 * time.Second)
	for {
		if events := f.events(newest, schema.MaxSeq, 100); len(events) >= n {
			return events
		}
		select {
		case <-f.j.Moved():
		case <-deadline:
			f.Fatalf("10 s after another writer's commit there are only%s", text(f.events(newest, schema.MaxSeq, 100)))
		}
	}
}

func testOutside(f *fixture) {
	f.do(create("mine"))
	events := slices.Concat(
		f.outside(1, create("a")),
		f.outside(2, setStatus("a", schema.InProgress), setStatus("mine", schema.Blocked)),
		f.outside(1, remove("a")),
	)
	f.same("events", order(events), "2 a, 3 a, 4 mine, 5 a")
	for i, want := range []schema.Event{
		{ChangeType: schema.Created, NewStatus: schema.Todo},
		{ChangeType: schema.Updated, PreviousStatus: schema.Todo, NewStatus: schema.InProgress},
		{ChangeType: schema.Updated, PreviousStatus: schema.Todo, NewStatus: schema.Blocked},
		{ChangeType: schema.Deleted, PreviousStatus: schema.InProgress},
	} {
		got, task := events[i], f.task(events[i].Task)
		if got.ChangeType != want.ChangeType || got.PreviousStatus != want.PreviousStatus ||
			got.NewStatus != want.NewStatus || got.Origin != schema.OriginExternal || got.Actor != "" || got.Source != 0 {
			f.Errorf("got%s", text(events[i:i+1]))
		}
		if got.ChangeType != schema.Deleted && (task.Version != got.Seq || task.UpdatedAt != got.Timestamp) {
			f.Errorf("the task is at version %d of %d, the event %d of %d", task.Version, task.UpdatedAt, got.Seq, got.Timestamp)
		}
	}
	f.same("previous", string(events[1].Previous), `{"status":"todo","ready":true}`)
	f.same("row", f.rows(5, 10), []json.RawMessage{events[2].Task})
	f.do(expecting(4, setStatus("mine", schema.Done)))
}

func testOutsideGap(f *fixture) {
	f.do(create("mine"))
	f.h.Outside(f.TB, f.j, setStatus("mine", schema.Done))
	refusal := f.refused(schema.CodeVersionConflict, f.change(expecting(1, setStatus("mine", schema.Blocked))))
	f.same("actual", *refusal.Data.Actual, 2)
	outcome, events := f.must(f.change(setStatus("mine", schema.Blocked)))
	f.same("events", order(events), "3 mine")
	f.same("last", outcome.Last, 3)
	f.same("between", order(f.events(1, 2, 10)), "2 mine")
}

func testDangling(f *fixture) {
	f.do(create("a"), create("b", "a"))
	events := f.outside(2, remove("a"))
	f.same("events", order(events), "3 a, 4 b")
	f.same("previous", string(events[1].Previous), `{"ready":false}`)
	_, events = f.must(f.change(create("a")))
	f.same("events", order(events), "5 a, 6 b")
	if f.row("b").Ready {
		f.Errorf("ready although its dependency is there again")
	}
}

func testDanglingCycle(f *fixture) {
	f.do(create("a"), create("b", "a"))
	f.outside(2, remove("a"))
	refusal := f.refused(schema.CodeDependencyInvalid, f.change(create("a", "b")))
	f.same("cycle", refusal.Data.Path, []string{"a", "b", "a"})
	// What is gone may stay among the dependencies, but nobody can depend on it anew.
	f.do(update("b", schema.Patch{Title: schema.Some("new")}), create("c", "b"), create("d"), setDependencies("b", "a", "d"))
	refusal = f.refused(schema.CodeDependencyInvalid, f.change(setDependencies("d", "a")))
	f.same("unknown", refusal.Data.Path, []string{"a"})
}
