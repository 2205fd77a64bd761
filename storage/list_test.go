package storage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// TestListIsFilterAndSort compares lists with all tasks filtered by Filter.Match
// and sorted, while the full-text index is anywhere behind.
func TestListIsFilterAndSort(t *testing.T) {
	oneGoroutine(t)
	rapid.Check(t, func(t *rapid.T) {
		directory, err := os.MkdirTemp("", "list")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(directory)
		b := openBoard(t, directory, Config{})
		defer b.close()
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			for range rapid.IntRange(1, 25).Draw(t, "changes") {
				b.change(t)
			}
			if rapid.Bool().Draw(t, "index") {
				b.index()
			}
			if rapid.IntRange(0, 9).Draw(t, "lose the journal") == 0 {
				b.loseJournal()
			}
			for range 6 {
				b.compareList(t)
			}
		}
	})
}

func (b *board) compareList(t *rapid.T) {
	filter := drawFilter(t)
	order := rapid.SampledFrom(schema.Orders()).Draw(t, "order")
	var want, got []string
	for _, task := range sorted(b.tasks(), order) {
		if filter.Match(task) {
			want = append(want, string(task.AppendJSON(nil)))
		}
	}
	maxBytes := rapid.SampledFrom([]int{0, 700, 1 << 20}).Draw(t, "bytes")
	params := schema.ListParams{Filter: &filter, Order: &order, Limit: new(rapid.Int64Range(1, 8).Draw(t, "limit"))}
	for {
		result, err := b.db.List(t.Context(), params, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, document := range result.Tasks {
			task, err := schema.ParseTask(document)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(task.AppendJSON(nil)))
			size += len(document)
		}
		if n := len(result.Tasks); n > int(*params.Limit) || n > 1 && size > maxBytes {
			t.Fatalf("%d tasks of %d bytes in a page of %d, %d", n, size, *params.Limit, maxBytes)
		}
		if result.NextPageToken == nil {
			break
		}
		if len(result.Tasks) == 0 || len(got) > len(want) {
			t.Fatalf("%q order %s: too many pages: %q", text(filter), order, got)
		}
		params.PageToken = result.NextPageToken
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s order %s gave\n%s\nwant\n%s", text(filter), order, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func drawFilter(t *rapid.T) (f schema.Filter) {
	maybe := func(label string) bool { return rapid.IntRange(0, 2).Draw(t, label) == 0 }
	if maybe("by status") {
		f.Status = rapid.SliceOfN(rapid.SampledFrom(schema.Statuses()), 0, 4).Draw(t, "statuses")
	}
	if maybe("by priority") {
		f.PriorityAtLeast = new(rapid.SampledFrom(schema.Priorities()).Draw(t, "at least"))
	}
	if maybe("by name") {
		f.AssignedTo = rapid.SliceOfN(rapid.SampledFrom([]*string{nil, new("ann"), new("bob")}), 0, 2).Draw(t, "names")
	}
	if maybe("by id") {
		f.IDs = rapid.SliceOfN(rapid.SampledFrom([]string{"t1", "t2", "t3", "t4", "x"}), 0, 6).Draw(t, "ids")
	}
	if maybe("by ready") {
		f.Ready = new(rapid.Bool().Draw(t, "ready"))
	}
	if rapid.Bool().Draw(t, "by text") {
		texts := []string{"FI", "bug", "k", "the fix", "日", "übun", "n2", "b", "ann", ".", "fix\x00 \xff"}
		f.Text = new(rapid.SampledFrom(texts).Draw(t, "text"))
	}
	return f
}

func sorted(tasks []*schema.Task, order schema.Order) []*schema.Task {
	key, descending := strings.CutPrefix(string(order), "-")
	slices.SortFunc(tasks, func(a, b *schema.Task) int {
		var c int
		switch schema.Order(key) {
		case schema.ByCreatedAt:
			c = cmp.Compare(a.CreatedAt, b.CreatedAt)
		case schema.ByUpdatedAt:
			c = cmp.Compare(a.UpdatedAt, b.UpdatedAt)
		case schema.ByPriority:
			c = cmp.Compare(a.Priority.Rank(), b.Priority.Rank())
		case schema.ByTitle:
			c = cmp.Compare(a.Title, b.Title)
		}
		if descending {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(a.ID, b.ID))
	})
	return tasks
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestListRefusesPageToken(t *testing.T) {
	b := openTestBoard(t, Config{})
	for _, id := range []string{"a", "b"} {
		b.apply(schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: id, Title: id}})
	}
	list := func(order schema.Order, token *string) (schema.ListResult, error) {
		params := schema.ListParams{Order: &order, Limit: new(int64(1)), PageToken: token}
		if err := params.Normalize(); err != nil {
			t.Fatal(err)
		}
		return b.db.List(context.Background(), params, 1<<20)
	}
	page, err := list(schema.ByTitle, nil)
	if err != nil || page.NextPageToken == nil {
		t.Fatalf("%+v, %v", page, err)
	}
	for _, token := range []string{"", "x", "e30", "bnVsbA", *page.NextPageToken + "A", "WzFd", "!!"} {
		_, err := list(schema.ByCreatedAt, &token)
		if !errors.Is(err, schema.Invalid("page_token", "")) {
			t.Errorf("token %q: %v", token, err)
		}
	}
	if _, err := list("-title", page.NextPageToken); !errors.Is(err, schema.Invalid("page_token", "")) {
		t.Errorf("token of another order: %v", err)
	}
	if page, err = list(schema.ByTitle, page.NextPageToken); err != nil || page.NextPageToken != nil || len(page.Tasks) != 1 {
		t.Errorf("last page: %+v, %v", page, err)
	}
}

