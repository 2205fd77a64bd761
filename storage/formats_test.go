package storage

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// released makes a file of an older format from its dump in testdata.
func released(t *testing.T, format int) string {
	t.Helper()
	dump, err := os.ReadFile(fmt.Sprintf("testdata/format-%d.sql", format))
	if err != nil {
		t.Fatalf("%v\na migration needs a file of the format before it: a database of the last binary that made it,\n"+
			"with something of everything in it, as \"sqlite3 FILE .dump\" prints it, after application_id and user_version", err)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := sql.Open("sqlite", dsn(path, "journal_mode(WAL)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(string(dump)); err != nil {
		t.Fatal(err)
	}
	return path
}

// kept are queries for everything that a migration must leave as it is.
var kept = []string{
	`SELECT epoch, last_seq, indexed FROM journal_state`,
	`SELECT num, id, document FROM tasks ORDER BY num`,
	`SELECT id, title, description, status, priority, complexity, assigned_to, dependencies, metadata,
		created_at, updated_at, version, ready, leased_by FROM tasks ORDER BY num`,
	`SELECT task, dependency FROM dependencies ORDER BY task, dependency`,
	`SELECT seq, task_id, change_type, task, previous_status, new_status, previous, previous_version,
		previous_updated_at, origin, actor, source, tx_last, timestamp FROM journal ORDER BY seq`,
	`SELECT task_id FROM search_tasks ORDER BY task_id`,
	`SELECT rowid FROM search WHERE search MATCH 'found OR format OR written' ORDER BY rowid`,
}

func keptOf(t *testing.T, path string) (all []string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "query_only(1)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	queries := slices.Clone(kept)
	for _, later := range []struct{ table, query string }{
		{"tokens", `SELECT name, hex(hash), scope, created_at, revoked_at FROM tokens ORDER BY name`},
		{"leases", `SELECT num, task_id, token, seq, length, expires_at, source FROM leases ORDER BY num`},
	} {
		var there bool
		if db.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name = ?`, later.table).Scan(&there) == nil && there {
			queries = append(queries, later.query)
		}
	}
	for _, query := range queries {
		all = append(all, rows(t, db, query)...)
	}
	return all
}

// A file of every format that was ever released becomes one of the present format:
// contents and cursors are what they were, it looks as if it had been made so, and
// opening it again changes nothing.
func TestReleasedFormats(t *testing.T) {
	oneGoroutine(t)
	present := len(migrations())
	for format := 1; format < present; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			path := released(t, format)
			same(t, "format", sound(t, path).Format, format) // an older file can be checked, too
			before := keptOf(t, path)
			if len(before) < 20 {
				t.Fatalf("there is little in this file: %q", before)
			}
			for range 2 {
				d := mustOpen(t, path)
				bounds, err := d.Bounds(t.Context())
				if err != nil || fmt.Sprintf("%s|%d|%d", bounds.Epoch, bounds.Newest, bounds.Newest) != before[0] || bounds.Oldest != 1 {
					t.Errorf("journal %+v, was %s; %v", bounds, before[0], err)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				same(t, "format", sound(t, path).Format, present)
				same(t, "contents", keptOf(t, path), before)
			}
			d := mustOpen(t, path)
			do(t, d, create("new", "ship"), setStatus("build", schema.Done))
		})
	}
}

// Several processes open a file of an older format at the same time: one migrates
// it, the others find it done.
func TestMigrateTogether(t *testing.T) {
	path := released(t, 1)
	before := keptOf(t, path)
	var processes []*exec.Cmd
	for i := range 4 {
		p := exec.Command(os.Args[0], "-test.run=^TestOpenTogether$")
		p.Env = append(os.Environ(), "STORAGE_TEST_FILE="+path, fmt.Sprintf("STORAGE_TEST_ID=new%d", i))
		p.Stdout = new(bytes.Buffer)
		p.Stderr = p.Stdout
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, p)
	}
	for _, p := range processes {
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %s", err, p.Stdout)
		}
	}
	report := sound(t, path)
	same(t, "format", report.Format, len(migrations()))
	same(t, "events", report.Seq, 15+4)
	after := keptOf(t, path)
	for _, row := range before[1:] { // the first is about the ends of the journal
		if !slices.Contains(after, row) {
			t.Errorf("lost: %s", row)
		}
	}
}

// A migration that fails leaves the file as it was.
func TestMigrationIsOneTransaction(t *testing.T) {
	path := released(t, 1)
	before := keptOf(t, path)
	d := &DB{config: Config{Path: path}, writing: make(writeLock, 1), patience: lockPatience}
	if err := d.openWriter(t.Context()); err != nil {
		t.Fatal(err)
	}
	present := len(migrations())
	err := d.migrateTo(t.Context(), present+1, `CREATE TABLE half (a); DELETE FROM tasks; CREATE TABLE half (a)`)
	if err == nil {
		t.Error("not refused")
	}
	if err := d.release(); err != nil {
		t.Fatal(err)
	}
	same(t, "format", sound(t, path).Format, present)
	same(t, "contents", keptOf(t, path), before)
}
