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

// What is left of a claim that another process has ended goes while the daemon runs,
// not when it starts again.
func TestNothingStaysOfAClaimThatIsEndedOutside(t *testing.T) {
	for name, statement := range map[string]string{
		"overruled": `UPDATE tasks SET status = 'todo'`, "deleted": `DELETE FROM tasks`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			synctest.Test(t, func(t *testing.T) {
				db, err := storage.Open(t.Context(), storage.Config{Path: path})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				e, err := emitter.New(t.Context(), db, emitter.Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
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
				execute(t, path, statement)
				time.Sleep(time.Second)
				synctest.Wait()
				leases, err := db.Leases(context.Background(), 0)
				if err != nil || len(leases) != 0 || e.Stats().Leases != 0 {
					t.Errorf("left are %+v, %v", leases, err)
				}
			})
		})
	}
}
