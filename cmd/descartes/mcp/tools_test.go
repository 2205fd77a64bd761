package mcp_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/cmd/descartes/mcp"
	"github.com/descartes-tasks/descartes/schema"
)

// toolsOf lists the tools by name, with their input schemas.
func toolsOf(a *agent) (map[string]*sdk.Tool, map[string]*jsonschema.Schema) {
	a.t.Helper()
	list, err := a.ListTools(a.t.Context(), nil)
	must(a.t, err)
	tools, inputs := make(map[string]*sdk.Tool), make(map[string]*jsonschema.Schema)
	a.outputs = make(map[string]*jsonschema.Schema)
	for _, tool := range list.Tools {
		tools[tool.Name] = tool
		inputs[tool.Name] = schemaFrom(a.t, tool.InputSchema)
		a.outputs[tool.Name] = schemaFrom(a.t, tool.OutputSchema)
	}
	return tools, inputs
}

func schemaFrom(t *testing.T, value any) *jsonschema.Schema {
	t.Helper()
	encoded, err := json.Marshal(value)
	must(t, err)
	s := new(jsonschema.Schema)
	must(t, json.Unmarshal(encoded, s))
	return s
}

// isAsDescribed checks arguments that were accepted, and the result, against what the
// tool advertises. That null stands for absent is a kindness to models.
func (a *agent) isAsDescribed(tool, arguments string, result any) {
	a.t.Helper()
	if a.outputs == nil {
		_, a.inputs = toolsOf(a)
	}
	check := func(what string, s *jsonschema.Schema, value any) {
		a.t.Helper()
		resolved, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
		must(a.t, err)
		if err := resolved.Validate(value); err != nil {
			a.t.Errorf("%s of %s %.100s: %v", what, tool, arguments, err)
		}
	}
	check("the result", a.outputs[tool], result)
	if tool == "update_task" || !strings.Contains(arguments, "null") {
		var value any
		must(a.t, json.Unmarshal([]byte(arguments), &value))
		check("the arguments", a.inputs[tool], value)
	}
}

// Models see everything that they need: what each tool is for, whether it changes
// anything, and what each argument means.
func TestToolsAreDescribed(t *testing.T) {
	a := newAgent(startDaemon(t), "worker", mcp.Options{Version: "7"})
	tools, inputs := toolsOf(a)
	for name, tool := range tools {
		hints := tool.Annotations
		if tool.Title == "" || len(tool.Description) < 60 || hints == nil || hints.OpenWorldHint == nil || !hints.ReadOnlyHint && hints.DestructiveHint == nil || tool.OutputSchema == nil {
			t.Errorf("%s is not described: %+v", name, tool)
		}
		described(t, name, inputs[name])
		described(t, name+" gives", a.outputs[name])
		if readOnly := strings.HasPrefix(name, "list_") || name == "get_task" || name == "task_history"; hints.ReadOnlyHint != readOnly {
			t.Errorf("%s: read only is %t", name, hints.ReadOnlyHint)
		}
	}
	for name, p := range inputs["update_task"].Properties {
		if strings.Contains(p.Description, "default ") || len(p.Enum) > 0 && strings.Contains(p.Description, "in_progress,") {
			t.Errorf("update_task.%s is described as %s", name, p.Description)
		}
	}
	if r := a.InitializeResult(); !strings.Contains(r.Instructions, "claim_task") || r.Capabilities.Tools == nil || !r.Capabilities.Resources.Subscribe {
		t.Errorf("%+v", r)
	}
	page, err := os.ReadFile("../../../docs/mcp.md")
	must(t, err)
	named := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1)
	for _, match := range named {
		if tools[match[1]] == nil {
			t.Errorf("docs/mcp.md has %s, which is no tool", match[1])
		}
	}
	if len(named) != len(tools) {
		t.Errorf("docs/mcp.md has %d of %d tools", len(named), len(tools))
	}
}

