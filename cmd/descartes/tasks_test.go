package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// onNewDaemon starts a daemon that all commands of the test talk to.
func onNewDaemon(t *testing.T) {
	t.Helper()
	t.Setenv("DESCARTES_URL", tempDaemon(t).urls[0])
}

// made creates a task and gives its id.
func made(t *testing.T, args ...string) string {
	t.Helper()
	r := descartes(t, append([]string{"create"}, args...)...)
	if r.code != 0 || r.errors != "" || strings.Count(r.out, "\n") != 1 {
		t.Fatalf("create %q: %+v", args, r)
	}
	return strings.TrimSpace(r.out)
}

func taskOf(t *testing.T, id string) *schema.Task {
	t.Helper()
	r := descartes(t, "get", id, "--json")
	task, err := schema.ParseTask([]byte(r.out))
	if r.code != 0 || err != nil {
		t.Fatalf("get %s: %+v, %v", id, r, err)
	}
	return task
}

func TestTaskCommands(t *testing.T) {
	onNewDaemon(t)
	milk := made(t, "Buy", "milk", "--priority", "high", "-d", "two\nlitres", "--id", "milk")
	id := made(t, "Bake", "--assign", "anna", "--depends-on", milk, "--complexity", "simple", "--status", "in-progress", "--metadata", `{"b":1,"a":2}`)
	bake := taskOf(t, id)
	if !isUUID(id) || milk != "milk" || bake.Status != schema.InProgress || *bake.AssignedTo != "anna" || string(bake.Metadata) != `{"b":1,"a":2}` ||
		bake.Complexity != schema.Simple || fmt.Sprint(bake.Dependencies) != "[milk]" {
		t.Fatalf("created %s: %+v", id, bake)
	}
	for _, test := range []struct {
		args string
		out  string // ID: of the second task
	}{
		{"list", "milk\ttodo\thigh\t\tBuy milk\nID\tin_progress\tmedium\tanna\tBake\n"},
		{"ls mil", "milk\ttodo\thigh\t\tBuy milk\n"},
		{"list --status in-progress,done --assigned-to anna", "ID\tin_progress\tmedium\tanna\tBake\n"},
		{"list --priority high --unassigned --ready", "milk\ttodo\thigh\t\tBuy milk\n"},
		{"list --ready=false --text bake", "ID\tin_progress\tmedium\tanna\tBake\n"},
		{"list --order -title --limit 1", "milk\ttodo\thigh\t\tBuy milk\n"},
		{`list --filter {"ids":["x"]}`, ""},
		{"update milk --title Milk --description= --priority low --expected-version 1", "milk\n"},
		{"done milk " + id + " milk", "milk\nID\n"},
		{"reopen " + id, "ID\n"},
		{"block " + id, "ID\n"},
		{"start " + id + " --assign bob", "ID\n"},
		{"update " + id + ` --depends-on= --assign= --metadata {"b":null}`, "ID\n"},
		{"rm milk", "milk\n"},
		{"list --json --status todo", ""},
	} {
		want := strings.ReplaceAll(test.out, "ID", id)
		if r := descartes(t, strings.Fields(test.args)...); r != (result{0, want, ""}) {
			t.Errorf("%s: %+v, want %q", test.args, r, want)
		}
	}
	bake = taskOf(t, id)
	if bake.Status != schema.InProgress || bake.AssignedTo != nil || string(bake.Metadata) != `{"a":2}` || len(bake.Dependencies) != 0 {
		t.Errorf("updated: %+v", bake)
	}
	var kinds []string
	for line := range strings.Lines(descartes(t, "history", id).out) {
		kinds = append(kinds, strings.Fields(line)[2])
	}
	if len(kinds) != 6 || kinds[0] != "created" || kinds[5] != "updated" {
		t.Errorf("history: %v", kinds)
	}
	r := descartes(t, "history", "--limit", "3", "--json")
	var first schema.Event
	if json.Unmarshal([]byte(strings.SplitN(r.out, "\n", 2)[0]), &first) != nil || first.TaskID != "milk" || strings.Count(r.out, "\n") != 3 ||
		!strings.HasPrefix(r.errors, "to go on from here: descartes history --since ") {
		t.Errorf("history: %+v", r)
	}
	if r := descartes(t, "history", "milk"); !strings.Contains(r.out, "deleted   milk  done  Milk") {
		t.Errorf("history of what was deleted: %+v", r)
	}
}

