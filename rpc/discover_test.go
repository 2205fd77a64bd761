package rpc

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/descartes-tasks/descartes/schema"
)

// document is the OpenRPC document as a client reads it.
type document struct {
	Methods []struct {
		Name, Summary string
		Params        []struct {
			Name     string
			Required bool
			Schema   *jsonschema.Schema
		}
		Result struct {
			Schema *jsonschema.Schema
		}
		Errors []struct{ Code int }
	}
}

func discovered(t *testing.T, d *daemon) (doc document) {
	check(t, json.Unmarshal([]byte(d.connect().call("rpc.discover", `{}`)), &doc))
	return doc
}

func TestDocumentIsTheSameOnBothWays(t *testing.T) {
	t.Parallel()
	d := start(t)
	status, file := d.do("GET", "/openrpc.json", "", nil)
	if answer := d.connect().call("rpc.discover", `{}`); status != 200 || answer != file {
		t.Errorf("GET /openrpc.json gives %d and another document than rpc.discover", status)
	}
}

func TestDocumentIsValidOpenRPC(t *testing.T) {
	t.Parallel()
	read := func(name string) *jsonschema.Schema {
		s := new(jsonschema.Schema)
		check(t, json.Unmarshal(must(os.ReadFile(filepath.Join("testdata", name))), s))
		s.Schema = "http://json-schema.org/draft-07/schema#" // what https://meta.json-schema.tools/ is a copy of
		return s
	}
	meta, err := read("openrpc-meta-schema.json").Resolve(&jsonschema.ResolveOptions{
		Loader: func(*url.URL) (*jsonschema.Schema, error) { return read("json-schema-meta-schema.json"), nil },
	})
	check(t, err)
	var doc any
	check(t, json.Unmarshal(start(t).discover(), &doc))
	check(t, meta.Validate(doc))
	doc.(map[string]any)["methods"].([]any)[0].(map[string]any)["params"] = "wrong"
	if meta.Validate(doc) == nil {
		t.Error("the meta-schema accepts anything")
	}
}

// TestDocumentSaysWhatTheContractSays holds the document against section 4 of the
// contract; a * marks what is required.
func TestDocumentSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"task.create":      "title* description status priority complexity assigned_to dependencies metadata id",
		"task.get":         "id* fresh",
		"task.list":        "filter order limit page_token fresh",
		"task.update":      "id* title description status priority complexity assigned_to dependencies metadata expected_version lease_token",
		"task.delete":      "id* expected_version",
		"task.apply":       "operations*",
		"task.history":     "id since limit before",
		"task.subscribe":   "filter since snapshot debounce_ms include_task batch",
		"task.unsubscribe": "subscription*",
		"task.flush":       "subscription",
		"task.claim":       "assigned_to filter id lease_ms wait_ms until_disconnect",
		"task.renew":       "id* lease_token* lease_ms",
		"task.release":     "id* lease_token* status",
		"server.info":      "", "server.stats": "", "server.ping": "", "rpc.discover": "",
	}
	d := start(t)
	doc := discovered(t, d)
	if len(doc.Methods) != len(want) || len(d.methods) != 2*len(want) {
		t.Errorf("%d methods in the document, %d names dispatched, want %d", len(doc.Methods), len(d.methods), len(want))
	}
	for _, m := range doc.Methods {
		var names []string
		for _, p := range m.Params {
			if p.Required {
				p.Name += "*"
			}
			names = append(names, p.Name)
			if p.Schema.Description == "" {
				t.Errorf("%s: %s has no description", m.Name, p.Name)
			}
		}
		if got := strings.Join(names, " "); got != want[m.Name] {
			t.Errorf("%s: got params %s, want %s", m.Name, got, want[m.Name])
		}
		if d.methods[m.Name] == nil || d.methods[strings.ReplaceAll(m.Name, ".", "_")] == nil {
			t.Errorf("%s is not dispatched", m.Name)
		}
		if m.Summary == "" || len(m.Errors) == 0 {
			t.Errorf("%s: no summary or no errors", m.Name)
		}
	}
}

// Every method that requires a parameter says so.
func TestMissingParameterIsNamed(t *testing.T) {
	t.Parallel()
	d := start(t)
	p := d.connect()
	for _, m := range discovered(t, d).Methods {
		for _, param := range m.Params {
			if !param.Required {
				continue
			}
			others := make(map[string]string)
			for _, other := range m.Params {
				if other.Required && other.Name != param.Name {
					others[other.Name] = "x"
				}
			}
			if a := p.ask(m.Name, string(must(json.Marshal(others)))); a.Error == nil || a.Error.Code != -32602 || a.Error.Data.Field != param.Name {
				t.Errorf("%s without %s: got %+v", m.Name, param.Name, a)
			}
		}
	}
}

