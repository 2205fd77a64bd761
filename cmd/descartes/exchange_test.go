package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// importLines imports lines from standard input.
func importLines(t *testing.T, db, lines string, flags ...string) result {
	t.Helper()
	return descartesIn(t, lines, append([]string{"import", "--db", db}, flags...)...)
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "tasks.db") }

// tasksIn gives what an export of the database has, without what an import makes
// anew.
func tasksIn(t *testing.T, db string) string {
	t.Helper()
	r := descartes(t, "export", "--db", db)
	if r.code != 0 {
		t.Fatalf("export: %+v", r)
	}
	return regexp.MustCompile(`"updated_at":\d+,"version":\d+`).ReplaceAllString(r.out, "…")
}

func TestExportAndImport(t *testing.T) {
	db, folder := newPath(t), t.TempDir()
	lines := "\xef\xbb\xbf" + `{"id":"b","title":"B","dependencies":["a"],"created_at":5}` + "\r\n  \r\n\n" +
		`{"title":"A","metadata":{"z":1.0,"a":[1e5, "\u00e4"]},"version":99,"ready":"?","leased_by":"x","updated_at":1,"id":"a","created_at":7}`
	if r := importLines(t, db, lines); r != (result{0, "imported 2 tasks\n", ""}) {
		t.Fatalf("import: %+v", r)
	}
	want := `{"id":"a","title":"A","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,` +
		`"dependencies":[],"metadata":{"z":1.0,"a":[1e5,"\u00e4"]},"created_at":7,…,"ready":true,"leased_by":null}` + "\n" +
		`{"id":"b","title":"B","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,` +
		`"dependencies":["a"],"metadata":{},"created_at":5,…,"ready":false,"leased_by":null}` + "\n"
	if got := tasksIn(t, db); got != want {
		t.Errorf("exported\n%s, want\n%s", got, want)
	}
	file := filepath.Join(folder, "tasks.jsonl")
	for _, step := range []struct {
		args []string
		want result
	}{
		{[]string{"export", "--db", db, file}, result{0, "", "exported 2 tasks\n"}},
		{[]string{"export", "--db", db, file}, result{1, "", "descartes: " + file + " exists: choose another name, or replace it with --force\n"}},
		{[]string{"export", "--db", db, "--force", "--filter", `{"ready":true}`, file}, result{0, "", "exported 1 task\n"}},
		{[]string{"import", "--db", db + "2", file}, result{0, "imported 1 task\n", ""}},
		{[]string{"import", "--db", db + "2", file}, result{1, "", "line 1: id: there is already a task a\n" +
			"descartes: import: 1 line refused, nothing was imported\n"}},
		{[]string{"import", "--db", db + "2", "--on-conflict", "skip", file}, result{0, "imported 0 tasks, kept 1 as it was\n", ""}},
		{[]string{"export", "--db", db, "a", "b"}, result{2, "", `descartes: export takes the name of one file, but got ["a" "b"]` + "\n"}},
		{[]string{"export", "--db", db, "--filter", `{"statsu":[]}`}, result{2, "", "descartes: --filter: filter.statsu is not known; did you mean status?\n"}},
		{[]string{"export", "--db", db, "--filter", `}`}, result{2, "", "descartes: --filter must be JSON, not }\n"}},
		{[]string{"import", "--db", db, "--on-conflict", "ignore"}, result{2, "", "descartes: --on-conflict must be refuse, skip or replace, not \"ignore\"\n"}},
		{[]string{"import", "a", "b"}, result{2, "", `descartes: import takes the name of one file, but got ["a" "b"]` + "\n"}},
		{[]string{"import", file + "2"}, result{1, "", "descartes: open " + file + "2: no such file or directory\n"}},
	} {
		if got := descartes(t, step.args...); got != step.want {
			t.Errorf("%q: %+v, want %+v", step.args, got, step.want)
		}
	}
}