func described(t *testing.T, path string, s *jsonschema.Schema) {
	t.Helper()
	for name, p := range s.Properties {
		at := path + "." + name
		if p.Description == "" {
			t.Errorf("%s has no description", at)
		}
		if p.Type == "" && len(p.Types) < 2 || slices.Contains(p.Types, "") {
			t.Errorf("%s has no type", at)
		}
		described(t, at, p)
		if p.Items != nil {
			described(t, at+"[]", p.Items)
		}
	}
}

// long is a text of n characters.
func long(n int) string { return strings.Repeat("x", n) }

// What is wrong about arguments is told by the advertised schema as by the tool, and
// changes nothing.
func TestBadArguments(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	plan(a, "a", "mine")
	a.ok("claim_task", `{"id":"mine"}`, nil)
	_, inputs := toolsOf(a)
	const again = " Correct it and call the tool again; nothing was changed."
	for _, test := range []struct{ tool, arguments, says string }{
		{"list_ready_tasks", `{"limit":0}`, "limit must be 1 to 200."},
		{"list_ready_tasks", `{"limit":"ten"}`, "limit must be an integer."},
		{"list_ready_tasks", `{"priority_at_least":"urgent"}`, "priority_at_least must be one of low, medium, high, critical."},
		{"list_ready_tasks", `{"status":["todo"]}`, "status is not known."},
		{"list_tasks", `{"status":["doing"]}`, "status must be one of todo, in_progress, blocked, done; did you mean done?"},
		{"list_tasks", `{"status":"todo"}`, "status must be an array."},
		{"list_tasks", `{"order":"age"}`, "order must be one of created_at, -created_at, updated_at, -updated_at, priority, -priority, title, -title."},
		{"list_tasks", `{"text":"` + long(1001) + `"}`, "text must be at most 1000 bytes."},
		{"list_tasks", `{"redy":true}`, "redy is not known; did you mean ready?"},
		{"get_task", `{}`, "id is required: the id of the task."},
		{"update_task", `{"id":"a b","title":"x"}`, "id must be 1 to 128 characters of A-Z a-z 0-9 . _ : -."},
		{"get_task", `{"id":7}`, "id must be a string."},
		{"task_history", `{"limit":1000}`, "limit must be 1 to 200."},
		{"create_tasks", `{}`, "tasks must be 1 to 200 tasks."},
		{"create_tasks", `{"tasks":[]}`, "tasks must be 1 to 200 tasks."},
		{"create_tasks", `{"tasks":{"title":"x"}}`, "tasks must be an array."},
		{"create_tasks", `{"tasks":[{"title":"ok"},{"title":""}]}`, "tasks[1].title must be 1 to 500 characters, not only white space."},
		{"create_tasks", `{"tasks":[{"title":"x","priority":"hgih"}]}`, "tasks[0].priority must be one of low, medium, high, critical; did you mean high?"},
		{"create_tasks", `{"tasks":[{"title":"x","status":"done"}]}`, "tasks[0].status is not known."},
		{"create_tasks", `{"tasks":[{"title":"x","metadata":[]}]}`, "tasks[0].metadata must be a JSON object."},
		{"create_tasks", `{"tasks":[{"title":"x","dependencies":"a"}]}`, "tasks[0].dependencies must be an array."},
		{"claim_task", `{"wait_seconds":51}`, "wait_seconds must be 0 to 50."},
		{"claim_task", `{"wait_ms":5}`, "wait_ms is not known."},
		{"claim_task", `{"priority_at_least":"urgent"}`, "priority_at_least must be one of low, medium, high, critical."},
		{"renew_task", `{"id":"mine","lease_seconds":0}`, "lease_seconds must be 1 to 86400."},
		{"renew_task", `{"lease_seconds":60}`, "id is required: the id of the task."},
		{"update_task", `{"id":"a","title":null}`, "title must not be null."},
		{"update_task", `{"id":"a","complexity":"hard"}`, "complexity must be one of trivial, simple, moderate, complex, epic."},
		{"update_task", `{"id":"a","lease_token":"x"}`, "lease_token is not known."},
		{"update_task", `{"id":"a","description":5}`, "description must be a string."},
		{"update_task", `{"title":"x"}`, "id is required: the id of the task."},
		{"finish_task", `{"id":"mine","result":"` + long(32<<10+1) + `"}`, "result must be at most 32768 characters; put more into a file and name it."},
		{"finish_task", `{"id":"mine","result":{"x":1}}`, "result must be a string."},
		{"finish_task", `{}`, "id is required: the id of the task."},
		{"release_task", `{"id":"mine","status":"done"}`, "status must be one of todo, blocked; finish_task sets done."},
		{"release_task", `{"status":"todo"}`, "id is required: the id of the task."},
		{"delete_task", `{"id":"a","overrule":"yes"}`, "overrule must be true or false."},
		{"delete_task", `{}`, "id is required: the id of the task."},
	} {
		if says, want := a.refused(test.tool, test.arguments), test.says+again; says != want {
			t.Errorf("%s %.80s\nsays %s\nwant %s", test.tool, test.arguments, says, want)
		}
		var value any
		must(t, json.Unmarshal([]byte(test.arguments), &value))
		resolved, err := inputs[test.tool].Resolve(nil)
		must(t, err)
		if resolved.Validate(value) == nil {
			t.Errorf("the schema of %s allows %.80s", test.tool, test.arguments)
		}
	}
	history, err := d.dial().History(t.Context(), schema.HistoryParams{})
	must(t, err)
	if len(history.Events) != 3 {
		t.Errorf("%d changes were made", len(history.Events)-3)
	}
	if _, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: "finish"}); err == nil || !strings.Contains(err.Error(), `unknown tool "finish"`) {
		t.Error(err)
	}
}

