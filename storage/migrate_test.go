package storage

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// A file that is refused stays as it is, and nothing is made beside it.
func TestOpenRefuses(t *testing.T) {
	oneGoroutine(t)
	script := func(statements string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", dsn(path, "busy_timeout(0)"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(statements); err != nil {
				t.Fatal(err)
			}
		}
	}
	patch := func(change func(file []byte) []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			d := mustOpen(t, path)
			do(t, d, large("a"), large("b"))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	spoil := func(statements string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			d := mustOpen(t, path)
			do(t, d, create("a"))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			script(statements)(t, path)
		}
	}
	tests := []struct {
		name   string
		make   func(t *testing.T, path string)
		reason string
	}{
		{"text", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("these are my notes\n", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a database"},
		{"short text", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a database"},
		{"directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a database"},
		{"no id, tables", script(`CREATE TABLE tasks (id)`), "another application"},
		{"other id", script(`PRAGMA application_id = 7; CREATE TABLE tasks (id)`), "another application"},
		{"other id, empty", script(`PRAGMA application_id = 7`), "another application"},
		{"other id in WAL mode", script(`PRAGMA journal_mode = WAL; PRAGMA application_id = 7; CREATE TABLE t (id)`), "another application"},
		{"newer", script(fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = 99; CREATE TABLE t (id)`,
			schema.ApplicationID)), "newer version"},
		{"header destroyed", patch(func(file []byte) []byte { clear(file[:16]); return file }), "not a database"},
		{"first page destroyed", patch(func(file []byte) []byte { clear(file[100:4096]); return file }), "damaged"},
		{"a page destroyed", patch(func(file []byte) []byte { clear(file[3*4096 : 4*4096]); return file }), "damaged"},
		{"end cut off", patch(func(file []byte) []byte { return file[:len(file)/2] }), "damaged"},
		{"last page cut", patch(func(file []byte) []byte { return file[:len(file)-1] }), "damaged"},
		{"no tasks", spoil(`DROP TABLE tasks`), "the file is damaged (table tasks is missing): run descartes check"},
		{"no journal", spoil(`DROP TABLE journal`), "the file is damaged (table journal is missing): run descartes check"},
		{"no trigger", spoil(`DROP TRIGGER outside_settle`), "the file is damaged (trigger outside_settle is missing): run descartes check"},
		{"no view", spoil(`DROP VIEW readiness`), "the file is damaged (view readiness is missing): run descartes check"},
		{"no facts", spoil(`DELETE FROM journal_state`), "the file is damaged (table journal_state has 0 rows, must have 1): run descartes check"},
		{
			"a schema that is no SQL", spoil(`PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE TABLE tasks (' WHERE name = 'tasks'`),
			"damaged",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			test.make(t, path)
			before := contents(t, filepath.Dir(path))
			d, err := Open(t.Context(), Config{Path: path})
			if err == nil {
				d.Close()
				t.Fatal("not refused")
			}
			text := err.Error()
			if !strings.Contains(text, path) || !strings.Contains(text, test.reason) || strings.Contains(text, "\n") {
				t.Errorf("error is %q", text)
			}
			same(t, "files", contents(t, filepath.Dir(path)), before)
		})
	}
}

// contents gives the files below a directory with what is in them.
func contents(t *testing.T, directory string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, _ := os.ReadFile(filepath.Join(directory, entry.Name())) // empty for a directory
		all[entry.Name()] = string(text)
	}
	return all
}

func TestOpenMakesFile(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "a #1? 100%.db")
	d := mustOpen(t, path)
	do(t, d, create("a"))
	for name := range contents(t, directory) {
		info, err := os.Stat(filepath.Join(directory, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	same(t, "files", len(contents(t, directory)), 3)
	same(t, "settings", rows(t, d.readers, `SELECT * FROM pragma_application_id, pragma_user_version, pragma_journal_mode`),
		[]string{fmt.Sprintf("%d|4|wal", schema.ApplicationID)})
	epoch := d.epoch
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "second Close", d.Close(), error(nil))
	same(t, "files of a closed database", len(contents(t, directory)), 1)

	d = mustOpen(t, path)
	if d.epoch != epoch || len(epoch) < 10 {
		t.Errorf("epoch was %q, is %q", epoch, d.epoch)
	}
	task(t, d, "a")
}

// TestOpenTogether has several processes make one file at the same time.
func TestOpenTogether(t *testing.T) {
	path := os.Getenv("STORAGE_TEST_FILE")
	if path != "" { // one of those processes
		do(t, mustOpen(t, path), create(os.Getenv("STORAGE_TEST_ID")))
		return
	}
	path = filepath.Join(t.TempDir(), "test.db")
	var processes []*exec.Cmd
	for i := range 5 {
		p := exec.Command(os.Args[0], "-test.run=^TestOpenTogether$")
		p.Env = append(os.Environ(), "STORAGE_TEST_FILE="+path, fmt.Sprintf("STORAGE_TEST_ID=t%d", i))
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
	same(t, "tasks", rows(t, mustOpen(t, path).readers, `SELECT id FROM tasks ORDER BY id`), []string{"t0", "t1", "t2", "t3", "t4"})
}
