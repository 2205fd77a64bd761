package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// Where NATS has no room for more a write is refused as one that was not made: the answer
// is not ambiguous.
func TestNoRoomForTheLog(t *testing.T) {
	t.Parallel()
	small := fmt.Sprintf("jetstream { store_dir: %q, max_file_store: 1MB }", t.TempDir())
	f := newFleet(t, fleetOptions{servers: 1, daemons: 1, nats: natsOptions{extra: small}})
	f.members[0].begin()
	c := f.members[0].Dial()
	long := strings.Repeat("x", 60_000)
	for i := range 100 { // more than there is room for
		_, err := c.Create(t.Context(), schema.Draft{ID: fmt.Sprint("t", i), Title: "long", Description: &long})
		if err == nil {
			continue
		}
		if schema.CodeOf(err) != schema.CodeStorageUnavailable || !strings.Contains(err.Error(), "no more room") || i == 0 {
			t.Errorf("after %d tasks: %v", i, err)
		}
		if _, err := c.Get(t.Context(), fmt.Sprint("t", i)); schema.CodeOf(err) != schema.CodeTaskNotFound {
			t.Errorf("the task that was refused: %v", err)
		}
		return
	}
	t.Error("there was room for everything")
}
