package storage_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// What is left of a claim that another process has ended goes at once, or when a daemon
// starts where none was there.
func TestNothingStaysOfAClaimThatIsEndedOutside(t *testing.T) {
	for _, statement := range []string{`UPDATE tasks SET status = 'todo'`, `DELETE FROM tasks`} {
		for name, there := range map[string]bool{" with a daemon": true, " without": false} {
			t.Run(statement+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "test.db")
				synctest.Test(t, func(t *testing.T) { endOutside(t, path, statement, there) })
			})
		}
	}
}

func endOutside(t *testing.T, path, statement string, there bool) {
	db, err := storage.Open(t.Context(), storage.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	start := func() *emitter.Emitter {
		e, err := emitter.New(t.Context(), db, emitter.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		return e
	}
	e := start()
	for _, op := range []schema.Operation{
		{Op: schema.OpCreate, Create: &schema.Draft{ID: "a", Title: "a"}},
		{Op: schema.OpClaim, Claim: &schema.Claim{ClaimParams: schema.ClaimParams{AssignedTo: "me"}}},
	} {
		if err := op.Normalize(); err != nil {
			t.Fatal(err)
		}
		if o := e.Submit(schema.Change{Origin: schema.OriginRPC, Operations: []schema.Operation{op}}).Outcome(); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	if !there {
		e.Close()
	}
	execute(t, path, statement)
	if !there {
		e = start()
	}
	time.Sleep(time.Second)
	synctest.Wait()
	leases, err := db.Leases(context.Background(), 0)
	if err != nil || len(leases) != 0 || e.Stats().Leases != 0 {
		t.Errorf("left are %+v, %v", leases, err)
	}
}
