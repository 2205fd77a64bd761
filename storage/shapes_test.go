package storage

import (
	"sync"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// Lists of more shapes than are kept, several at once, are all answered, before and
// after there is no more room.
func TestShapes(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"), create("b", "a"))
	var all []schema.ListParams
	for _, order := range schema.Orders() {
		for _, priority := range append(schema.Priorities(), "") {
			for statuses := range 5 {
				filter := &schema.Filter{Status: append(schema.Statuses(), schema.Todo)[4-statuses:]}
				if priority != "" {
					filter.PriorityAtLeast = &priority
				}
				params := schema.ListParams{Filter: filter, Order: &order}
				if err := params.Normalize(); err != nil {
					t.Fatal(err)
				}
				all = append(all, params)
			}
		}
	}
	var lists sync.WaitGroup
	for range 4 {
		lists.Go(func() {
			for _, params := range all {
				page, err := d.List(t.Context(), params, 1<<20)
				if err != nil {
					t.Error(err)
					return
				}
				want := 2 // todo, and of medium priority
				if p := params.Filter.PriorityAtLeast; p != nil && p.Rank() > schema.Medium.Rank() {
					want = 0
				}
				if len(page.Tasks) != want {
					t.Errorf("%d tasks", len(page.Tasks))
				}
			}
		})
	}
	lists.Wait()
	if n := len(d.shapes.prepared); n != maxShapes {
		t.Errorf("%d statements are kept", n)
	}
}
