package kit

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/descartes-tasks/descartes/rpc/client"
)

// Daemon is one of those that a suite is about.
type Daemon interface {
	URL() string          // the same after every start
	Running()             // waits until it answers
	Dial() *client.Client // that connects again; closed with the test
}

// Linear says what is checked: that what many clients are told of a few tasks is what
// they would be told if every operation happened at one moment.
type Linear struct {
	Daemons      []Daemon
	Disturb      func(random *rand.Rand) // does something bad, and puts it right
	Disturbances int                     // of a history
	Fresh        bool                    // reads ask for what was acknowledged anywhere
	Pause        time.Duration           // of each caller after each operation
}

const (
	linearClients = 6
	linearAnswers = 120 // between two disturbances, at most
)

// Check makes histories for that long, at least one, each of which is checked by itself.
func (l *Linear) Check(t *testing.T, random *rand.Rand, long time.Duration) {
	t.Helper()
	until := time.Now().Add(long)
	histories, operations, lost := 0, 0, 0
	var slowest time.Duration
	for ; histories == 0 || time.Now().Before(until); histories++ {
		h := &history{Linear: l, t: t, name: fmt.Sprintf("h%d", histories), random: random, began: time.Now()}
		recorded := h.record()
		began := time.Now()
		requireLinearizable(t, recorded)
		slowest = max(slowest, time.Since(began))
		for i := range recorded {
			if recorded[i].Output.(linearOutput).lost {
				lost++
			}
		}
		operations += len(recorded)
		if histories == 0 {
			requireForgeriesFound(t, recorded)
		}
	}
	t.Logf("%d histories with %d operations, %d of them without an answer; %d disturbances; the slowest check took %v",
		histories, operations, lost, histories*l.Disturbances, slowest)
}

// requireLinearizable fails with a picture of what is wrong.
func requireLinearizable(t *testing.T, recorded []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(linearModel(), recorded, 2*time.Minute)
	if result == porcupine.Ok {
		return
	}
	picture := filepath.Join(t.ArtifactDir(), "history.html")
	if err := porcupine.VisualizePath(linearModel(), info, picture); err != nil {
		t.Error(err)
	}
	t.Fatalf("a history of %d operations is %s: see %s (keep it with go test -artifacts)", len(recorded), result, picture)
}

// requireForgeriesFound checks that the same history is refused with one lie in it:
// the last list shows a task as it was before, or a write was not made that others
// have seen.
func requireForgeriesFound(t *testing.T, recorded []porcupine.Operation) {
	t.Helper()
	last := slices.IndexFunc(recorded, func(o porcupine.Operation) bool { return o.Metadata == finalRead })
	forged := slices.Clone(recorded)
	output := forged[last].Output.(linearOutput)
	for task := range output.list {
		if output.list[task].title != "" {
			output.list[task].version--
			break
		}
	}
	forged[last].Output = output
	if porcupine.CheckOperations(linearModel(), forged) {
		t.Error("a version that nobody gave was not noticed")
	}
	made := slices.IndexFunc(recorded, func(o porcupine.Operation) bool { return len(o.Output.(linearOutput).versions) > 0 })
	if porcupine.CheckOperations(linearModel(), slices.Delete(slices.Clone(recorded), made, made+1)) {
		t.Error("a write that vanished was not noticed")
	}
}
