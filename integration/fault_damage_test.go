package integration

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// TestDamagedPage: in a file that is too large to be read as a whole when it is
// opened, damage is found when it is met. What meets it is refused; everything else
// lives on. It makes no difference whether the page was damaged before the start or
// after it.
func TestDamagedPage(t *testing.T) {
	for _, running := range []bool{false, true} {
		name := "before the start"
		if running {
			name = "while it runs"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := admit(t, database(t))
			p.grow()
			victim := create(t, p.client, "the victim of this test")
			p.grow()
			p.awaitCheckpoint()
			if running {
				damage(t, p.db, victim.Title)
			} else {
				p.mustStop()
				damage(t, p.db, victim.Title)
				p.start(t, p.db)
			}
			p.events, p.made = subscribe(t, p.client, schema.SubscribeParams{}), nil
			refused := func(what string, err error) {
				t.Helper()
				if schema.CodeOf(err) != schema.CodeStorageUnavailable || !strings.Contains(err.Error(), "it is damaged") {
					t.Errorf("%s ended with %v", what, err)
				}
			}
			for range 3 {
				_, err := p.client.Get(t.Context(), victim.ID)
				refused("get", err)
				_, err = p.client.Update(t.Context(), schema.UpdateParams{ID: victim.ID, Patch: schema.Patch{Title: schema.Some("new")}})
				refused("update", err)
			}
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() { // perhaps in one commit with those that follow
					_, err := p.client.Update(t.Context(), schema.UpdateParams{ID: victim.ID, Patch: schema.Patch{Title: schema.Some("new")}})
					refused("update", err)
				})
				p.mustWrite()
			}
			group.Wait()
			if _, err := p.client.Get(t.Context(), p.made[0]); err != nil {
				t.Errorf("get of another task: %v", err)
			}
			for _, id := range p.made {
				if event := next(t, p.events); event.TaskID != id {
					t.Fatalf("event %d is of %s, want %s", event.Seq, event.TaskID, id)
				}
			}
			if status, text := p.ready(); status != http.StatusServiceUnavailable || !strings.Contains(text, "damaged") {
				t.Errorf("ready: %d %s", status, text)
			}
			if errors, _ := p.logged(); errors != 1 {
				t.Errorf("%d lines say that it fails", errors)
			}
			p.mustStop()
		})
	}
}

// grow makes the file some megabytes larger.
func (p *patient) grow() {
	p.t.Helper()
	for range 10 {
		operations := make([]schema.Operation, 100)
		for i := range operations {
			operations[i] = schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{
				Title: "filling", Description: new(strings.Repeat("text ", 200)),
			}}
		}
		if _, err := p.client.Apply(p.t.Context(), operations...); err != nil {
			p.t.Fatal(err)
		}
	}
}

// damage destroys every page of a file that has a text.
func damage(t *testing.T, db, text string) {
	t.Helper()
	const page = 4096
	file, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	if len(file) < 4<<20 {
		t.Fatalf("the file has %d bytes, which is read as a whole", len(file))
	}
	out, err := os.OpenFile(db, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for start := 0; start < len(file); start += page {
		if bytes.Contains(file[start:start+page], []byte(text)) {
			if _, err := out.WriteAt(make([]byte, page), int64(start)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
