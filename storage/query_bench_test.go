package storage

import (
	"fmt"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// bigTasks is the size of bigBoard. With -short, a benchmark only shows that it works.
func bigTasks() int {
	if testing.Short() {
		return 2000
	}
	return 100_000
}

// bigBoard has 100,000 tasks of about 600 bytes, a quarter of each status.
func bigBoard(b *testing.B) *board {
	const group = 1000
	tasks := bigTasks()
	board := openBoard(b, b.TempDir(), Config{})
	b.Cleanup(board.close)
	description := "The build of the release branch fails on machines with two cores; somebody should look at it."
	for i := 0; i < tasks; i += group {
		changes := make([]schema.Change, group)
		for j := range changes {
			n := i + j
			draft := &schema.Draft{
				ID: fmt.Sprintf("0192f0a1-%08x", n), Title: fmt.Sprintf("Fix part%d for customer %d", n%1000, n),
				Description: &description, Status: schema.Statuses()[n%4], Priority: schema.Priorities()[n/4%4],
			}
			if err := draft.Normalize(); err != nil {
				b.Fatal(err)
			}
			op := schema.Operation{Op: schema.OpCreate, Create: draft}
			changes[j] = schema.Change{At: board.now + int64(n), Origin: schema.OriginRPC, Operations: []schema.Operation{op}}
		}
		if _, _, err := board.db.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
	}
	for more := true; more; {
		var err error
		if more, err = board.db.indexStep(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	return board
}

func (b *board) benchmarkList(loop *testing.B, filter schema.Filter, order schema.Order) {
	params := schema.ListParams{Filter: &filter, Order: &order}
	if err := params.Normalize(); err != nil {
		loop.Fatal(err)
	}
	for loop.Loop() {
		page, err := b.db.List(loop.Context(), params, 8<<20)
		if err != nil || len(page.Tasks) == 0 {
			loop.Fatal(page, err)
		}
		params.PageToken = page.NextPageToken
	}
}

func BenchmarkListByStatus(b *testing.B) {
	board := bigBoard(b)
	todo := schema.Filter{Status: []schema.Status{schema.Todo}}
	open := schema.Filter{Status: []schema.Status{schema.Todo, schema.InProgress, schema.Blocked}}
	for _, order := range []schema.Order{"created_at", "-created_at", "-updated_at", "-priority"} {
		name := string(order)
		b.Run("one/"+name, func(b *testing.B) { board.benchmarkList(b, todo, order) })
		b.Run("three/"+name, func(b *testing.B) { board.benchmarkList(b, open, order) })
		b.Run("all/"+name, func(b *testing.B) { board.benchmarkList(b, schema.Filter{}, order) })
	}
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			if _, err := board.db.Stats(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if _, err := board.db.Get(b.Context(), "0192f0a1-000003ff"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkTextSearch(b *testing.B) {
	board := bigBoard(b)
	for _, text := range []string{"part77", "customer 77", "part77 fix", fmt.Sprint("customer ", bigTasks()-1), "f", "build two cores"} {
		b.Run(text, func(b *testing.B) {
			board.benchmarkList(b, schema.Filter{Text: &text}, schema.ByCreatedAt)
		})
	}
}

func BenchmarkEvents(b *testing.B) {
	board := bigBoard(b)
	read, after := 0, int64(0)
	for b.Loop() {
		events, err := board.db.Events(b.Context(), after, schema.MaxSeq, 500)
		if err != nil || len(events) == 0 {
			b.Fatal(len(events), err)
		}
		read += len(events)
		if after = events[len(events)-1].Seq; after == int64(bigTasks()) {
			after = 0
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(read), "ns/event")
}

func BenchmarkHistoryBefore(b *testing.B) {
	board := bigBoard(b)
	for name, id := range map[string]string{"all": "", "one": "0192f0a1-000003ff"} {
		b.Run(name, func(b *testing.B) {
			newest := int64(bigTasks())
			through := newest
			for b.Loop() {
				events, _, err := board.db.HistoryBefore(b.Context(), id, through, 100)
				if err != nil || len(events) == 0 {
					b.Fatal(len(events), err)
				}
				if through -= 100; through < newest-900 { // the one task is among those before
					through = newest
				}
			}
		})
	}
}

func BenchmarkTasksAt(b *testing.B) {
	board := bigBoard(b)
	for _, at := range []int64{100_000, 50_000} {
		b.Run(fmt.Sprint("at", at), func(b *testing.B) {
			after := ""
			for b.Loop() {
				page, err := board.db.TasksAt(b.Context(), at, after, 500)
				if err != nil {
					b.Fatal(err)
				}
				after = ""
				if len(page) > 0 {
					after = idOf(b, page[len(page)-1])
				}
			}
		})
	}
}
