package integration

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// leaseGrace is within what a lease has ended whose time is over, or whose connection is
// gone.
const leaseGrace = time.Second

// claim claims a task.
func claim(t *testing.T, c *client.Client, params schema.ClaimParams) *client.Claimed {
	t.Helper()
	claimed, err := c.Claim(t.Context(), params)
	if err != nil || claimed == nil {
		t.Fatalf("claim %+v: %+v, %v", params, claimed, err)
	}
	return claimed
}

// decodeClaim reads the result of task.claim, nil if it has found nothing.
func decodeClaim(t *testing.T, result json.RawMessage) (claimed *client.Claimed) {
	t.Helper()
	if err := json.Unmarshal(result, &claimed); err != nil {
		t.Fatal(err)
	}
	return claimed
}

// claimNew creates a task and claims it.
func claimNew(t *testing.T, c *client.Client, params schema.ClaimParams) *client.Claimed {
	t.Helper()
	params.ID = &create(t, c, "work").ID
	return claim(t, c, params)
}

// tokenWrites are the writes that need the token of a claim.
func tokenWrites(t *testing.T, c *client.Client, h *client.Claimed) map[string]error {
	t.Helper()
	id, token := h.Task.ID, h.LeaseToken
	done := schema.UpdateParams{ID: id, LeaseToken: &token, Patch: schema.Patch{Status: schema.Some(schema.Done)}}
	tries := make(map[string]error)
	_, tries["update"] = c.Update(t.Context(), done)
	_, tries["renew"] = c.Renew(t.Context(), schema.RenewParams{ID: id, LeaseToken: token})
	_, tries["release"] = c.Release(t.Context(), schema.ReleaseParams{ID: id, LeaseToken: token})
	_, tries["apply"] = c.Apply(t.Context(),
		schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: "with." + id, Title: "with it"}},
		schema.Operation{Op: schema.OpUpdate, Update: &done})
	return tries
}

// requireLost checks that a claim is good for nothing any more, and that trying changes
// nothing.
func requireLost(t *testing.T, c *client.Client, h *client.Claimed, code schema.Code) {
	t.Helper()
	before := newest(t, c)
	for what, err := range tokenWrites(t, c, h) {
		if schema.CodeOf(err) != code {
			t.Errorf("%s: %v, want code %d", what, err, code)
		}
	}
	if after := newest(t, c); after != before {
		t.Errorf("refused writes have led from %s to %s", before, after)
	}
}

// newest gives the end of the journal in the file, announced or not.
func newest(t *testing.T, c *client.Client) string {
	t.Helper()
	stats, err := c.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Journal.Newest
}

// A worker whose claim has ended, however that was, cannot write under it any more: not
// by update, renew, release or in a transaction. The task is somebody else's, or
// nobody's, and stays as it is.
func TestLeaseThatHasEnded(t *testing.T) {
	d := serve(t, database(t), "--log-level", "warn")
	c, people := d.dial(), d.dial()
	byPeople := func(s schema.Status) func(*testing.T, *client.Claimed) {
		return func(t *testing.T, h *client.Claimed) { setStatus(t, people, h.Task.ID, s) }
	}
	claimedAgain := func(t *testing.T, h *client.Claimed) {
		claim(t, people, schema.ClaimParams{AssignedTo: "successor", ID: &h.Task.ID})
	}
	statement := func(text string) func(*testing.T, *client.Claimed) {
		return func(t *testing.T, h *client.Claimed) {
			if err := shell(t, d.db, fmt.Sprintf(text, h.Task.ID)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, end := range []struct {
		name string
		code schema.Code
		how  []func(*testing.T, *client.Claimed)
	}{
		{"people took the task back", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){byPeople(schema.Todo)}},
		{"people blocked it", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){byPeople(schema.Blocked)}},
		{"people finished it", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){byPeople(schema.Done)}},
		{
			"people took it back and work on it themselves", schema.CodeLeaseLost,
			[]func(*testing.T, *client.Claimed){byPeople(schema.Todo), byPeople(schema.InProgress)},
		},
		{"a successor has it", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){byPeople(schema.Todo), claimedAgain}},
		{"deleted", schema.CodeTaskNotFound, []func(*testing.T, *client.Claimed){func(t *testing.T, h *client.Claimed) {
			if _, err := people.Delete(t.Context(), schema.DeleteParams{ID: h.Task.ID}); err != nil {
				t.Fatal(err)
			}
		}}},
		{"another process finished it", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){
			statement(`UPDATE tasks SET status = 'done' WHERE id = '%s'`),
		}},
		{"another process took it back, a successor has it", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){
			statement(`UPDATE tasks SET status = 'todo' WHERE id = '%s'`), claimedAgain,
		}},
		{"another process replaced it", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){
			statement(`INSERT OR REPLACE INTO tasks (id, title) VALUES ('%s', 'replaced')`), claimedAgain,
		}},
		{"another process deleted it", schema.CodeTaskNotFound, []func(*testing.T, *client.Claimed){
			statement(`DELETE FROM tasks WHERE id = '%s'`),
		}},
		{"another process deleted it, and there is another one", schema.CodeLeaseLost, []func(*testing.T, *client.Claimed){
			statement(`DELETE FROM tasks WHERE id = '%s'`),
			statement(`INSERT INTO tasks (id, title, status, leased_by) VALUES ('%s', 'another', 'in_progress', 'worker')`),
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			h := claimNew(t, c, schema.ClaimParams{AssignedTo: "worker"})
			for _, do := range end.how {
				do(t, h)
			}
			requireLost(t, c, h, end.code)
		})
	}
}