// What the daemon refuses is told with what to do next.
func TestRefusals(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	plan(a, "a")
	a.ok("create_tasks", `{"tasks":[{"id":"b","title":"needs a","dependencies":["a"]}]}`, nil)
	document := d.document("a")
	for _, test := range []struct{ tool, arguments, says string }{
		{"get_task", `{"id":"z"}`, "there is no task z. It was deleted, or the id is wrong: list_tasks shows what there is."},
		{"finish_task", `{"id":"a"}`, "This session has not claimed a; nothing was changed. Call claim_task with id a first, do the work, then finish_task."},
		{"finish_task", `{"id":"b"}`, "This session has not claimed b, and it waits for its dependencies: get_task names them. Nothing was changed."},
		{"claim_task", `{"id":"z"}`, "there is no task z. It was deleted, or the id is wrong: list_tasks shows what there is."},
		{"delete_task", `{"id":"a"}`, "other tasks depend on task a: b. Nothing was changed. Take it out of their dependencies with update_task first, or delete them."},
		{"update_task", `{"id":"a","expected_version":9,"title":"x"}`, "the task is at version 1, not 9. Somebody changed it meanwhile; nothing was changed by you. It is now " + document + ". Decide again from this, and give its version as expected_version."},
		{"update_task", `{"id":"a","expected_version":9,"status":"done"}`, "the task is at version 1, not 9. Somebody changed it meanwhile; nothing was changed by you. It is now " + document + ". Decide again from this, and give its version as expected_version."},
		{"update_task", `{"id":"a"}`, "Nothing to change was given. Name at least one field: title, description, status, priority, complexity, assigned_to, dependencies or metadata."},
		{"update_task", `{"id":"a","dependencies":["b"]}`, "the task would depend on itself: a -> b -> a. Nothing was changed. Leave one of these dependencies out."},
		{"update_task", `{"id":"a","dependencies":["z"]}`, "there is no task z to depend on. Nothing was changed. Correct the id (list_tasks shows what there is), or create that task in the same call."},
		{"create_tasks", `{"tasks":[{"title":"x"},{"ref":"r","title":"y","dependencies":["z"]}]}`, "r: there is no task z to depend on. Nothing was changed. Correct the id (list_tasks shows what there is), or create that task in the same call."},
		{"create_tasks", `{"tasks":[{"id":"a","title":"x"}]}`, "a: there is already a task a. No task of this call was created. Leave id out to get a new one, or use update_task if you mean this one: " + document},
		{"create_tasks", `{"tasks":[{"id":"n","title":"x"},{"id":"n","title":"y"}]}`, "tasks[1].id must not be that of tasks[0] again. Correct it and call the tool again; nothing was changed."},
		{"create_tasks", `{"tasks":[{"ref":"n","title":"x"},{"ref":"n","title":"y"}]}`, "tasks[1].ref must not be used twice: n. Correct it and call the tool again; nothing was changed."},
		{"create_tasks", `{"tasks":[{"ref":"p","title":"x","dependencies":["q"]},{"ref":"q","title":"y","dependencies":["p"]}]}`, "These tasks depend on each other in a circle: p -> q -> p. No task was created. Leave one of these dependencies out."},
		{"task_history", `{"since":"other-1"}`, "the history has no place epoch any more. Call task_history without since and before."},
		{"task_history", `{"since":"yesterday"}`, "since must be a cursor that this server gave. Correct it and call the tool again; nothing was changed."},
	} {
		if says := a.refused(test.tool, test.arguments); says != test.says {
			t.Errorf("%s %s\nsays %s\nwant %s", test.tool, test.arguments, says, test.says)
		}
	}
}

