package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/descartes-tasks/descartes/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tb is what a *testing.T and a *rapid.T have in common.
type tb interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// mustOpen opens the file at path. When the test is over it must still be sound.
func mustOpen(t tb, path string) *DB {
	t.Helper()
	// The tests play in 1970.
	d, err := Open(context.Background(), Config{Path: path, RetainFor: 100 * 365 * 24 * time.Hour, Watch: true})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		select {
		case <-d.done: // by the test
		default:
			checkFile(t, d)
		}
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// oneGoroutine skips a test under the race detector, where SQLite is ten times slower. It is
// for long tests in which one goroutine does everything, as nothing in this package
// starts another one: there is no race to find.
func oneGoroutine(t *testing.T) {
	t.Helper()
	if withRaceDetector {
		t.Skip("one goroutine does everything")
	}
}

func newDB(t *testing.T) *DB {
	t.Helper()
	return mustOpen(t, filepath.Join(t.TempDir(), "test.db"))
}

// checkFile checks what must hold of every file at every time.
func checkFile(t tb, d *DB) {
	t.Helper()
	for what, query := range map[string]string{
		"the writer is not reset": `SELECT writer FROM journal_state WHERE writer <> 0`,
		"ready is wrong":          `SELECT id FROM tasks JOIN readiness USING (id) WHERE tasks.ready <> readiness.ready`,
		"version is not the newest event": `SELECT id FROM tasks
			WHERE version IS NOT (SELECT max(seq) FROM journal WHERE task_id = id)`,
		"the newest event has another document": `SELECT id FROM tasks JOIN journal ON seq = version WHERE task <> document`,
		"the document differs from the columns": `SELECT id FROM tasks JOIN documents USING (id)
			WHERE json(tasks.document) <> json(documents.document)`,
		"edges and dependencies differ": `SELECT tasks.id, item.value FROM tasks, json_each(dependencies) AS item
			EXCEPT SELECT task, dependency FROM dependencies`,
		"there are edges without dependencies": `SELECT task, dependency FROM dependencies
			EXCEPT SELECT tasks.id, item.value FROM tasks, json_each(dependencies) AS item`,
		"seqs are not dense": `SELECT count(*) FROM journal HAVING count(*) <> max(seq)`,
		"last_seq is wrong":  `SELECT last_seq FROM journal_state WHERE last_seq <> (SELECT coalesce(max(seq), 0) FROM journal)`,
		"a lease is left":    `SELECT id FROM tasks WHERE leased_by IS NOT NULL AND status <> 'in_progress'`,
	} {
		if found := rows(t, d.readers, query); len(found) > 0 {
			t.Errorf("%s: %q", what, found)
		}
	}
}

// rows gives the rows of a query, their columns joined with |.
func rows(t tb, db *sql.DB, query string) (all []string) {
	t.Helper()
	found, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer found.Close()
	columns, _ := found.Columns()
	for found.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = v.String
		}
		all = append(all, strings.Join(texts, "|"))
	}
	if err := found.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// at is the time of the changes of the tests.
const at = 1_700_000_000_000

func change(operations ...schema.Operation) schema.Change {
	return schema.Change{At: at, Origin: schema.OriginRPC, Operations: operations}
}

func create(id string, dependencies ...string) schema.Operation {
	draft := &schema.Draft{ID: id, Title: "task " + id, Dependencies: dependencies}
	if err := draft.Normalize(); err != nil {
		panic(err)
	}
	return schema.Operation{Op: schema.OpCreate, Create: draft}
}

func setStatus(id string, status schema.Status) schema.Operation {
	return schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{
		ID: id, Patch: schema.Patch{Status: schema.Some(status)},
	}}
}

func remove(id string) schema.Operation {
	return schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id}}
}

// do makes each operation as a change of its own.
func do(t tb, d *DB, operations ...schema.Operation) {
	t.Helper()
	var changes []schema.Change
	for _, op := range operations {
		changes = append(changes, change(op))
	}
	outcomes, _, err := d.Apply(context.Background(), changes)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	for i, o := range outcomes {
		if o.Err != nil {
			t.Fatalf("%s %s: %v", operations[i].Op, operations[i].TaskID(), o.Err)
		}
	}
}

// log shows the events after a place, one a line.
func log(t tb, d *DB, after int64) string {
	t.Helper()
	var lines []string
	for {
		events, err := d.Events(context.Background(), after, schema.MaxSeq, 100)
		if err != nil {
			t.Fatalf("Events: %v", err)
		}
		if len(events) == 0 {
			return strings.Join(lines, "\n")
		}
		for _, e := range events {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%d %s %s %s>%s %s",
				e.Seq, e.ChangeType, e.TaskID, e.PreviousStatus, e.NewStatus, e.Previous)))
		}
		after = events[len(events)-1].Seq
	}
}

// task gives the present state of a task.
func task(t tb, d *DB, id string) *schema.Task {
	t.Helper()
	document, err := d.Get(context.Background(), id)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	got, err := schema.ParseTask(document)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return got
}

func same(t tb, what string, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if text, ok := got.(string); ok && text != want {
		t.Errorf("%s: got\n%s\nwant\n%s", what, text, want)
	} else if string(g) != string(w) {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// outsider runs a script as another writer of the file.
type outsider struct {
	name string
	run  func(path, script string) error
}

// outsiders are the sqlite3 shell and a connection of this process's driver,
// each with recursive_triggers off and on.
func outsiders(t *testing.T) []outsider {
	shell, err := exec.LookPath("sqlite3")
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal("the sqlite3 shell is missing")
	case err != nil:
		t.Log("without the sqlite3 shell, which is missing")
	}
	var all []outsider
	for _, pragma := range []string{"recursive_triggers=0", "recursive_triggers=1"} {
		all = append(all, outsider{"driver " + pragma, func(path, script string) error {
			db, err := sql.Open("sqlite", dsn(path, "busy_timeout(5000)", pragma))
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.Exec(script)
			return err
		}})
		if shell == "" {
			continue
		}
		all = append(all, outsider{"shell " + pragma, func(path, script string) error {
			output, err := exec.Command(shell, "-bail", path, ".timeout 5000", "PRAGMA "+pragma, script).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		}})
	}
	return slices.Clip(all)
}