// All that there is of a task, a field a line; what a task says stays in its lines.
func TestGet(t *testing.T) {
	onNewDaemon(t)
	id := made(t, "One\x1b[2J\u009b2J", "--description", "first\n\u202esecond", "--id", "x")
	r := descartes(t, "get", id, id)
	block := "id           x\ntitle        One [2J 2J\nstatus       todo\npriority     medium\ncomplexity   moderate\n" +
		"description  first\n              second\ncreated      "
	if r.code != 0 || strings.Count(r.out, block) != 2 || strings.Count(r.out, "\n\n") != 1 {
		t.Errorf("%q", r.out)
	}
	if r := descartes(t, "get", id, "--json"); !strings.Contains(r.out, "\u009b2J") || !json.Valid([]byte(r.out)) {
		t.Errorf("--json is not what the daemon sent: %q", r.out)
	}
}

// More tasks than one page has.
func TestListPages(t *testing.T) {
	onNewDaemon(t)
	var lines strings.Builder
	for i := range 2300 {
		fmt.Fprintf(&lines, "{\"id\":\"t%d\",\"title\":\"t\"}\n", i)
	}
	if r := descartesIn(t, lines.String(), "create", "-"); r.code != 0 || strings.Count(r.out, "\n") != 2300 || !strings.HasPrefix(r.out, "t0\nt1\n") {
		t.Fatalf("%d %s", r.code, r.errors)
	}
	for args, want := range map[string]int{"": 100, "--limit 1500": 1500, "--all": 2300} {
		r := descartes(t, append([]string{"list"}, strings.Fields(args)...)...)
		more := r.errors == "descartes: these are the first 100; --all lists the rest, too\n"
		if r.code != 0 || strings.Count(r.out, "\n") != want || more != (args == "") {
			t.Errorf("list %s: %d lines, %q", args, strings.Count(r.out, "\n"), r.errors)
		}
	}
}

func TestCreateMany(t *testing.T) {
	onNewDaemon(t)
	r := descartesIn(t, "\ufeffWash up\r\n\n  {\"id\":\"dry\",\"title\":\"Dry\",\"priority\":\"low\"}\n- Tidy: \"all\"", "create", "-", "--priority", "high", "--assign", "me")
	ids := strings.Fields(r.out)
	if r.code != 0 || r.errors != "" || len(ids) != 3 || ids[1] != "dry" {
		t.Fatalf("%+v", r)
	}
	want := ids[0] + "\ttodo\thigh\tme\tWash up\n" + ids[2] + "\ttodo\thigh\tme\t- Tidy: \"all\"\ndry\ttodo\tlow\tme\tDry\n" // as old, so by id
	if r := descartes(t, "list"); r.out != want {
		t.Errorf("%q, want %q", r.out, want)
	}
	many := strings.Repeat("{\"title\":\"t\"}\n", 1000)
	for _, test := range []struct {
		in   string
		code int
		says string
	}{
		{"", 2, "standard input has no task"},
		{"\ufeff\r\n", 2, "standard input has no task"},
		{`a` + "\n" + `[{"title":"b"},{"title":"c"}]`, 2, "line 2: it is a JSON array: write each object on a line of its own; nothing was made"},
		{"a\n{\"title\":", 2, "line 2: it begins like a JSON object, but is none; nothing was made"},
		{"a\n\n{\"tilte\":\"b\"}", 2, "line 3: tilte is not known; did you mean title?; nothing was made"},
		{strings.Repeat("x", 501), 2, "line 1: title must be 1 to 500 characters"},
		{"new\n{\"id\":\"dry\",\"title\":\"again\"}", 1, "line 2: there is already a task dry; nothing was made"},
		{many + "{\"id\":\"dry\",\"title\":\"again\"}", 1, "line 1001: there is already a task dry; 1000 tasks before it were made"},
	} {
		r := descartesIn(t, test.in, "create", "-")
		if r.code != test.code || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%.40q: %d %q, want %d %q", test.in, r.code, r.errors, test.code, test.says)
		}
	}
	if r := descartesIn(t, "new\n{\"id\":\"dry\",\"title\":\"again\"}", "create", "-", "--json"); r.code != 1 || !strings.HasPrefix(r.errors, "error -32003 task_exists: ") || !strings.Contains(r.errors, `"index":1`) {
		t.Errorf("%+v", r)
	}
	if r := descartes(t, "list", "--all"); strings.Count(r.out, "\n") != 1003 {
		t.Errorf("%d tasks", strings.Count(r.out, "\n"))
	}
}

