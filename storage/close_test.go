package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// The last one to close a database leaves one file, which can be copied as it is.
func TestCloseLeavesOneFile(t *testing.T) {
	folder := t.TempDir()
	d, err := Open(t.Context(), Config{Path: filepath.Join(folder, "descartes.db")})
	if err != nil {
		t.Fatal(err)
	}
	draft := &schema.Draft{Title: "kept", ID: "a"}
	if err := draft.Normalize(); err != nil {
		t.Fatal(err)
	}
	change := schema.Change{Origin: schema.OriginRPC, Operations: []schema.Operation{{Op: schema.OpCreate, Create: draft}}}
	if _, _, err := d.Apply(t.Context(), []schema.Change{change}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Errorf("after Close: %v, %v", files, err)
	}
}

// Close waits for a write, and one that comes after it is an error.
func TestCloseBesideWrites(t *testing.T) {
	d := newDB(t)
	written := make(chan error, 2)
	go func() {
		for i := 0; ; i++ {
			_, _, err := d.Apply(t.Context(), []schema.Change{change(create(fmt.Sprint("t", i)))})
			if i == 0 || err != nil {
				written <- err
			}
			if err != nil {
				return
			}
		}
	}()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-written; err == nil {
		t.Error("written after Close")
	}
}
