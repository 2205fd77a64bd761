package rpc

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/google/jsonschema-go/jsonschema"
)

// FuzzParams gives any JSON to a method as its params. What the method takes is
// valid by the schemas of the OpenRPC document, and so is the result; what it
// refuses breaks them, or one of the rules that they do not tell.
func FuzzParams(f *testing.F) {
	table := methodTable()
	methods := make([]*checkedMethod, len(table))
	for i := range table {
		methods[i] = newCheckedMethod(&table[i])
		f.Add(uint8(i), []byte(`[{}]`))
	}
	for _, bound := range []string{
		`{"limit":0,"debounce_ms":0}`, `{"limit":1}`, `{"limit":1000}`, `{"limit":1001,"debounce_ms":60000}`, `{"debounce_ms":60001}`,
		`{"before":"end","limit":2}`, `{"before":"end","since":"start"}`,
		`{"batch":{"max":1,"wait_ms":0}}`, `{"batch":{"max":1000,"wait_ms":60000}}`, `{"batch":{"max":0,"wait_ms":-1}}`, `{"batch":{}}`,
		`{"operations":[]}`, `{"title":"x","id":""}`, `{"title":"x","metadata":null,"dependencies":null}`, `{"filter":{"ids":[],"text":""}}`,
		`{"filter":{"assigned_to":[]}}`, `{"filter":{"assigned_to":[` + strings.Repeat("null,", 999) + `null]}}`,
		`{"filter":{"ids":[` + strings.Repeat(`"a",`, 1000) + `"a"]}}`,
	} {
		var object map[string]any
		check(f, json.Unmarshal([]byte(bound), &object))
		for i, m := range methods {
			if slices.ContainsFunc(m.names, func(name string) bool { return object[name] != nil }) {
				f.Add(uint8(i), []byte(bound))
			}
		}
	}
	for _, message := range slices.Concat(transcripts(f)...) {
		var request struct {
			Method string
			Params json.RawMessage
		}
		_ = json.Unmarshal([]byte(message), &request)
		if i := slices.IndexFunc(table, func(m method) bool { return m.name == request.Method }); i >= 0 && request.Params != nil {
			f.Add(uint8(i), []byte(request.Params))
		}
	}
	d := start(f)
	p := d.connect()
	p.call("task.apply", `{"operations":[{"op":"create","title":"one"},{"op":"create","title":"two","dependencies":["t1"]},
		{"op":"update","id":"t1","status":"done"},{"op":"create","title":"gone"},{"op":"delete","id":"t3"}]}`)
	var page schema.ListResult
	check(f, json.Unmarshal([]byte(p.call("task.list", `{"limit":1}`)), &page))
	fill := strings.NewReplacer("EPOCH", d.emitter.Epoch(), `"PAGE"`, strconv.Quote(*page.NextPageToken))
	s := newSession(d.Server, 1)
	f.Cleanup(s.cancel)
	f.Fuzz(func(t *testing.T, i uint8, params []byte) {
		params = []byte(fill.Replace(string(params)))
		var value any
		if !utf8.Valid(params) || json.Unmarshal(params, &value) != nil {
			t.Skip() // no JSON, or a number that no float64 holds
		}
		methods[int(i)%len(methods)].check(t, s, params, value)
	})
}

// transcripts gives what is sent in each of the transcripts.
func transcripts(t testing.TB) (all [][]string) {
	t.Helper()
	for _, file := range must(filepath.Glob("testdata/*.txt")) {
		var sent []string
		for _, text := range strings.Split(string(must(os.ReadFile(file))), "\n") {
			if m := line.FindStringSubmatch(text); m != nil && m[2] == "-->" {
				sent = append(sent, m[3])
			}
		}
		all = append(all, sent)
	}
	return all
}

// checkedMethod is a method and what the OpenRPC document says of it.
type checkedMethod struct {
	*method
	names          []string
	params, result *jsonschema.Resolved
}

func newCheckedMethod(m *method) *checkedMethod {
	var d struct {
		Params []struct {
			Name     string
			Required bool
			Schema   *jsonschema.Schema
		}
		Result struct{ Schema *jsonschema.Schema }
	}
	if err := json.Unmarshal(must(json.Marshal(describe(m))), &d); err != nil {
		panic(err)
	}
	none := &jsonschema.Schema{Not: &jsonschema.Schema{}}
	object := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: none}
	c := &checkedMethod{method: m, result: must(d.Result.Schema.Resolve(nil))}
	for _, p := range d.Params {
		c.names = append(c.names, p.Name)
		object.Properties[p.Name] = p.Schema
		if p.Required {
			object.Required = append(object.Required, p.Name)
		}
	}
	c.params = must(object.Resolve(nil))
	return c
}

// untold are the rules that the schemas do not tell.
var untold = []string{
	"must be 1 to 500 characters, not only white space",
	"must be 1 to 128 characters of A-Z a-z 0-9 . _ : -",
	"must not contain U+0000",
	"must not contain duplicates",
	"must not be given together with since",
	"must be a cursor that this server gave",
	"must be the next_page_token of a list in the same order",
	"must be a subscription of this connection",
	"is required", // of an id that is ""
	"is required: the name of who claims",
	"needs a WebSocket connection",
}

// check compares what a method says of params with what the schemas say of value,
// which is their meaning.
func (c *checkedMethod) check(t *testing.T, s *session, params []byte, value any) {
	t.Helper()
	list, isList := value.([]any)
	if _, isObject := value.(map[string]any); !isList && !isObject {
		return
	}
	refused := c.try(t, s, params)
	if len(list) == 1 {
		if _, named := list[0].(map[string]any); named {
			value, list = list[0], nil
		}
	}
	if len(list) > len(c.names) {
		if refused == nil {
			t.Fatalf("%s takes %s", c.name, params)
		}
		return
	}
	object := named(value, c.names)
	switch broken := c.params.Validate(object); {
	case broken != nil && refused == nil:
		t.Fatalf("%s takes %s: %v", c.name, params, broken)
	case broken == nil:
		// Written anew, no member is there twice and none is left out.
		refused = c.try(t, s, must(json.Marshal(object)))
		if refused != nil && !slices.Contains(untold, refused.Data.Rule) {
			t.Fatalf("%s does not take %s: %v", c.name, params, refused)
		}
	}
}

// try gives the error with which a method refuses params. A write is not made.
func (c *checkedMethod) try(t *testing.T, s *session, params []byte) *schema.Error {
	t.Helper()
	var result json.RawMessage
	var err error
	if c.write != nil {
		_, err = c.write(s, &wire.Request{ID: json.RawMessage("1"), Method: c.name, Params: params})
	} else {
		result, err = c.read(s, &wire.Request{Method: c.name, Params: params})
	}
	refused, ok := errors.AsType[*schema.Error](err)
	switch {
	case err == nil && !c.needsWebSocket && c.write == nil:
		var value any
		check(t, json.Unmarshal(result, &value))
		if err := c.result.Validate(value); err != nil {
			t.Fatalf("%s %s gives %s: %v", c.name, params, result, err)
		}
	case err == nil:
	case !ok || refused.Code == schema.CodeInternal:
		t.Fatalf("%s %s: %v", c.name, params, err)
	case refused.Code == schema.CodeInvalidParams:
		if refused.Data.Field == "" || refused.Data.Rule == "" || !utf8.ValidString(refused.Message) {
			t.Fatalf("%s %s: %#v", c.name, params, refused)
		}
		return refused
	}
	return nil
}
