package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// run1 runs a command that must succeed, and gives what it prints.
func run1(t *testing.T, args ...string) string {
	t.Helper()
	r := descartes(t, args...)
	if r.code != 0 || r.errors != "" {
		t.Fatalf("descartes %q: %d, %s", args, r.code, r.errors)
	}
	return r.out
}

// A database is backed up and checked while it is served, and restored when it is
// not.
func TestBackupAndRestore(t *testing.T) {
	folder := t.TempDir()
	db, copied := filepath.Join(folder, "tasks.db"), filepath.Join(folder, "copy.db")
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	run1(t, "call", "--url", d.urls[0], "task.create", `{"id":"a","title":"kept"}`)
	line := regexp.MustCompile(`^` + regexp.QuoteMeta(copied) + `: 1 task, seq 1, \d+ bytes\n$`)
	if out := run1(t, "backup", "--db", db, copied); !line.MatchString(out) {
		t.Errorf("backup prints %q", out)
	}
	run1(t, "call", "--url", d.urls[0], "task.create", `{"id":"b","title":"made later"}`)
	if out := run1(t, "check", "--db", db); out != db+": nothing is wrong: 2 tasks, 2 events up to seq 2, format 4\n" {
		t.Errorf("check prints %q", out)
	}
	if r := descartes(t, "restore", "--db", db, "--force", copied); r.code != 1 || !strings.Contains(r.errors, "a process has it open: stop it first") {
		t.Errorf("restore: %+v", r)
	}
	d.stop(0)
	if r := descartes(t, "restore", "--db", db, copied); r.code != 1 || !strings.Contains(r.errors, "--force") || strings.Count(r.errors, "\n") != 1 {
		t.Errorf("restore: %+v", r)
	}
	if out := run1(t, "restore", "--db", db, "--force", copied); !strings.Contains(out, "tasks.db: 1 task, seq 1, ") ||
		!strings.HasSuffix(out, "; what was there is "+db+".before-restore\n") {
		t.Errorf("restore prints %q", out)
	}
	d = serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	if out := run1(t, "call", "--url", d.urls[0], "task.list", `{}`); !strings.Contains(out, "kept") || strings.Contains(out, "made later") {
		t.Errorf("the restored daemon has %s", out)
	}
}

func TestCheckPrintsFindings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("my notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := descartes(t, "check", "--db", path); r.code != 1 || r.errors != "" || r.out != "file: file is not a database (26)\n" {
		t.Errorf("check: %+v", r)
	}
	want := `{"format":0,"tasks":0,"events":0,"seq":0,"findings":[{"what":"file","why":"file is not a database (26)"}]}` + "\n"
	if r := descartes(t, "check", "--db", path, "--json"); r.code != 1 || r.errors != "" || r.out != want {
		t.Errorf("check --json: %+v", r)
	}
}

func TestKeepingUsage(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.db")
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"backup", 2, "say which file: descartes backup FILE"},
		{"backup a b", 2, "takes the name of one file"},
		{"restore", 2, "say which file: descartes restore FILE"},
		{"check a", 2, "given as --db"},
		{"check --jsn", 2, "did you mean --json?"},
		{"check --db " + none, 1, "there is no database " + none + ": name"},
		{"backup --db " + none + " x", 1, "there is no database " + none + ": name"},
		{"restore --db " + none + " " + none, 1, "there is no file " + none},
	} {
		r := descartes(t, strings.Fields(test.args)...)
		if r.code != test.code || !strings.Contains(r.errors, test.want) || strings.Count(r.errors, "\n") != 1 || r.out != "" {
			t.Errorf("descartes %s: %+v", test.args, r)
		}
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("write: no space left on device") }

// What cannot be written is told, and is no mistake of the command line.
func TestFullOutput(t *testing.T) {
	for _, args := range []string{"version", "version --json", "man", "completion bash", "completion words re"} {
		errs := new(strings.Builder)
		if code := run(t.Context(), append([]string{"descartes"}, strings.Fields(args)...), nil, full{}, errs); code != exitFailed || errs.String() != "descartes: write: no space left on device\n" {
			t.Errorf("%v: %d, %q", args, code, errs)
		}
	}
}
