package emitter

import (
	"fmt"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// BenchmarkAbandon measures the end of a connection that holds one claim, beside the
// claims of others.
func BenchmarkAbandon(b *testing.B) {
	for _, others := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("beside %d", others), func(b *testing.B) {
			l := leases{byTask: make(map[string]*lease)}
			now := time.Now()
			for i := range int64(others + 1) {
				l.add(schema.Lease{Num: i + 1, TaskID: fmt.Sprint(i), LengthMS: 60_000, ExpiresAt: now.UnixMilli() + 60_000, Source: i}, now, time.Minute)
			}
			for b.Loop() {
				l.abandon(int64(others), now)
			}
		})
	}
}
