// Package journaltest is the suite that every emitter.Journal must pass, and a
// Journal in memory ([Memory]) that passes it.
//
// The suite is the contract in a form that runs: each subtest is named after one
// promise of emitter.Journal or of docs/protocol.md. Random changes are applied
// to the Journal under test and to a Memory side by side, and everything that can
// be read from the two must be equal, byte for byte.
package journaltest

import (
	"context"
	"testing"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// TB is what a *testing.T and a *rapid.T have in common.
type TB interface {
	Helper()
	Cleanup(f func())
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Harness says how to get at the journals of one implementation. Only Open is
// required: where another function is nil the subtests that need it are skipped.
type Harness struct {
	// Open gives a new, empty journal and has it closed by t.Cleanup.
	Open func(t TB) emitter.Journal

	// Reopen closes a journal and opens it again, as a restart does. The journal that
	// it is given is not used any more.
	Reopen func(t TB, j emitter.Journal) emitter.Journal

	// Prune makes a journal forget its events with a Seq up to through.
	Prune func(t TB, j emitter.Journal, through int64)

	// Outside makes operations in one commit as another process does, each as one
	// plain statement that sets only what the operation has.
	Outside func(t TB, j emitter.Journal, operations ...schema.Operation)
}

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		test func(f *fixture)
		when bool
	}{
		{"outcomes match changes", testOutcomes, true},
		{"seqs are dense in the order of Apply", testSeqs, true},
		{"a refused change fails alone and leaves nothing", testRefused, true},
		{"a transaction is made in order", testTransaction, true},
		{"a transaction is all or nothing", testTransactionRefused, true},
		{"an id in use is task_exists", testExists, true},
		{"no task is task_not_found", testNotFound, true},
		{"another version is version_conflict", testVersionConflict, true},
		{"dependencies exist and have no cycle", testDependencies, true},
		{"a task with dependents is not deleted", testDependents, true},
		{"ready turns directly after its cause", testReady, true},
		{"ready of the task itself is part of its change", testOwnReady, true},
		{"a patch that changes nothing writes nothing", testNothing, true},
		{"a patch merges", testMerge, true},
		{"an event says what happened", testEvent, true},
		{"a claim takes the highest priority first, then the oldest", testClaimOrder, true},
		{"a claim is an event, and a lease in the same commit", testClaimEvent, true},
		{"a claim takes what matches", testClaimFilter, true},
		{"a lease token that is not the present one is lease_lost", testLeaseToken, true},
		{"a lease ends with the work", testLeaseEnds, true},
		{"a renewal is no event", testRenew, true},
		{"an expiry that comes too late does nothing", testExpire, true},
		{"an expiry that names an end of before a renewal does nothing, where time stands still", testStalledClock, true},
		{"Events pages", testEvents, true},
		{"TasksAt pages by id", testTasksAt, true},
		{"a page of TasksAt has at most limit tasks", testTasksAtLimit, true},
		{"large tasks come in smaller pages", testLarge, true},
		{"Bounds", testBounds, true},
		{"readers see one place while changes are applied", testReaders, true},
		{"random changes give what the model gives", testModel, true},
		{"what was pruned is compacted", testPrune, h.Prune != nil},
		{"reopening keeps everything", testReopen, h.Reopen != nil},
		{"reopening keeps leases", testReopenLeases, h.Reopen != nil},
		{"another writer ends a claim as anybody does", testOutsideEndsLease, h.Outside != nil},
		{"a seq is never given twice", testNeverReused, h.Reopen != nil && h.Prune != nil},
		{"another writer's changes are events", testOutside, h.Outside != nil},
		{"another writer's events are not among those of Apply", testOutsideGap, h.Outside != nil},
		{"a dependency that is gone counts as done", testDangling, h.Outside != nil},
		{"a cycle through a dependency that was gone is refused", testDanglingCycle, h.Outside != nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !test.when {
				t.Skip("this Journal has no such thing")
			}
			test.test(&fixture{TB: t, t: t, h: h, j: h.Open(t), now: 1_700_000_000_000})
		})
	}
}