// A plan that is longer than the daemon's messages is refused for that: the daemon is
// not away, and trying again would not help.
func TestPlanTooLarge(t *testing.T) {
	a := newAgent(startDaemon(t), "worker", mcp.Options{})
	task := `{"title":"x","description":"` + long(60_000) + `"}`
	tasks := func(n int) string { return `{"tasks":[` + strings.Repeat(task+",", n-1) + task + `]}` }
	a.ok("create_tasks", tasks(17), nil)
	const want = "at most 1048576 at a time. No task was created. Create them in several calls: a later one names the tasks of an earlier one by id."
	if says := a.refused("create_tasks", tasks(18)); !strings.HasSuffix(says, want) {
		t.Error(says)
	}
}

// A result of few characters can be of many bytes; what is wrong is named as the agent
// knows it.
func TestResultTooLong(t *testing.T) {
	a := newAgent(startDaemon(t), "worker", mcp.Options{})
	plan(a, "a")
	a.ok("claim_task", `{"id":"a"}`, nil)
	const want = "result is too long: with all other metadata of the task it must be at most 65536 bytes; put more into a file and name it. Correct it and call the tool again; nothing was changed."
	if says := a.refused("finish_task", `{"id":"a","result":"`+strings.Repeat("語", 30_000)+`"}`); says != want {
		t.Error(says)
	}
}

// document gives a task as the daemon has it.
func (d *daemon) document(id string) string {
	d.t.Helper()
	var document json.RawMessage
	must(d.t, d.dial().Call(d.t.Context(), schema.MethodGet, schema.GetParams{ID: id}, &document))
	return string(document)
}

// No token of a claim is ever shown to an agent.
func TestNoTokenIsShown(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	plan(a, "a", "b")
	a.ok("claim_task", `{"id":"a"}`, nil)
	a.ok("claim_task", `{"id":"b"}`, nil)
	db, err := sql.Open("sqlite", "file:"+d.path+"?mode=ro")
	must(t, err)
	defer db.Close()
	var tokens [2]string
	for i, id := range []string{"a", "b"} {
		must(t, db.QueryRow("SELECT token FROM leases WHERE task_id = ?", id).Scan(&tokens[i]))
	}
	_, err = d.dial().Update(t.Context(), schema.UpdateParams{ID: "b", Patch: schema.Patch{Status: schema.Some(schema.Todo)}})
	must(t, err)
	a.ok("get_task", `{"id":"a"}`, nil)
	a.ok("task_history", `{}`, nil)
	a.ok("renew_task", `{"id":"a"}`, nil)
	a.refused("finish_task", `{"id":"b"}`)
	a.ok("finish_task", `{"id":"a"}`, nil)
	a.end()
	said := a.traffic.String()
	for _, token := range tokens {
		if len(token) < 8 || strings.Contains(said, token) {
			t.Errorf("the token %q was shown", token)
		}
	}
	if !strings.Contains(said, fmt.Sprintf("%q", "finish_task")) {
		t.Error("the traffic was not kept")
	}
}
