package emitter

import (
	"fmt"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

func benchmarkItem(seq int64) *item {
	task := schema.Task{
		ID: fmt.Sprint("task", seq%100), Title: "a title of some words", Status: schema.Todo,
		Priority: schema.High, Complexity: schema.Simple, Dependencies: []string{}, Metadata: []byte(`{"a":1}`), Version: seq,
	}
	return &item{event: schema.Event{
		Seq: seq, ChangeType: schema.Updated, TaskID: task.ID, Task: task.AppendJSON(nil), Previous: []byte(`{"title":"old"}`),
		PreviousStatus: schema.Todo, NewStatus: schema.Todo, Origin: schema.OriginRPC, Timestamp: 1_700_000_000_000,
	}}
}

// BenchmarkFold: one change of one of 100 tasks, every tenth after its window.
func BenchmarkFold(b *testing.B) {
	items := make([]*item, 1000)
	for i := range items {
		items[i] = benchmarkItem(int64(i + 1))
	}
	f := newFold(100*time.Millisecond, 0)
	now := time.Now()
	v := verdict{before: true, after: true, wanted: true}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(100 * time.Microsecond)
		f.expire(now, func(folded) {})
		f.add(now, items[i%len(items)], v)
	}
}

// BenchmarkDeliveryAppend: one event for one more subscriber.
func BenchmarkDeliveryAppend(b *testing.B) {
	d := Delivery{item: benchmarkItem(1), epoch: "abcdefghijkl", cursor: 1, coalesced: 1, includeTask: true}
	buffer := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buffer = d.Append(buffer[:0])
	}
	b.SetBytes(int64(len(buffer)))
}
