package cluster

import (
	"os"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// A write that the file cannot take is refused in the words of the file.
func TestRefusedForTheFile(t *testing.T) {
	j := local(t)
	if err := os.Remove(j.config.Storage.Path); err != nil {
		t.Fatal(err)
	}
	change := schema.Change{Origin: schema.OriginRPC, Operations: []schema.Operation{{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: "a"}}}}
	if _, _, err := j.DB.Follow(t.Context(), 1, []schema.Change{change}); schema.CodeOf(err) != schema.CodeStorageUnavailable {
		t.Fatalf("followed: %v", err)
	}
	_, _, err := j.Apply(t.Context(), []schema.Change{change})
	if schema.CodeOf(err) != schema.CodeStorageUnavailable || strings.Count(err.Error(), "nothing was changed") != 1 {
		t.Errorf("it is refused with %v", err)
	}
}
