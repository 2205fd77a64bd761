package journaltest

import (
	"encoding/json"
	"fmt"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// testModel applies random changes to the journal and to a [Memory]. After each
// commit outcomes and events are equal, and so is the next page of a walk through
// the tasks at some older place, which goes on while the journal grows.
func testModel(f *fixture) {
	rapid.Check(f.t, func(t *rapid.T) {
		m := &model{fixture: fixture{TB: t, j: f.h.Open(t), now: f.now}, memory: NewMemory()}
		t.Repeat(map[string]func(*rapid.T){
			"Apply":   func(t *rapid.T) { m.commit(commits(&m.now).Draw(t, "changes")) },
			"Events":  m.readEvents,
			"TasksAt": m.walkOn,
		})
		m.same("all events", m.events(0, schema.MaxSeq, 50), m.memory.log)
		m.same("all rows", m.rows(m.memory.newest(), 5), must(m.memory.TasksAt(m.Context(), m.memory.newest(), "", 100)))
		bounds := m.bounds()
		bounds.Epoch = ""
		m.same("bounds", bounds, schema.Bounds{Oldest: 1, Newest: m.memory.newest(), NewestAt: m.newestAt()})
		m.same("leases", withoutNums(m.leases(0)), withoutNums(must(m.memory.Leases(m.Context(), 0))))
		checkLog(m.TB, m.events(0, schema.MaxSeq, 50))
	})
}

// lease gives that of an outcome as a list.
func lease(o schema.Outcome) []schema.Lease {
	if o.Lease == nil {
		return nil
	}
	return []schema.Lease{*o.Lease}
}

// withoutNums makes leases of two journals comparable.
func withoutNums(leases []schema.Lease) []schema.Lease {
	for i := range leases {
		leases[i].Num, leases[i].Orphaned = 0, false
	}
	return leases
}

// model is a journal beside its model.
type model struct {
	fixture
	memory *Memory
	at     int64  // a walk through the tasks at this place
	after  string // goes on after this id
}

func (m *model) newestAt() int64 { return must(m.memory.Bounds(m.Context())).NewestAt }

func (m *model) commit(changes []schema.Change) {
	outcomes, events := m.apply(changes...)
	wanted, wantedEvents, err := m.memory.Apply(m.Context(), changes)
	if err != nil {
		m.Fatalf("%v", err)
	}
	m.same("events", events, wantedEvents)
	for i, want := range wanted {
		m.same("refusal", refusal(outcomes[i].Err), refusal(want.Err))
		m.same("results", outcomes[i].Results, want.Results)
		if want.Err == nil {
			m.same("last", outcomes[i].Last, want.Last)
			m.same("lease", withoutNums(lease(outcomes[i])), withoutNums(lease(want)))
		}
	}
}

// refusal shows an error without its sentence, and a path by its ends: there may
// be several ways round a cycle, or several unknown tasks.
func refusal(err error) string {
	e, ok := err.(*schema.Error)
	if !ok {
		return fmt.Sprint(err)
	}
	data := e.Data
	data.Path = nil
	encoded, _ := json.Marshal(data)
	return fmt.Sprintf("%d %s", e.Code, encoded)
}

func (m *model) readEvents(t *rapid.T) {
	after := rapid.Int64Range(0, m.memory.newest()).Draw(t, "after")
	through := rapid.Int64Range(after, m.memory.newest()+1).Draw(t, "through")
	got := m.events(after, through, rapid.IntRange(1, 9).Draw(t, "limit"))
	m.same("events", got, must(m.memory.Events(m.Context(), after, through, 1000)))
}

// walkOn reads the next page of the walk; at its end another one begins.
func (m *model) walkOn(t *rapid.T) {
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	got, err := m.j.TasksAt(m.Context(), m.at, m.after, limit)
	want := must(m.memory.TasksAt(m.Context(), m.at, m.after, 100))
	if err != nil || len(got) > min(limit, len(want)) || len(got) == 0 && len(want) > 0 {
		m.Fatalf("TasksAt(%d, %q, %d) gave %d, %v", m.at, m.after, limit, len(got), err)
	}
	m.same("tasks", got, want[:len(got)])
	if len(got) == 0 {
		m.at, m.after = rapid.Int64Range(0, m.memory.newest()).Draw(t, "at"), ""
		return
	}
	m.after = m.task(got[len(got)-1]).ID
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err) // Memory has no reason to fail
	}
	return value
}

// checkLog checks what must hold of any journal from its beginning, whatever the
// changes were, and knows nothing of Memory.
func checkLog(t TB, events []schema.Event) {
	t.Helper()
	tasks := map[string]*schema.Task{}
	for i, e := range events {
		task, err := schema.ParseTask(e.Task)
		old := tasks[e.TaskID]
		switch {
		case err != nil || e.Seq != int64(i+1) || task.ID != e.TaskID || (old == nil) != (e.ChangeType == schema.Created):
			t.Fatalf("event %d is wrong:%s", i+1, text([]schema.Event{e}))
		case old != nil && e.PreviousStatus != old.Status:
			t.Fatalf("previous_status of event %d is %q, was %q", e.Seq, e.PreviousStatus, old.Status)
		case e.ChangeType == schema.Deleted:
			delete(tasks, e.TaskID)
			if string(e.Task) != string(old.AppendJSON(nil)) {
				t.Fatalf("deleted was %s, not %s", old.AppendJSON(nil), e.Task)
			}
			continue
		case e.NewStatus != task.Status || task.Version != e.Seq || task.UpdatedAt != e.Timestamp:
			t.Fatalf("event %d does not fit its task:%s", e.Seq, text([]schema.Event{e}))
		case e.ChangeType == schema.Updated:
			before, err := task.Before(e.Previous)
			if err != nil {
				t.Fatalf("%v", err)
			}
			before.Version, before.UpdatedAt = e.PreviousVersion, e.PreviousUpdatedAt
			if string(before.AppendJSON(nil)) != string(old.AppendJSON(nil)) {
				t.Fatalf("event %d: previous gives %s, was %s", e.Seq, before.AppendJSON(nil), old.AppendJSON(nil))
			}
		}
		tasks[e.TaskID] = task
	}
	for _, task := range tasks {
		ready := task.Status == schema.Todo
		for _, id := range task.Dependencies {
			ready = ready && tasks[id].Status == schema.Done
		}
		if task.Ready != ready {
			t.Fatalf("at the end ready is wrong: %s", task.AppendJSON(nil))
		}
	}
}
