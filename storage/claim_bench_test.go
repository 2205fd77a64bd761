package storage

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// claimOf is a claim with the defaults of its method.
func claimOf(tb testing.TB, p schema.ClaimParams) schema.Operation {
	tb.Helper()
	p.AssignedTo = "somebody"
	op := schema.Operation{Op: schema.OpClaim, Claim: &schema.Claim{ClaimParams: p, LeaseToken: "t"}}
	if err := op.Normalize(); err != nil {
		tb.Fatal(err)
	}
	return op
}

// BenchmarkClaim measures groups of claims that find their task, beside how many are
// ready; an op is a group.
func BenchmarkClaim(b *testing.B) {
	for _, ready := range []int{1000, 10_000} {
		for name, filter := range map[string]*schema.Filter{
			"any": nil, "high": {PriorityAtLeast: new(schema.High)}, "nobody's": {AssignedTo: []*string{nil}},
		} {
			b.Run(fmt.Sprintf("%s of %d", name, ready), func(b *testing.B) { benchmarkClaim(b, ready, filter) })
		}
	}
}

func benchmarkClaim(b *testing.B, ready int, filter *schema.Filter) {
	d, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	apply := func(operations ...schema.Operation) {
		changes := make([]schema.Change, len(operations))
		for i, op := range operations {
			changes[i] = change(op)
		}
		outcomes, _, err := d.Apply(context.Background(), changes)
		if err != nil || outcomes[0].Err != nil || string(outcomes[0].Results[0]) == "null" {
			b.Fatal(outcomes[0], err)
		}
	}
	for n := 0; n < ready; n += 100 {
		operations := make([]schema.Operation, 100)
		for i := range operations {
			operations[i] = typical(n + i)
			operations[i].Create.Priority = schema.Priorities()[i%4]
		}
		apply(operations...)
	}
	claims := make([]schema.Operation, groupSize)
	for i := range claims {
		claims[i] = claimOf(b, schema.ClaimParams{Filter: filter})
	}
	made := ready
	for b.Loop() {
		apply(claims...)
		b.StopTimer() // as many new ones as were taken
		operations := make([]schema.Operation, groupSize)
		for i := range operations {
			operations[i] = typical(made)
			operations[i].Create.Priority = schema.High
			made++
		}
		apply(operations...)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*groupSize), "ns/claim")
}

// A claim walks the index of the ready tasks in its order: it sorts nothing, and looks
// at none that is not ready.
func TestClaimsReadTheirIndex(t *testing.T) {
	b := openTestBoard(t, Config{})
	for _, filter := range []*schema.Filter{
		{}, {PriorityAtLeast: new(schema.High)}, {AssignedTo: []*string{nil, new("me")}}, {Status: []schema.Status{schema.Todo}},
	} {
		query, args := claimQuery(&listing{filter: filter})
		plan := b.plan(query, args...)
		if !strings.Contains(plan, "USING INDEX tasks_ready") || strings.Contains(plan, "TEMP B-TREE FOR ORDER BY") {
			t.Errorf("%s\nis done with\n%s", query, plan)
		}
		if filter.PriorityAtLeast != nil && !strings.Contains(plan, "tasks_ready (<expr><?)") {
			t.Errorf("%s\nwalks on past the priority that it wants:\n%s", query, plan)
		}
	}
}
