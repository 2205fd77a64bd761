package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// A change that is refused gives its seqs back, whatever it has written before.
func TestApplyBadOnesInBetween(t *testing.T) {
	d := newDB(t)
	tx := change(create("x"), setStatus("a", schema.Done), remove("gone"))
	tx.Transaction = true
	outcomes, events, err := d.Apply(t.Context(), []schema.Change{
		change(create("a")), tx, change(create("b", "a")), change(create("b")), change(setStatus("a", schema.Todo)),
		change(setStatus("a", schema.Done)),
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "events", log(t, d, 0), "1 created a >todo\n2 created b >todo\n"+
		"3 updated a todo>done {\"status\":\"todo\",\"ready\":true}\n4 updated b todo>todo {\"ready\":false}")
	same(t, "events as read again", mustEvents(t, d, 0), events)
	var got []string
	for _, o := range outcomes {
		got = append(got, fmt.Sprint(o.Last, " ", len(o.Results), " ", int(schema.CodeOf(o.Err))))
	}
	same(t, "outcomes", got, []string{"1 1 -32603", "1 0 -32001", "2 1 -32603", "2 0 -32003", "2 1 -32603", "4 1 -32603"})
	refusal, _ := outcomes[1].Err.(*schema.Error)
	if refusal == nil || refusal.Data.Index == nil || *refusal.Data.Index != 2 {
		t.Errorf("refused with %v", outcomes[1].Err)
	}
}

// What changes nothing does not touch the disk.
func TestApplyNothing(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	before := d.fileBytes()
	outcomes, events, err := d.Apply(t.Context(), []schema.Change{change(setStatus("a", schema.Todo)), change(create("a"))})
	if err != nil || len(events) > 0 || outcomes[0].Last != 1 || outcomes[1].Err == nil {
		t.Error(outcomes, events, err)
	}
	same(t, "bytes of the file", d.fileBytes(), before)
}

// A rule of the file that Go does not know refuses one change, not the group.
func TestApplyConstraint(t *testing.T) {
	d := newDB(t)
	bad := create("bad")
	bad.Create.Dependencies = []string{"a", "a"} // as if it was not validated
	outcomes, _, err := d.Apply(t.Context(), []schema.Change{change(create("a")), change(bad), change(create("b"))})
	if err != nil || outcomes[0].Err != nil || outcomes[1].Err == nil || outcomes[2].Err != nil {
		t.Error(outcomes, err)
	}
	same(t, "events", log(t, d, 0), "1 created a >todo\n2 created b >todo")
}

// mustFail applies a change for which the file cannot be used now.
func mustFail(t *testing.T, d *DB, c schema.Change, why string) {
	t.Helper()
	_, events, err := d.Apply(t.Context(), []schema.Change{c})
	if schema.CodeOf(err) != schema.CodeStorageUnavailable || !strings.Contains(err.Error(), why) || len(events) > 0 {
		t.Errorf("got %v, want %q", err, why)
	}
}

// large makes a task that fills many pages.
func large(id string) schema.Operation {
	op := create(id)
	op.Create.Description = new(strings.Repeat("x", schema.MaxDescription))
	return op
}

// A change that fails when it has written something leaves nothing of it, and those
// beside it are made.
func TestApplyHalfway(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"), create("b", "a"))
	if err := d.exec(`CREATE UNIQUE INDEX refuse ON journal (task_id) WHERE task_id = 'b'`); err != nil { // it has an event
		t.Fatal(err)
	}
	outcomes, events, err := d.Apply(t.Context(), []schema.Change{
		change(create("c")), change(setStatus("a", schema.Done)), change(create("d", "a")),
	})
	if err != nil || outcomes[0].Err != nil || outcomes[1].Err == nil || outcomes[2].Err != nil {
		t.Fatal(outcomes, err)
	}
	same(t, "events", log(t, d, 2), "3 created c >todo\n4 created d >todo")
	same(t, "events as read again", mustEvents(t, d, 2), events)
	same(t, "status of a", task(t, d, "a").Status, schema.Todo)
	checkFile(t, d)
}

// However many of a group fail halfway, the others are made twice, not once more for each.
func TestApplyManyHalfway(t *testing.T) {
	d := newDB(t)
	const bad, good = 20, 20
	var changes []schema.Change
	for i := range good {
		changes = append(changes, change(create(fmt.Sprint("good", i))))
	}
	for i := range bad {
		do(t, d, create(fmt.Sprint("bad", i)))
		changes = append(changes, change(setStatus(fmt.Sprint("bad", i), schema.Done)))
	}
	if err := d.exec(`CREATE UNIQUE INDEX refuse ON journal (task_id) WHERE task_id LIKE 'bad%'`); err != nil {
		t.Fatal(err)
	}
	written := func() (rows int) {
		if err := d.writer.QueryRowContext(t.Context(), `SELECT total_changes()`).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	before := written()
	outcomes, events, err := d.Apply(t.Context(), changes)
	if err != nil || len(events) != good {
		t.Fatal(len(events), err)
	}
	for i := range outcomes {
		if failed := outcomes[i].Err != nil; failed != (i >= good) {
			t.Errorf("change %d: %v", i, outcomes[i].Err)
		}
	}
	if rows := written() - before; rows > 2*(2*good+bad+2) {
		t.Errorf("%d rows were written", rows)
	}
	checkFile(t, d)
}

func TestApplyDiskFull(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	pages := rows(t, d.readers, "PRAGMA page_count")[0]
	for _, statement := range []string{"PRAGMA max_page_count = " + pages, "PRAGMA cache_size = 2"} {
		if err := d.exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		mustFail(t, d, change(create("b"), large("c")), "the disk is full")
	}
	same(t, "events", log(t, d, 1), "")
	if err := d.exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	do(t, d, create("b"), large("c"))
	same(t, "events", log(t, d, 1), "2 created b >todo\n3 created c >todo")
}

func TestApplyReadOnly(t *testing.T) {
	d := newDB(t)
	if err := d.exec("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	mustFail(t, d, change(create("a")), "read-only")
	if err := d.exec("PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	do(t, d, create("a"))
}

// lock takes the write lock of a file over a connection of its own.
func lock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	other, err := sql.Open("sqlite", dsn(path, "busy_timeout(0)"))
	if err != nil {
		t.Fatal(err)
	}
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() { other.Close() }
}

func TestApplyLocked(t *testing.T) {
	d := newDB(t)
	d.patience = 50 * time.Millisecond
	unlock := lock(t, d.config.Path)
	start := time.Now()
	mustFail(t, d, change(create("a")), "locked")
	if waited := time.Since(start); waited < d.patience {
		t.Errorf("waited %v", waited)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := d.Apply(ctx, []schema.Change{change(create("a"))}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	d.patience = lockPatience
	time.AfterFunc(50*time.Millisecond, unlock)
	do(t, d, create("a"))
}

var (
	someIDs   = []string{"a", "b", "c", "d", "e"}
	someLists = []string{`[]`, `["a"]`, `["a","b"]`, `["c","d"]`, `["e"]`, `["b","gone"]`}
)

// draw gives some operation.
func draw(t *rapid.T) schema.Operation {
	id := rapid.SampledFrom(someIDs)
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0, 1:
		dependencies := rapid.SliceOfNDistinct(id, 0, 3, rapid.ID).Draw(t, "dependencies")
		return create(id.Draw(t, "id"), dependencies...)
	case 2:
		return remove(id.Draw(t, "id"))
	default:
		p := schema.UpdateParams{ID: id.Draw(t, "id")}
		p.Status = schema.Some(rapid.SampledFrom(schema.Statuses()).Draw(t, "status"))
		if rapid.Bool().Draw(t, "rewire") {
			p.Dependencies = schema.Some(rapid.SliceOfNDistinct(id, 0, 3, rapid.ID).Draw(t, "dependencies"))
		}
		return schema.Operation{Op: schema.OpUpdate, Update: &p}
	}
}

func drawChanges(t *rapid.T) []schema.Change {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) schema.Change {
		c := change(rapid.SliceOfN(rapid.Custom(draw), 1, 4).Draw(t, "operations")...)
		c.At += rapid.Int64Range(0, 9).Draw(t, "at")
		c.Transaction = len(c.Operations) > 1
		return c
	}), 1, 6).Draw(t, "changes")
}

func randomDB(t *rapid.T) *DB {
	directory, err := os.MkdirTemp("", "storage")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	return mustOpen(t, filepath.Join(directory, "test.db"))
}

// The same changes make the same file, however they are grouped.
func TestApplyDeterministic(t *testing.T) {
	oneGoroutine(t)
	rapid.Check(t, func(t *rapid.T) {
		one, other := randomDB(t), randomDB(t)
		for range rapid.IntRange(1, 5).Draw(t, "groups") {
			changes := drawChanges(t)
			if _, _, err := one.Apply(context.Background(), changes); err != nil {
				t.Fatalf("%v", err)
			}
			for i := range changes {
				if _, _, err := other.Apply(context.Background(), changes[i:i+1]); err != nil {
					t.Fatalf("%v", err)
				}
			}
		}
		for _, query := range []string{
			"SELECT * FROM tasks", "SELECT * FROM dependencies", "SELECT * FROM journal", "SELECT last_seq FROM journal_state",
		} {
			same(t, query, rows(t, one.readers, query), rows(t, other.readers, query))
		}
	})
}

// Whoever writes, what the file says of itself is true after every commit.
func TestApplyAndOutside(t *testing.T) {
	oneGoroutine(t)
	statement := rapid.Custom(func(t *rapid.T) string {
		id := rapid.SampledFrom(someIDs).Draw(t, "id")
		status := rapid.SampledFrom(schema.Statuses()).Draw(t, "status")
		list := rapid.SampledFrom(someLists).Draw(t, "list")
		return rapid.SampledFrom([]string{
			fmt.Sprintf(`UPDATE tasks SET status = '%s'`, status),
			fmt.Sprintf(`UPDATE OR IGNORE tasks SET status = '%s', ready = 1 WHERE id >= '%s'`, status, id),
			fmt.Sprintf(`UPDATE OR IGNORE tasks SET dependencies = '%s', version = 0 WHERE id = '%s'`, list, id),
			fmt.Sprintf(`DELETE FROM tasks WHERE id >= '%s'`, id),
			fmt.Sprintf(`INSERT OR IGNORE INTO tasks (id, title, status) VALUES ('%s', 'new', '%s')`, id, status),
			fmt.Sprintf(`REPLACE INTO tasks (id, title, status, dependencies) VALUES ('%s', 'new', '%s', '%s')`, id, status, list),
		}).Draw(t, "statement")
	})
	rapid.Check(t, func(t *rapid.T) {
		d := randomDB(t)
		pragma := rapid.SampledFrom([]string{"recursive_triggers(0)", "recursive_triggers(1)"}).Draw(t, "pragma")
		other, err := sql.Open("sqlite", dsn(d.config.Path, "busy_timeout(5000)", pragma))
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer other.Close()
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { checkFile(t, d) },
			"daemon": func(t *rapid.T) {
				if _, _, err := d.Apply(context.Background(), drawChanges(t)); err != nil {
					t.Fatalf("%v", err)
				}
			},
			"outside": func(t *rapid.T) {
				text := statement.Draw(t, "sql")
				// That a task depends on itself is refused; all else must work.
				if _, err := other.Exec(text); err != nil && !strings.Contains(err.Error(), "the task itself") {
					t.Fatalf("%s: %v", text, err)
				}
			},
		})
	})
}
