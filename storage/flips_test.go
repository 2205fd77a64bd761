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