// A group is no longer than what a daemon takes in one message.
func TestCreateManyLarge(t *testing.T) {
	onNewDaemon(t)
	line := `{"title":"t","description":"` + strings.Repeat("x", 60_000) + "\"}\n"
	if r := descartesIn(t, strings.Repeat(line, 40), "create", "-"); r.code != 0 || strings.Count(r.out, "\n") != 40 {
		t.Errorf("%d %s", r.code, r.errors)
	}
}

// The last digits of an id name its task, unless several end in them, or there is a
// task with just this id.
func TestShortIDs(t *testing.T) {
	onNewDaemon(t)
	const end = "0123cdef"
	for _, id := range []string{"00000000-0000-7000-8000-1111" + end, "00000000-0000-7000-8000-2222" + end} {
		made(t, "Ends so", "--id", id)
	}
	id := made(t, "Other")
	for _, name := range []string{id[28:], id[20:], id[1:]} {
		if r := descartes(t, "update", name, "--title", "Renamed"); r != (result{0, id + "\n", ""}) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	last := made(t, "Last", "--depends-on", id[28:])
	if got := taskOf(t, last[28:]).Dependencies; fmt.Sprint(got) != "["+id+"]" {
		t.Errorf("it depends on %v", got)
	}
	if r := descartes(t, "get", "1111"+end); r.code != 0 || !strings.Contains(r.out, "1111"+end) {
		t.Errorf("%+v", r)
	}
	for name, says := range map[string]string{
		end:        "0123cdef ends the ids of 2 tasks: give more digits of 00000000-0000-7000-8000-11110123cdef (Ends so), 00000000",
		id[29:]:    "there is no task " + id[29:], // too short to be safe
		"ffffffff": `there is no task ffffffff; "descartes list" shows those that there are`,
	} {
		for _, command := range []string{"get", "delete", "done", "history"} {
			if command == "history" && name != end && name != "ffffffff" {
				continue
			}
			if r := descartes(t, command, name); r.code != 1 || r.out != "" || !strings.Contains(r.errors, says) {
				t.Errorf("%s %s: %+v", command, name, r)
			}
		}
	}
	claimed := descartes(t, "claim", "--assigned-to", "me", "--id", id[28:])
	var claim schema.ClaimResult
	if err := json.Unmarshal([]byte(claimed.out), &claim); err != nil || claimed.code != 0 || !strings.Contains(claimed.out, id) {
		t.Fatalf("%+v, %v", claimed, err)
	}
	for _, command := range []string{"renew", "release"} {
		if r := descartes(t, command, id[28:], claim.LeaseToken); r.code != 0 {
			t.Errorf("%s: %+v", command, r)
		}
	}
	made(t, "Chosen", "--id", end)
	if r := descartes(t, "delete", end); r != (result{0, end + "\n", ""}) {
		t.Errorf("%+v", r)
	}
}

// Tasks that depend on each other are deleted together, in whatever order they are named.
func TestDeleteTogether(t *testing.T) {
	onNewDaemon(t)
	made(t, "One", "--id", "a")
	made(t, "Two", "--id", "b", "--depends-on", "a")
	made(t, "Three", "--id", "c", "--depends-on", "a,b")
	if r := descartes(t, "delete", "a", "b"); r.code != 1 || !strings.Contains(r.errors, "c; delete them, too") {
		t.Errorf("%+v", r)
	}
	if r := descartes(t, "delete", "a", "c", "b"); r != (result{0, "c\nb\na\n", ""}) {
		t.Errorf("%+v", r)
	}
}
