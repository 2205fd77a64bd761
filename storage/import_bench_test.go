package storage

import (
	"iter"
	"path/filepath"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// BenchmarkImport measures an import in one transaction, during which everybody
// else's writes wait; an op is one task.
func BenchmarkImport(b *testing.B) {
	const tasks = 20_000
	for b.Loop() {
		d, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "bench.db")})
		if err != nil {
			b.Fatal(err)
		}
		var drafts iter.Seq2[*schema.Draft, error] = func(yield func(*schema.Draft, error) bool) {
			for n := range tasks {
				if !yield(typical(n).Create, nil) {
					return
				}
			}
		}
		if _, err := d.Import(b.Context(), drafts, ConflictRefuse); err != nil {
			b.Fatal(err)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tasks), "ns/task")
}
