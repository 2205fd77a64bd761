package journaltest_test

import (
	"testing"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/schema"
)

func TestMemory(t *testing.T) {
	var now int64 = 1_800_000_000_000
	journaltest.Run(t, journaltest.Harness{
		Open:   func(journaltest.TB) emitter.Journal { return journaltest.NewMemory() },
		Reopen: func(_ journaltest.TB, j emitter.Journal) emitter.Journal { return j },
		Prune: func(_ journaltest.TB, j emitter.Journal, through int64) {
			j.(*journaltest.Memory).Prune(through)
		},
		Outside: func(_ journaltest.TB, j emitter.Journal, operations ...schema.Operation) {
			now++
			j.(*journaltest.Memory).Outside(now, operations...)
		},
	})
}

// What BeforeApply refuses is not made.
func TestMemoryBeforeApply(t *testing.T) {
	m := journaltest.NewMemory()
	m.BeforeApply = func([]schema.Change) error { return schema.StorageUnavailable("the disk is full") }
	create := schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: "a", Title: "x"}}
	_, _, err := m.Apply(t.Context(), []schema.Change{{Operations: []schema.Operation{create}}})
	bounds, _ := m.Bounds(t.Context())
	if schema.CodeOf(err) != schema.CodeStorageUnavailable || bounds.Newest != 0 {
		t.Errorf("newest is %d, %v", bounds.Newest, err)
	}
}
