package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
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

// Close beside lists, whose statements are made and kept at that moment: each is answered, or
// told that it is too late.
func TestCloseBesideLists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "descartes.db")
	for range 10 {
		d, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		var listing sync.WaitGroup
		begun := make(chan struct{}, 4)
		for lister := range 4 {
			listing.Go(func() {
				for i := 0; ; i++ {
					status := append(schema.Statuses(), schema.Statuses()...)[:1+i%8]
					params := schema.ListParams{Filter: &schema.Filter{Status: status}, Order: &schema.Orders()[lister]}
					if err := params.Normalize(); err != nil {
						t.Error(err)
					}
					if _, err := d.List(t.Context(), params, 1<<20); err != nil {
						return // it is closed
					}
					if i == 0 {
						begun <- struct{}{}
					}
				}
			})
		}
		<-begun
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		listing.Wait() // each has had an error
	}
}
