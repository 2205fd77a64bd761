package journaltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// fixture is one journal under test. Any error that a test does not ask for ends
// the test.
type fixture struct {
	TB
	t   *testing.T
	h   Harness
	j   emitter.Journal
	now int64 // time of the last change, Unix milliseconds
}

// change makes a Change of a client, a second after the one before.
func (f *fixture) change(operations ...schema.Operation) schema.Change {
	f.now += 1000
	return schema.Change{At: f.now, Origin: schema.OriginRPC, Operations: operations}
}

// transaction makes a Change as task.apply does.
func (f *fixture) transaction(operations ...schema.Operation) schema.Change {
	c := f.change(operations...)
	c.Transaction = true
	return c
}

// apply applies changes as one commit.
func (f *fixture) apply(changes ...schema.Change) ([]schema.Outcome, []schema.Event) {
	f.Helper()
	outcomes, events, err := f.j.Apply(f.Context(), changes)
	if err != nil {
		f.Fatalf("Apply: %v", err)
	}
	if len(outcomes) != len(changes) {
		f.Fatalf("Apply gave %d outcomes for %d changes", len(outcomes), len(changes))
	}
	return outcomes, events
}

// must applies one change that is made, and gives its events.
func (f *fixture) must(c schema.Change) (schema.Outcome, []schema.Event) {
	f.Helper()
	outcomes, events := f.apply(c)
	if err := outcomes[0].Err; err != nil {
		f.Fatalf("refused: %v", err)
	}
	return outcomes[0], events
}

// do makes each operation as a change of its own.
func (f *fixture) do(operations ...schema.Operation) {
	f.Helper()
	for _, op := range operations {
		f.must(f.change(op))
	}
}

// refused applies one change that is refused with a code, and gives the error.
func (f *fixture) refused(code schema.Code, c schema.Change) *schema.Error {
	f.Helper()
	outcomes, events := f.apply(c)
	refusal, ok := errors.AsType[*schema.Error](outcomes[0].Err)
	if !ok || refusal.Code != code {
		f.Fatalf("got %v, want code %d", outcomes[0].Err, code)
	}
	if len(events) > 0 || len(outcomes[0].Results) > 0 {
		f.Errorf("a refused change gave %d events and %d results", len(events), len(outcomes[0].Results))
	}
	return refusal
}

// bounds asks for the ends of the journal.
func (f *fixture) bounds() schema.Bounds {
	f.Helper()
	bounds, err := f.j.Bounds(f.Context())
	if err != nil {
		f.Fatalf("Bounds: %v", err)
	}
	return bounds
}

// events reads all events with after < Seq <= through, in pages.
func (f *fixture) events(after, through int64, limit int) (all []schema.Event) {
	f.Helper()
	for {
		page, err := f.j.Events(f.Context(), after, through, limit)
		if err != nil {
			f.Fatalf("Events(%d, %d, %d): %v", after, through, limit, err)
		}
		if len(page) > limit {
			f.Fatalf("Events(%d, %d, %d) gave %d", after, through, limit, len(page))
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = page[len(page)-1].Seq
	}
}

// rows reads all tasks at a place, in pages.
func (f *fixture) rows(at int64, limit int) (all []json.RawMessage) {
	f.Helper()
	after := ""
	for {
		page, err := f.j.TasksAt(f.Context(), at, after, limit)
		if err != nil {
			f.Fatalf("TasksAt(%d, %q, %d): %v", at, after, limit, err)
		}
		if len(page) > limit {
			f.Fatalf("TasksAt(%d, %q, %d) gave %d", at, after, limit, len(page))
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = f.task(page[len(page)-1]).ID
	}
}

// row gives the present state of a task.
func (f *fixture) row(id string) *schema.Task {
	f.Helper()
	for _, document := range f.rows(f.bounds().Newest, 100) {
		if task := f.task(document); task.ID == id {
			return task
		}
	}
	f.Fatalf("there is no task %s", id)
	return nil
}

func (f *fixture) task(document json.RawMessage) *schema.Task {
	f.Helper()
	task, err := schema.ParseTask(document)
	if err != nil {
		f.Fatalf("%v", err)
	}
	return task
}

// same ends the test if got and want differ.
func (f *fixture) same(what string, got, want any) {
	f.Helper()
	if g, w := text(got), text(want); g != w {
		f.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// text shows a value whole: JSON as it is, events with what the wire hides.
func text(value any) string {
	var b strings.Builder
	switch v := value.(type) {
	case []schema.Event:
		for _, e := range v {
			line(&b, e)
		}
	case []json.RawMessage:
		for _, document := range v {
			fmt.Fprintf(&b, "\n\t%s", document)
		}
	default:
		fmt.Fprintf(&b, "%v", v)
	}
	return b.String()
}

func line(b *strings.Builder, e schema.Event) {
	fmt.Fprintf(b, "\n\t%d %s %s %q>%q tx %d at %d by %s %q %d: %s", e.Seq, e.ChangeType, e.TaskID,
		e.PreviousStatus, e.NewStatus, e.TxLast, e.Timestamp, e.Origin, e.Actor, e.Source, e.Task)
	fmt.Fprintf(b, " before: %s at %d, version %d", e.Previous, e.PreviousUpdatedAt, e.PreviousVersion)
	if e.Cursor != "" || e.Coalesced != 0 || e.Left || e.Own {
		fmt.Fprintf(b, " (has what belongs to one subscription)")
	}
}

func create(id string, dependencies ...string) schema.Operation {
	return normal(schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{
		ID: id, Title: "task " + id, Dependencies: slices.Clone(dependencies),
	}})
}

func update(id string, patch schema.Patch) schema.Operation {
	return normal(schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: id, Patch: patch}})
}

func setStatus(id string, status schema.Status) schema.Operation {
	return update(id, schema.Patch{Status: schema.Some(status)})
}

func setDependencies(id string, dependencies ...string) schema.Operation {
	return update(id, schema.Patch{Dependencies: schema.Some(dependencies)})
}

func remove(id string) schema.Operation {
	return normal(schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id}})
}

// expecting gives op with an expected_version.
func expecting(version int64, op schema.Operation) schema.Operation {
	if op.Op == schema.OpUpdate {
		op.Update.ExpectedVersion = &version
	} else {
		op.Delete.ExpectedVersion = &version
	}
	return op
}

// normal gives op as it comes to a journal: validated, with its defaults.
func normal(op schema.Operation) schema.Operation {
	if err := op.Normalize(); err != nil {
		panic(err) // a mistake of the suite itself
	}
	return op
}
