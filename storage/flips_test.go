package storage

import (
	"fmt"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// A change that turns many tasks takes time in proportion to them. With savepoints
// in memory (temp_store) SQLite takes the square.
func TestManyFlipsTakeLinearTime(t *testing.T) {
	oneGoroutine(t)
	took := func(dependents int) time.Duration {
		d := newDB(t)
		do(t, d, create("root"))
		for i := 0; i < dependents; i += 500 {
			var operations []schema.Operation
			for n := range 500 {
				operations = append(operations, create(fmt.Sprint("t", i+n), "root"))
			}
			do(t, d, operations...)
		}
		began := time.Now()
		do(t, d, setStatus("root", schema.Done))
		return time.Since(began)
	}
	took(500) // warms up
	few, many := took(1000), took(8000)
	t.Logf("1,000 flips: %v, 8,000 flips: %v", few, many)
	if many > 25*few { // 8 would be linear, 64 the square
		t.Errorf("1,000 flips take %v, 8,000 take %v", few, many)
	}
}

// A change that finishes many tasks, for each of which the same others wait, takes time
// in proportion to them: what the others wait for is not looked at anew for each.
func TestFinishingManyTakesLinearTime(t *testing.T) {
	oneGoroutine(t)
	took := func(dependencies int) (least time.Duration) {
		d := newDB(t)
		ids := make([]string, dependencies)
		for i := range ids {
			ids[i] = fmt.Sprintf("d%03d", i)
			do(t, d, create(ids[i]))
		}
		var waiting []schema.Operation
		for i := range 150 {
			waiting = append(waiting, create(fmt.Sprint("w", i), ids...))
		}
		do(t, d, waiting...)
		for range 3 {
			for _, status := range []schema.Status{schema.Done, schema.Todo} {
				all := change()
				all.Transaction = true
				for _, id := range ids[:dependencies-1] {
					all.Operations = append(all.Operations, setStatus(id, status))
				}
				began := time.Now()
				if outcomes, _, err := d.Apply(t.Context(), []schema.Change{all}); err != nil || outcomes[0].Err != nil {
					t.Fatal(outcomes, err)
				}
				if passed := time.Since(began); status == schema.Done && (least == 0 || passed < least) {
					least = passed
				}
			}
		}
		return least
	}
	few, many := took(10), took(120)
	t.Logf("10 tasks finished: %v, 120: %v", few, many)
	if many > 30*few { // 12 would be linear, 144 the square
		t.Errorf("10 tasks finished take %v, 120 take %v", few, many)
	}
}
