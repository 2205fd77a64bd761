package rpc_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// Few ids, names and words: what happens shall meet each other.
var (
	someIDs    = []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	someTitles = []string{"one", "two three", "Zwölf \"12\"", "<&>\u2028 one", "ONEs"}
	someTexts  = []string{"one", "t", "zwölf 12"}
	somePeople = []string{"anna", "otto"}
	someBulk   = strings.Repeat("all work and no play ", 200)
)

// call is a write.
type call struct {
	method     string
	params     any
	operations int
}

// GoString shows it where rapid tells of a failure.
func (c call) GoString() string {
	encoded, _ := json.Marshal(c.params)
	return fmt.Sprintf("%s %s", c.method, encoded)
}

func countOperations(calls []call) (n int) {
	for _, c := range calls {
		n += c.operations
	}
	return n
}

func calls() *rapid.Generator[call] {
	return rapid.Custom(func(t *rapid.T) call {
		if rapid.IntRange(0, 5).Draw(t, "transaction") == 0 {
			all := rapid.SliceOfN(operation(), 1, 5).Draw(t, "operations")
			return call{schema.MethodApply, schema.ApplyParams{Operations: all}, len(all)}
		}
		switch o := operation().Draw(t, "operation"); o.Op {
		case schema.OpCreate:
			return call{schema.MethodCreate, o.Create, 1}
		case schema.OpUpdate:
			return call{schema.MethodUpdate, o.Update, 1}
		default:
			return call{schema.MethodDelete, o.Delete, 1}
		}
	})
}

func operation() *rapid.Generator[schema.Operation] {
	return rapid.Custom(func(t *rapid.T) schema.Operation {
		id := rapid.SampledFrom(someIDs).Draw(t, "id")
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		switch {
		case kind < 3:
			return schema.Operation{Op: schema.OpCreate, Create: draft(t, id)}
		case kind < 8:
			return schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{
				ID: id, Patch: patch(t), ExpectedVersion: expected(t),
			}}
		default:
			return schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id, ExpectedVersion: expected(t)}}
		}
	})
}

func draft(t *rapid.T, id string) *schema.Draft {
	return &schema.Draft{
		ID:           id,
		Title:        rapid.SampledFrom(someTitles).Draw(t, "title"),
		Status:       rapid.SampledFrom(schema.Statuses()).Draw(t, "status"),
		Priority:     rapid.SampledFrom(schema.Priorities()).Draw(t, "priority"),
		AssignedTo:   rapid.Ptr(rapid.SampledFrom(somePeople), true).Draw(t, "assigned_to"),
		Dependencies: dependencies().Draw(t, "dependencies"),
	}
}

func dependencies() *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(someIDs), 0, 2, rapid.ID)
}

func patch(t *rapid.T) (p schema.Patch) {
	switch rapid.IntRange(0, 7).Draw(t, "field") {
	case 0:
		p.Title = schema.Some(rapid.SampledFrom(someTitles).Draw(t, "title"))
	case 1:
		p.Priority = schema.Some(rapid.SampledFrom(schema.Priorities()).Draw(t, "priority"))
	case 2:
		p.AssignedTo = schema.Some(rapid.SampledFrom(somePeople).Draw(t, "assigned_to"))
	case 3:
		p.AssignedTo = schema.Null[string]()
	case 4:
		p.Dependencies = schema.Some(dependencies().Draw(t, "dependencies"))
	case 5:
		p.Description = schema.Some(someBulk[:rapid.IntRange(1, len(someBulk)).Draw(t, "bytes")])
	default:
		p.Status = schema.Some(rapid.SampledFrom(schema.Statuses()).Draw(t, "status"))
	}
	return p
}

func expected(t *rapid.T) *int64 {
	if rapid.IntRange(0, 9).Draw(t, "expects") > 0 {
		return nil
	}
	return new(rapid.Int64Range(1, 50).Draw(t, "expected_version"))
}

// statement is one of plain SQL.
func statement() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		id := rapid.SampledFrom(someIDs).Draw(t, "id")
		status := rapid.SampledFrom(schema.Statuses()).Draw(t, "status")
		switch rapid.IntRange(0, 5).Draw(t, "statement") {
		case 0:
			return fmt.Sprintf("INSERT OR IGNORE INTO tasks (id, title, status) VALUES ('%s', 'from outside', '%s')", id, status)
		case 1:
			return fmt.Sprintf("DELETE FROM tasks WHERE id = '%s'", id)
		case 2:
			return fmt.Sprintf("UPDATE tasks SET title = title || '.' WHERE status = '%s' AND length(title) < 100", status)
		default:
			return fmt.Sprintf("UPDATE tasks SET status = '%s' WHERE id = '%s'", status, id)
		}
	})
}

// subscription gives what a subscriber asks for, but for where it begins.
func subscription() *rapid.Generator[schema.SubscribeParams] {
	return rapid.Custom(func(t *rapid.T) schema.SubscribeParams {
		p := schema.SubscribeParams{
			Filter:     filter(t),
			DebounceMS: new(rapid.SampledFrom([]int64{0, 0, 0, 1, 5, 40}).Draw(t, "debounce_ms")),
		}
		if rapid.IntRange(0, 3).Draw(t, "without task") == 0 {
			p.IncludeTask = new(false)
		}
		if rapid.IntRange(0, 2).Draw(t, "in batches") == 0 {
			p.Batch = &schema.Batch{
				Max:    rapid.Int64Range(1, 20).Draw(t, "max"),
				WaitMS: rapid.Int64Range(0, 10).Draw(t, "wait_ms"),
			}
		}
		return p
	})
}

func filter(t *rapid.T) *schema.EventFilter {
	f := new(schema.EventFilter)
	switch rapid.IntRange(0, 10).Draw(t, "filter") {
	case 0, 1, 2:
		return nil
	case 3:
		f.Status = rapid.SliceOfNDistinct(rapid.SampledFrom(schema.Statuses()), 0, 3, rapid.ID).Draw(t, "status")
	case 4:
		f.PriorityAtLeast = new(rapid.SampledFrom(schema.Priorities()).Draw(t, "priority_at_least"))
	case 5:
		f.AssignedTo = []*string{nil, &somePeople[0]}
	case 6:
		f.IDs = rapid.SliceOfNDistinct(rapid.SampledFrom(someIDs), 1, 4, rapid.ID).Draw(t, "ids")
	case 7:
		f.Ready = new(rapid.Bool().Draw(t, "ready"))
	case 8:
		f.Text = new(rapid.SampledFrom(someTexts).Draw(t, "text"))
	case 9:
		f.StatusChangesOnly = true
	case 10:
		f.ChangeTypes = rapid.SliceOfNDistinct(rapid.SampledFrom([]schema.ChangeType{
			schema.Created, schema.Updated, schema.Deleted,
		}), 1, 3, rapid.ID).Draw(t, "change_types")
	}
	return f
}
