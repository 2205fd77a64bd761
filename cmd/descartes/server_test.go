package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

func TestServerCommands(t *testing.T) {
	onNewDaemon(t)
	made(t, "One")
	for args, says := range map[string]string{
		"info":        "\nlimits.message\t1048576\n",
		"stats":       "tasks.todo\t1\n",
		"ping":        "/rpc answers in ",
		"ping --json": "\"pong\"\n",
		"discover":    `{"openrpc":"`,
	} {
		if r := descartes(t, strings.Fields(args)...); r.code != 0 || r.errors != "" || !strings.Contains(r.out, says) {
			t.Errorf("%s: %+v", args, r)
		}
	}
	var document struct {
		Methods []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(descartes(t, "discover", "--json").out), &document); err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, m := range document.Methods {
		methods = append(methods, m.Name)
	}
	known := schema.Methods()
	slices.Sort(methods)
	slices.Sort(known)
	if !slices.Equal(methods, known) {
		t.Errorf("schema.Methods is %q, but there are %q", known, methods)
	}
	for _, name := range []string{"info", "stats", "discover"} {
		if r := descartes(t, name, "--json"); !json.Valid([]byte(r.out)) || strings.Count(r.out, "\n") != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestApply(t *testing.T) {
	onNewDaemon(t)
	lines := `{"op":"create","id":"a","title":"One"}

{"op":"update","id":"a","status":"done"}
{"op":"create","id":"b","title":"Two","dependencies":["a"]}
`
	if r := descartesIn(t, lines, "apply"); r != (result{0, "a\na\nb\n", ""}) {
		t.Errorf("%+v", r)
	}
	if r := descartesIn(t, `[{"op":"delete","id":"b"},{"op":"delete","id":"a"}]`, "apply", "--json", "-"); r.code != 0 || !strings.HasPrefix(r.out, "{\"id\":\"b\",\"version\":") {
		t.Errorf("%+v", r)
	}
	for _, test := range []struct {
		in   string
		code int
		says string
	}{
		{`{"op":"create","title":"x"},`, 2, "the operations are no JSON"},
		{`{"op":"create"}`, 2, "operations[0].title must be"},
		{`{"op":"create","title":"x"}` + "\n" + `{"op":"updat","id":"x"}`, 2, "did you mean update?"},
		{`[]`, 2, "must be 1 to 1000 operations"},
		{`{"op":"create","title":"x"}` + "\n" + `{"op":"delete","id":"gone"}`, 1, `operation 2: there is no task gone; "descartes list" shows those that there are; nothing was changed`},
	} {
		if r := descartesIn(t, test.in, "apply"); r.code != test.code || !strings.Contains(r.errors, test.says) || r.out != "" {
			t.Errorf("%s: %+v, want %d and %q", test.in, r, test.code, test.says)
		}
	}
	if r := descartes(t, "list"); r.out != "" {
		t.Errorf("there is %q", r.out)
	}
}

// Refusals say what to do; with --json they are what a program can take apart.
func TestRefusals(t *testing.T) {
	onNewDaemon(t)
	made(t, "One", "--id", "a")
	made(t, "Two", "--id", "b", "--depends-on", "a")
	for _, test := range [][2]string{
		{"create Again --id a", "there is already a task a; choose another --id"},
		{"update a --title x --expected-version 7", "repeat with --expected-version 1"},
		{"delete a", "b"},
		{"create x --depends-on c", "c"},
		{"get c --json", `error -32001 task_not_found: there is no task c {"reason":"task_not_found","id":"c"}`},
		{"history --since otherepoch12-1", "the cursor cannot be continued, as the database is another one or was restored; --since start begins"},
	} {
		if r := descartes(t, strings.Fields(test[0])...); r.code != 1 || r.out != "" || !strings.Contains(r.errors, test[1]) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%s: %+v, want %q", test[0], r, test[1])
		}
	}
}

// What is longer than a message of the daemon's is refused, and was surely not made.
func TestTooLong(t *testing.T) {
	d := tempDaemon(t, "--max-message", "200000")
	t.Setenv("DESCARTES_URL", d.urls[0])
	operation := `{"op":"create","title":"x","description":"` + strings.Repeat("x", 60_000) + "\"}\n"
	call := `{"title":"x","more":"` + strings.Repeat("x", 250_000) + `"}`
	for _, test := range [][2]string{{"apply", strings.Repeat(operation, 4)}, {"call task.create -", call}} {
		r := descartesIn(t, test[1], strings.Fields(test[0])...)
		if r.code != 1 || !strings.Contains(r.errors, "bytes long, and the daemon takes 200000 in one message (--max-message): nothing was changed\n") {
			t.Errorf("%s: %+v", test[0], r)
		}
	}
	if r := descartesIn(t, strings.Repeat(operation, 3), "apply"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	tasks := strings.Repeat("{"+strings.TrimPrefix(operation, `{"op":"create",`), 4)
	if r := descartesIn(t, tasks, "create", "-"); r.code != 0 || strings.Count(r.out, "\n") != 4 {
		t.Errorf("create - does not follow the daemon's limit: %+v", r)
	}
}