// Every line that is wrong is named with what is wrong, and nothing is imported.
func TestImportNamesLines(t *testing.T) {
	long := `{"title":"` + strings.Repeat("x", maxLine) + `"}`
	db := newPath(t)
	if r := importLines(t, db, `{"id":"there","title":"x"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	before := tasksIn(t, db)
	exactly := `{"title":"x","description":"` + strings.Repeat(" ", maxLine-31) + `"}`
	for _, test := range []struct{ lines, want string }{
		{`{"title":"x","priority":"hihg"}`, "line 1: priority: must be one of low, medium, high, critical; did you mean high?"},
		{"{\"title\":\"x\"}\n\n{\"titel\":\"x\"}\n", "line 3: titel: is not known; did you mean title?"},
		{`{"title":"x","created_at":-1}`, "line 1: created_at: must be Unix milliseconds, from 0 to the end of the year 9999"},
		{`["x"]`, "line 1: task: must be an object"},
		{`{"title":"x"}` + "\n" + `{"title":"`, "line 2: is cut short, or must be JSON: unexpected end of JSON input"},
		{`{"title":"` + "\n" + `{"title":"x"}`, "line 1: must be JSON: unexpected end of JSON input"},
		{`{"title":"x"} {"title":"y"}`, "line 1: must be JSON: invalid character '{' after top-level value"},
		{"{\"title\":\"\xff\"}", "line 1: must be UTF-8"},
		{`{"title":"x","\u001b[2J":1}`, "line 1:  [2J: is not known"},
		{long + "\n{}", "line 1: must be at most 1048576 bytes long\nline 2: title: must be 1 to 500 characters, not only white space"},
		{exactly + "\n", "line 1: description: must be at most 65536 bytes"},
		{exactly + " ", "line 1: description: must be at most 65536 bytes"},
		{exactly + " \n", "line 1: must be at most 1048576 bytes long"},
		{exactly + "  ", "line 1: must be at most 1048576 bytes long"},
		{"{\"id\":\"a\",\"title\":\"1\"}\n{\"id\":\"a\",\"title\":\"2\"}", "line 2: id: must not be that of line 1, too: a"},
		{`{"title":"x","dependencies":["there","none"]}`, "line 1: dependencies[1]: there is no task none to depend on"},
		{`{"id":"x","title":"x","dependencies":["x"]}`, "line 1: dependencies: the task would depend on itself: x -> x"},
		{
			`{"id":"x","title":"1","dependencies":["y"]}` + "\n" + `{"id":"y","title":"2","dependencies":["there","x"]}`,
			"line 2: dependencies: the task would depend on itself: y -> x -> y",
		},
		{`{"id":"there","title":"x"}`, "line 1: id: there is already a task there"},
	} {
		n := strings.Count(test.want, "\n") + 1
		want := result{1, "", fmt.Sprintf("%s\ndescartes: import: %s refused, nothing was imported\n", test.want, count(int64(n), "line"))}
		if got := importLines(t, db, test.lines); got != want {
			t.Errorf("%.80s: %+v, want %+v", test.lines, got, want)
		}
	}
	if got := tasksIn(t, db); got != before {
		t.Errorf("there is now\n%s", got)
	}
}

func TestImportTellsOfTwentyLines(t *testing.T) {
	r := importLines(t, newPath(t), strings.Repeat("{}\n", 23))
	if strings.Count(r.errors, "\n") != 22 || !strings.HasSuffix(r.errors,
		"\nand 3 more\ndescartes: import: 23 lines refused, nothing was imported\n") {
		t.Errorf("%+v", r)
	}
}

// An import that keeps going imports what is right, and names the rest.
func TestImportKeepGoing(t *testing.T) {
	db := newPath(t)
	var lines strings.Builder
	for i := range 2 * groupSize {
		fmt.Fprintf(&lines, "{\"id\":\"t%d\",\"title\":\"x\",\"dependencies\":[\"t%d\"]}\n", i, i+1)
	}
	fmt.Fprintf(&lines, "{\"id\":\"t%d\",\"title\":\"x\"}\n", 2*groupSize)
	lines.WriteString(`{"id":"bad","title":"x","dependencies":["none"]}
{"id":"worse","title":"x","dependencies":["t1","bad"]}
{"id":"c1","title":"x","dependencies":["c2"]}
{"id":"c2","title":"x","dependencies":["c1"]}
{"title":`)
	want := result{1, fmt.Sprintf("imported %d tasks\n", 2*groupSize+1), `line 518: is cut short, or must be JSON: unexpected end of JSON input
line 514: dependencies[0]: there is no task none to depend on
line 515: dependencies[1]: task bad is refused (line 514)
line 517: dependencies: the task would depend on itself: c2 -> c1 -> c2
line 516: dependencies[0]: task c2 is refused (line 517)
descartes: import: 5 lines refused
`}
	if r := importLines(t, db, lines.String(), "--keep-going"); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	if n := strings.Count(tasksIn(t, db), "\n"); n != 2*groupSize+1 {
		t.Errorf("there are %d tasks", n)
	}
}

// What replaces tasks may turn their dependencies around.
func TestImportReplaces(t *testing.T) {
	db := newPath(t)
	importLines(t, db, `{"id":"a","title":"a","dependencies":["b"]}
{"id":"b","title":"b","dependencies":["c"]}
{"id":"c","title":"c"}`)
	// b stays, and depends on c: a must let go of b before c can depend on a.
	turned := `{"id":"c","title":"c","dependencies":["d"]}
{"id":"d","title":"d","dependencies":["a"]}
{"id":"a","title":"a","created_at":1}`
	if r := importLines(t, db, turned, "--on-conflict", "replace"); r != (result{0, "imported 1 task, replaced 2\n", ""}) {
		t.Fatalf("%+v", r)
	}
	before := descartes(t, "export", "--db", db).out
	if r := importLines(t, db, before, "--on-conflict", "replace"); r != (result{0, "imported 0 tasks, kept 4 as they were\n", ""}) {
		t.Errorf("again: %+v", r)
	}
	if after := descartes(t, "export", "--db", db).out; after != before {
		t.Errorf("what was imported again differs:\n%s, before\n%s", after, before)
	}
	r := importLines(t, db, `{"id":"a","title":"a","dependencies":["b"]}`, "--on-conflict", "replace")
	if !strings.HasPrefix(r.errors, "line 1: dependencies: the task would depend on itself: a -> b -> c -> d -> a\n") {
		t.Errorf("through tasks that stay: %+v", r)
	}
}

// Whatever tasks there are, an import of their export makes the same ones.
func TestRoundTrip(t *testing.T) {
	text := rapid.StringN(1, 40, -1)
	folder := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		db := filepath.Join(folder, fmt.Sprint(run, ".db"))
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z0-9._:-]{1,12}`), 1, 12, rapid.ID).Draw(rt, "ids")
		var lines bytes.Buffer
		for i, id := range ids {
			draft := schema.Draft{
				ID: id, Title: "." + strings.ReplaceAll(text.Draw(rt, "title"), "\x00", ""),
				Status:     rapid.SampledFrom(schema.Statuses()).Draw(rt, "status"),
				Priority:   rapid.SampledFrom(schema.Priorities()).Draw(rt, "priority"),
				Complexity: rapid.SampledFrom(schema.Complexities()).Draw(rt, "complexity"),
				CreatedAt:  new(rapid.Int64Range(0, 20).Draw(rt, "created_at")),
				Metadata:   drawMetadata(rt),
			}
			if i > 0 {
				draft.Dependencies = rapid.SliceOfNDistinct(rapid.SampledFrom(ids[:i]), 0, 4, rapid.ID).Draw(rt, "dependencies")
			}
			if rapid.Bool().Draw(rt, "more") {
				draft.Description, draft.AssignedTo = new(draft.Title), new(draft.Title)
			}
			if err := draft.Normalize(); err != nil {
				rt.Fatalf("%v", err)
			}
			task := draft.Task(0)
			lines.Write(append(task.AppendJSON(nil), '\n'))
		}
		shuffled := rapid.Permutation(strings.SplitAfter(strings.TrimSuffix(lines.String(), "\n"), "\n")).Draw(rt, "order")
		if r := importLines(t, db, strings.Join(shuffled, "\n")); r.code != 0 {
			rt.Fatalf("import: %+v", r)
		}
		want := tasksIn(t, db)
		if r := importLines(t, db+"2", descartes(t, "export", "--db", db).out); r.code != 0 {
			rt.Fatalf("import again: %+v", r)
		}
		if got := tasksIn(t, db+"2"); got != want {
			rt.Fatalf("got\n%s, want\n%s", got, want)
		}
		inOrder(rt, want, lines.String())
	})
}

// drawMetadata gives an object whose key order and numbers are worth keeping.
func drawMetadata(t *rapid.T) json.RawMessage {
	value := rapid.SampledFrom([]string{
		`1.0`, `-0`, `1e400`, `0.10`, `12345678901234567890`, `"\u00e4ä\n"`, `"\ud83d\ude00"`, `"a\/b"`, `null`, `[1, [true]]`, `{"b":{},"a":1}`,
	})
	object := []byte("{")
	for i, key := range rapid.SliceOfN(rapid.SampledFrom([]string{"z", "a", "ä", "", `\"`, `\u007f`}), 0, 5).Draw(t, "keys") {
		if i > 0 {
			object = append(object, ',')
		}
		object = fmt.Appendf(object, `"%s":%s`, key, value.Draw(t, "value"))
	}
	return append(object, '}')
}

