package integration

import (
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// A claim that was woken for one task and takes a better one leaves the first to the next
// one that waits for it.
func TestWaitingClaimGetsWhatAnotherLeaves(t *testing.T) {
	d := serve(t, database(t), "--log-level", "warn")
	first, choosy := d.waiter(), d.waiter()
	first.wait(patience("any"))
	params := patience("choosy")
	params.Filter = &schema.Filter{IDs: []string{"plain"}}
	choosy.wait(params)
	if _, err := d.dial().Apply(t.Context(),
		schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: "plain", Title: "comes first", Priority: schema.Low}},
		schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: "urgent", Title: "goes first", Priority: schema.Critical}},
	); err != nil {
		t.Fatal(err)
	}
	if _, claimed := first.claimed(); claimed.Task.ID != "urgent" {
		t.Errorf("who wants any got %s", claimed.Task.ID)
	}
	if _, claimed := choosy.claimed(); claimed.Task.ID != "plain" {
		t.Errorf("who wants one got %s", claimed.Task.ID)
	}
}

// A claim that finds nothing does not miss a task that another write of the same commit
// makes ready after it. Here another process has the file locked until both are there, so
// that they share a commit.
func TestWaitingClaimSeesItsOwnCommit(t *testing.T) {
	d := serve(t, database(t), "--log-level", "warn")
	outside := openOutside(t, d.db)
	for range 5 {
		w := d.waiter()
		lock, err := outside.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		w.pipeline(
			request(1, schema.MethodCreate, schema.Draft{Title: "waits for the lock", Status: schema.Blocked}),
			request(2, schema.MethodClaim, schema.ClaimParams{AssignedTo: "waiter", WaitMS: new(int64(5000))}),
			request(3, schema.MethodCreate, schema.Draft{Title: "work"}))
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if m := w.message(); m.Error != nil || string(m.Result) == "null" {
				t.Fatalf("answer %d: %s, %v", *m.ID, m.Result, m.Error)
			}
		}
	}
}

// Who waits for a task that is deleted is told so, by whomever it was deleted.
func TestWaitingClaimOfADeletedTask(t *testing.T) {
	d := serve(t, database(t), "--log-level", "warn")
	c, outside := d.dial(), openOutside(t, d.db)
	for _, remove := range []func(id string){
		func(id string) {
			if _, err := c.Delete(t.Context(), schema.DeleteParams{ID: id}); err != nil {
				t.Fatal(err)
			}
		},
		func(id string) { mustExec(t, outside, `DELETE FROM tasks WHERE id = ?`, id) },
	} {
		task, w := createWith(t, c, schema.Draft{Title: "not ready", Status: schema.Blocked}), d.waiter()
		params := patience("waiter")
		params.ID = &task.ID
		w.wait(params)
		remove(task.ID)
		if m := w.answer(); m.Error == nil || m.Error.Code != schema.CodeTaskNotFound {
			t.Errorf("answer %+v", m)
		}
	}
}
