package kit

import (
	"encoding/json"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Replay is what the journal leads to, event by event: with nothing but that, a test
// knows what was ready, and who held what, when something happened.
type Replay map[string]*Replayed

// Replayed is a task as some event left it.
type Replayed struct {
	schema.Task
	Born int64  // seq of its creation
	By   string // who has written last: see Signed
}

// Take takes an event, and gives its task before and after, nil where there is none.
func (r Replay) Take(t *testing.T, e *schema.Event) (before, after *Replayed) {
	t.Helper()
	before = r[e.TaskID]
	if (before == nil) != (e.ChangeType == schema.Created) {
		t.Fatalf("event %d is %s, and there was %v before", e.Seq, e.ChangeType, before)
	}
	if e.ChangeType == schema.Deleted {
		delete(r, e.TaskID)
		return before, nil
	}
	task, err := schema.ParseTask(e.Task)
	if err != nil {
		t.Fatalf("event %d: %v", e.Seq, err)
	}
	after = &Replayed{Task: *task, Born: e.Seq}
	if before != nil {
		after.Born = before.Born
	}
	var signature struct{ By string }
	if err := json.Unmarshal(task.Metadata, &signature); err != nil {
		t.Fatalf("event %d: %v", e.Seq, err)
	}
	after.By = signature.By
	r[e.TaskID] = after
	return before, after
}

// Signed gives metadata that say who has written them.
func Signed(by string) json.RawMessage {
	return json.RawMessage(`{"by":` + string(schema.AppendString(nil, by)) + `}`)
}

// Holder gives who holds a task, "" for nobody.
func (r *Replayed) Holder() string {
	if r == nil || r.LeasedBy == nil {
		return ""
	}
	return *r.LeasedBy
}

// GoesBefore tells whether r is to be claimed before other: higher priority, then older.
// Those of the same millisecond are as old as the journal says.
func (r *Replayed) GoesBefore(other *Replayed) bool {
	if mine, its := r.Priority.Rank(), other.Priority.Rank(); mine != its {
		return mine > its
	}
	if r.CreatedAt != other.CreatedAt {
		return r.CreatedAt < other.CreatedAt
	}
	return r.Born < other.Born
}

// DefinedReady gives what ready is to be: todo, every dependency done or gone, no lease.
func (r Replay) DefinedReady(task *schema.Task) bool {
	for _, id := range task.Dependencies {
		if other := r[id]; other != nil && other.Status != schema.Done {
			return false
		}
	}
	return task.Status == schema.Todo && task.LeasedBy == nil
}

// Journal reads the whole journal through task.history: of one task, or with "" of all.
func Journal(t *testing.T, c *client.Client, id string) (events []schema.Event) {
	t.Helper()
	params := schema.HistoryParams{Limit: new(int64(schema.MaxLimit))}
	if id != "" {
		params.ID = &id
	}
	for {
		page, err := c.History(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, page.Events...)
		if params.Since = page.Next; page.Next == nil {
			return events
		}
	}
}