// TestTranscriptsFitTheDocument holds every request that succeeds in the
// transcripts, and its result, against the schemas.
func TestTranscriptsFitTheDocument(t *testing.T) {
	t.Parallel()
	doc := discovered(t, start(t))
	results, params := make(map[string]*jsonschema.Resolved), make(map[string]*jsonschema.Resolved)
	names := make(map[string][]string)
	for _, m := range doc.Methods {
		object := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
		for _, p := range m.Params {
			object.Properties[p.Name] = p.Schema
			names[m.Name] = append(names[m.Name], p.Name)
			if p.Required {
				object.Required = append(object.Required, p.Name)
			}
		}
		params[m.Name] = must(object.Resolve(nil))
		results[m.Name] = must(m.Result.Schema.Resolve(nil))
	}
	seen := make(map[string]bool)
	for _, file := range must(filepath.Glob("testdata/*.txt")) {
		if filepath.Base(file) == "jsonrpc.txt" {
			continue
		}
		for _, c := range conversations(t, file) {
			if results[c.Method] == nil {
				t.Fatalf("%s: no method %s", file, c.Method)
			}
			seen[c.Method] = true
			if err := results[c.Method].Validate(c.Result); err != nil {
				t.Errorf("%s: result of %s %v: %v", file, c.Method, c.Params, err)
			}
			if err := params[c.Method].Validate(named(c.Params, names[c.Method])); err != nil {
				t.Errorf("%s: params of %s %v: %v", file, c.Method, c.Params, err)
			}
		}
	}
	for name := range results {
		if !seen[name] {
			t.Errorf("no transcript shows a result of %s", name)
		}
	}
}

// named gives params by name.
func named(params any, names []string) any {
	list, byPosition := params.([]any)
	switch {
	case params == nil:
		return map[string]any{}
	case !byPosition:
		return params
	case len(list) == 1:
		if object, ok := list[0].(map[string]any); ok {
			return object
		}
	}
	object := make(map[string]any)
	for i, value := range list {
		if value != nil {
			object[names[i]] = value
		}
	}
	return object
}

// conversation is a request of a transcript and its result.
type conversation struct {
	ID             any
	Method         string
	Params, Result any
}

// conversations gives the requests of a transcript that succeed.
func conversations(t *testing.T, file string) (all []conversation) {
	var open []conversation
	for _, text := range strings.Split(string(must(os.ReadFile(file))), "\n") {
		m := line.FindStringSubmatch(text)
		if m == nil || strings.Contains(m[2], "q") {
			continue
		}
		var messages []conversation
		body := strings.NewReplacer("NOW", "1767225600000", "…", `"methods":[]}}}`).Replace(m[3])
		if json.Unmarshal([]byte(body), &messages) != nil {
			var one conversation
			if json.Unmarshal([]byte(body), &one) != nil {
				continue
			}
			messages = []conversation{one}
		}
		for _, message := range messages {
			if m[2] == "-->" && message.Method == "" {
				continue
			}
			if m[2] == "-->" && message.ID != nil {
				message.Method = strings.Replace(message.Method, "task_", "task.", 1)
				open = append(open, message)
				continue
			}
			i := slices.IndexFunc(open, func(c conversation) bool { return c.ID == message.ID })
			if i < 0 {
				continue
			}
			if message.Result != nil {
				open[i].Result = message.Result
				all = append(all, open[i])
			}
			open = slices.Delete(open, i, i+1)
		}
	}
	if len(all) == 0 {
		t.Errorf("%s: nothing succeeds", file)
	}
	return all
}

// The events of the transcripts fit the schema of an event, which task.history
// gives.
func TestEventsFitTheDocument(t *testing.T) {
	t.Parallel()
	event := must(schemaOf(reflect.TypeFor[schema.Event]()).Resolve(nil))
	checked := 0
	for _, file := range must(filepath.Glob("testdata/*.txt")) {
		for _, text := range strings.Split(string(must(os.ReadFile(file))), "\n") {
			m := line.FindStringSubmatch(text)
			if m == nil || !strings.Contains(text, `"method":"task.event"`) {
				continue
			}
			var notification struct{ Params struct{ Result any } }
			check(t, json.Unmarshal([]byte(strings.ReplaceAll(m[3], "NOW", "1767225600000")), &notification))
			if err := event.Validate(notification.Params.Result); err != nil {
				t.Errorf("%s: %s: %v", file, text, err)
			}
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("only %d events", checked)
	}
}

// A title cannot be null, in a patch neither.
func TestDocumentOfATitle(t *testing.T) {
	document := string(discoverDocument(methodTable(), "test"))
	if strings.Contains(document, `"name":"title","schema":{"type":["null","string"]`) || !strings.Contains(document, `"name":"title"`) {
		t.Error("the document allows a title that is null")
	}
}