// A claim lasts while people, or another process, change anything but the status; a
// token that is not its own is refused meanwhile.
func TestLeaseLastsThroughOtherChanges(t *testing.T) {
	d := serve(t, database(t), "--log-level", "warn")
	c, people := d.dial(), d.dial()
	h := claimNew(t, c, schema.ClaimParams{AssignedTo: "worker"})
	patch := schema.Patch{Title: schema.Some("changed"), AssignedTo: schema.Some("another"), Status: schema.Some(schema.InProgress)}
	if _, err := people.Update(t.Context(), schema.UpdateParams{ID: h.Task.ID, Patch: patch}); err != nil {
		t.Error(err)
	}
	mustExec(t, openOutside(t, d.db), `UPDATE tasks SET priority = 'high', leased_by = 'another' WHERE id = ?`, h.Task.ID)
	stranger := *h
	stranger.LeaseToken += "x"
	requireLost(t, people, &stranger, schema.CodeLeaseLost)
	if _, err := c.Renew(t.Context(), schema.RenewParams{ID: h.Task.ID, LeaseToken: h.LeaseToken}); err != nil {
		t.Errorf("renew: %v", err)
	}
	if err := tokenWrites(t, c, h)["update"]; err != nil {
		t.Errorf("update: %v", err)
	}
	requireLost(t, c, h, schema.CodeLeaseLost) // it is done
}

// A lease that runs out ends within a second of its time, and not before: the task goes
// back to todo, unassigned, by an event of its own. So it is with one that was renewed,
// after a restart, and for a successor's.
func TestLeaseRunsOut(t *testing.T) {
	t.Parallel()
	d := serve(t, database(t), "--log-level", "warn")
	c := d.dial()
	s := subscribe(t, c, schema.SubscribeParams{})
	params := schema.ClaimParams{AssignedTo: "worker", LeaseMS: new(int64(schema.MinLeaseMS))}
	first, renewed := claimNew(t, c, params), claimNew(t, c, params)
	r, err := c.Renew(t.Context(), schema.RenewParams{ID: renewed.Task.ID, LeaseToken: renewed.LeaseToken, LeaseMS: new(int64(1500))})
	if err != nil {
		t.Fatal(err)
	}
	requireRunsOut(t, s, first.Task.ID, first.ExpiresAt)
	requireLost(t, c, first, schema.CodeLeaseLost)
	successor := claim(t, c, schema.ClaimParams{AssignedTo: "successor", ID: &first.Task.ID})
	requireLost(t, c, first, schema.CodeLeaseLost)
	requireRunsOut(t, s, renewed.Task.ID, r.ExpiresAt)
	requireLost(t, c, renewed, schema.CodeLeaseLost)
	if _, err := c.Renew(t.Context(), schema.RenewParams{ID: first.Task.ID, LeaseToken: successor.LeaseToken}); err != nil {
		t.Errorf("the successor's claim: %v", err)
	}
}

// requireRunsOut waits for the end of a lease that nobody asked for.
func requireRunsOut(t *testing.T, s *client.Subscription, id string, expiresAt int64) {
	t.Helper()
	e := nextLeaseEvent(t, s)
	task, err := schema.ParseTask(e.Task)
	if err != nil || e.TaskID != id || task.Status != schema.Todo || task.AssignedTo != nil || task.LeasedBy != nil || !task.Ready {
		t.Errorf("event %+v, %v; want that the lease of %s has ended", e, err, id)
	}
	late := time.Duration(e.Timestamp-expiresAt) * time.Millisecond
	if late < -kit.ClockTolerance || late > leaseGrace {
		t.Errorf("the lease ends %v after its time", late)
	}
}

// nextLeaseEvent waits for the next event that is of a lease that has ended.
func nextLeaseEvent(t *testing.T, s *client.Subscription) schema.Event {
	t.Helper()
	for {
		if e := next(t, s); e.Origin == schema.OriginLease {
			return e
		}
	}
}

// openOutside opens the file as another process would.
func openOutside(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, statement string, arguments ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, arguments...); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
}

// A claim lasts for its time, and ends then, also where the commit that it is made in has
// the end of the claim before. Another process has the file locked until both are asked
// for, so that they share a commit.
func TestLeaseAfterAnotherInOneCommit(t *testing.T) {
	t.Parallel()
	d := serve(t, database(t), "--log-level", "warn")
	c, w := d.dial(), d.waiter()
	s := subscribe(t, c, schema.SubscribeParams{})
	first := claimNew(t, c, schema.ClaimParams{AssignedTo: "first"})
	lock, err := openOutside(t, d.db).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.pipeline(
		request(1, schema.MethodCreate, schema.Draft{Title: "waits for the lock", Status: schema.Blocked}),
		request(2, schema.MethodRelease, schema.ReleaseParams{ID: first.Task.ID, LeaseToken: first.LeaseToken}),
		request(3, schema.MethodClaim, schema.ClaimParams{AssignedTo: "second", ID: &first.Task.ID, LeaseMS: new(int64(schema.MinLeaseMS))}))
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.message()
	w.message()
	_, second := w.claimed()
	requireRunsOut(t, s, second.Task.ID, second.ExpiresAt)
	requireLost(t, c, second, schema.CodeLeaseLost)
}