// inOrder checks that each task comes after its dependencies, and is what it was
// drawn to be.
func inOrder(t *rapid.T, export, drawn string) {
	want := make(map[string]*schema.Task)
	for line := range strings.Lines(drawn) {
		task, err := schema.ParseTask([]byte(line))
		if err != nil {
			t.Fatalf("%v", err)
		}
		want[task.ID] = task
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(export) {
		task, err := schema.ParseTask([]byte(strings.Replace(line, `,…,"ready"`, `,"ready"`, 1))) // no string has that quote
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, id := range task.Dependencies {
			if !seen[id] {
				t.Fatalf("%s comes before %s, on which it depends", task.ID, id)
			}
		}
		seen[task.ID] = true
		was := want[task.ID]
		if _, differs := schema.AppendPrevious(nil, was, &schema.Task{
			Title: task.Title, Description: task.Description, Status: task.Status, Priority: task.Priority,
			Complexity: task.Complexity, AssignedTo: task.AssignedTo, Dependencies: task.Dependencies, Metadata: task.Metadata,
		}); differs || task.CreatedAt != was.CreatedAt {
			t.Fatalf("%s is %s", task.ID, line)
		}
	}
	if len(seen) != len(want) {
		t.Fatalf("%d tasks of %d", len(seen), len(want))
	}
}

// A command that is interrupted says so, and leaves nothing.
func TestExchangeInterrupted(t *testing.T) {
	db := newPath(t)
	if r := importLines(t, db, `{"id":"a","title":"x"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"import", "--db", db}, {"export", "--db", db}, {"export", "--db", db, db + ".jsonl"}} {
		var out, errs bytes.Buffer
		code := run(ctx, append([]string{"descartes"}, args...), strings.NewReader(`{"title":"y"}`), &out, &errs)
		if want := "descartes: " + args[0] + ": interrupted\n"; code != 1 || out.Len() > 0 || errs.String() != want {
			t.Errorf("%q: %d, %s%s", args, code, &out, &errs)
		}
	}
	if n := strings.Count(tasksIn(t, db), "\n"); n != 1 {
		t.Errorf("there are %d tasks", n)
	}
	if _, err := os.Stat(db + ".jsonl"); err == nil {
		t.Error("there is half an export")
	}
}

// A file that is changed between the two times that it is read is not imported as
// something that was never checked.
func TestImportOfAChangedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tasks.jsonl")
	if err := os.WriteFile(file, []byte(`{"id":"a","title":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := openInput(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	for _, line := range []string{`{"id":"b","title":"x"}`, `{"id":"a","title":""}`, `{"id":"a","titl`} {
		if err := os.WriteFile(file, []byte(fmt.Sprintf("%-22s", line)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := in.draft(&node{id: "a", line: 1, length: 22}); err == nil || !strings.Contains(err.Error(), "line 1 is not what it was") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Who depends on a task that another process has deleted may go on doing so, but
// nobody else can begin to.
func TestImportOfALostDependency(t *testing.T) {
	db := newPath(t)
	importLines(t, db, `{"id":"a","title":"a"}`+"\n"+`{"id":"b","title":"b","dependencies":["a"]}`)
	outside, err := sql.Open("sqlite", db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outside.Exec(`DELETE FROM tasks WHERE id = 'a'`); err != nil {
		t.Fatal(err)
	}
	outside.Close()
	lines := descartes(t, "export", "--db", db).out
	if r := importLines(t, db, lines, "--on-conflict", "replace"); r != (result{0, "imported 0 tasks, kept 1 as it was\n", ""}) {
		t.Errorf("into the same database: %+v", r)
	}
	want := result{1, "", "line 1: dependencies[0]: there is no task a to depend on\ndescartes: import: 1 line refused, nothing was imported\n"}
	if r := importLines(t, db+"2", lines); r != want {
		t.Errorf("into another one: %+v", r)
	}
}

// What somebody else changes between the look at the database and the transaction
// is refused by line, too: alone, or with all the others.
func TestImportOvertaken(t *testing.T) {
	for _, keepGoing := range []bool{true, false} {
		db, err := storage.Open(t.Context(), storage.Config{Path: newPath(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var stderr bytes.Buffer
		im := &importer{conflict: storage.ConflictRefuse, keepGoing: keepGoing, stderr: &stderr, nodes: make(map[string]*node)}
		lines := "{\"id\":\"a\",\"title\":\"x\"}\n{\"id\":\"b\",\"title\":\"x\"}\n{\"id\":\"c\",\"title\":\"x\"}\n"
		if im.input, err = openInput("-", strings.NewReader(lines)); err != nil {
			t.Fatal(err)
		}
		defer im.input.close()
		if err := im.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		order, err := im.order(t.Context(), db)
		if err != nil || len(order) != 3 {
			t.Fatalf("%d tasks, %v", len(order), err)
		}
		other := schema.Draft{ID: "b", Title: "was first"}
		if err := other.Normalize(); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Import(t.Context(), func(yield func(*schema.Draft, error) bool) { yield(&other, nil) }, storage.ConflictRefuse); err != nil {
			t.Fatal(err)
		}
		write, want := im.write, int64(0)
		if keepGoing {
			write, want = im.writeGroups, 2
		}
		if err := write(t.Context(), db, order); err != nil || im.done.Created != want {
			t.Errorf("keep going %v: %+v, %v", keepGoing, im.done, err)
		}
		if got, want := stderr.String(), "line 2: id: there is already a task b\n"; got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
}