// TestListManyWords: a text may have more words than the index is asked for.
func TestListManyWords(t *testing.T) {
	b := openTestBoard(t, Config{})
	b.apply(schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: "a", Title: "abc or not near"}})
	b.index()
	for text, want := range map[string]int{
		strings.Repeat("a ab ", 190):        1,
		"ab ABC and":                        0,
		"OR not NEAR":                       1,
		"b c d e f g h i j k l m n o p q r": 0,
	} {
		params := schema.ListParams{Filter: &schema.Filter{Text: &text}}
		if err := params.Normalize(); err != nil {
			t.Fatal(err)
		}
		if page, err := b.db.List(t.Context(), params, 1<<20); len(page.Tasks) != want || err != nil {
			t.Errorf("%.20s: %s, %v", text, page.Tasks, err)
		}
	}
}

// TestListTitleOfOthers: pages end even where a title, which another process
// wrote, is no valid UTF-8, so that its document says something else.
func TestListTitleOfOthers(t *testing.T) {
	b := openTestBoard(t, Config{})
	for _, id := range []string{"a", "b", "c"} {
		b.outside(`INSERT INTO tasks (id, title) VALUES (?, CAST(x'ff' AS TEXT))`, id)
	}
	for _, order := range []schema.Order{"title", "-title"} {
		params := schema.ListParams{Order: &order, Limit: new(int64(1))}
		if err := params.Normalize(); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "b", "c"} {
			page, err := b.db.List(t.Context(), params, 1<<20)
			if err != nil || len(page.Tasks) != 1 || idOf(t, page.Tasks[0]) != id || (page.NextPageToken == nil) != (id == "c") {
				t.Fatalf("%s, want %s: %s, %v", order, id, text(page), err)
			}
			params.PageToken = page.NextPageToken
		}
	}
}

// TestListUsesIndexes: a page costs the same however many tasks there are.
func TestListUsesIndexes(t *testing.T) {
	b := openTestBoard(t, Config{})
	todo, open := []schema.Status{schema.Todo}, schema.Statuses()[:3]
	high, ready := schema.High, true
	tests := []struct {
		name   string
		order  schema.Order
		filter schema.Filter
		want   string
	}{
		{"all", "created_at", schema.Filter{}, "tasks_created"},
		{"newest first", "-created_at", schema.Filter{}, "tasks_created"},
		{"by update", "updated_at", schema.Filter{}, "tasks_updated"},
		{"last updated first", "-updated_at", schema.Filter{Status: todo}, "tasks_updated"},
		{"one status", "created_at", schema.Filter{Status: todo}, "tasks_status_created"},
		{"several", "created_at", schema.Filter{Status: open, PriorityAtLeast: &high, Ready: &ready}, "tasks_status_created"},
		{"several, newest first", "-created_at", schema.Filter{Status: open}, "tasks_status_created"},
		{"a frequent word", "created_at", schema.Filter{Text: new("a")}, "tasks_created"},
		{"named", "created_at", schema.Filter{IDs: []string{"a"}, Status: todo}, "sqlite_autoindex_tasks_1"},
		{"named by title", "title", schema.Filter{IDs: []string{"a"}, Status: todo}, "sqlite_autoindex_tasks_1"},
	}
	for _, test := range tests {
		for _, after := range []*place{nil, {key: int64(5), id: "x"}} {
			l := listing{filter: &test.filter, order: orderingOf(test.order), after: after, limit: 100, text: test.filter.Text != nil}
			query, args := l.query()
			plan := b.plan(query, args...)
			sorts := strings.Contains(plan, "TEMP B-TREE FOR ORDER BY")
			if !strings.Contains(plan, test.want) || strings.Contains(plan, "SCAN tasks\n") || sorts != (test.filter.IDs != nil) {
				t.Errorf("%s:\n%s\n%s", test.name, query, plan)
			}
		}
	}
	if plan := b.plan("SELECT status, count(*) FROM tasks GROUP BY status"); !strings.Contains(plan, "COVERING INDEX tasks_status_created") {
		t.Errorf("count by status: %s", plan)
	}
}

// plan gives how SQLite would run a query, one step a line.
func (b *board) plan(query string, args ...any) (plan string) {
	b.tb.Helper()
	rows, err := b.other.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		b.tb.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			b.tb.Fatalf("%v", err)
		}
		plan += detail + "\n"
	}
	return plan
}
