package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// decoded decodes params into a new P and validates it as rpc does.
func decoded[P any](params string) (*P, error) {
	p := new(P)
	if err := Decode([]byte(params), p); err != nil {
		return p, err
	}
	switch v := any(p).(type) {
	case interface{ Normalize() error }:
		return p, v.Normalize()
	case interface{ Validate() error }:
		return p, v.Validate()
	}
	return p, nil
}

func TestDecodeForms(t *testing.T) {
	version := int64(5)
	want := DeleteParams{ID: "a", ExpectedVersion: &version}
	for _, params := range []string{
		`{"id":"a","expected_version":5}`, `["a",5]`, `[{"id":"a","expected_version":5}]`,
		` { "expected_version" : 5.0 , "id" : "\u0061" } `, "\n[ \"a\" ,\t5e0 ]\r\n", ` [ { "id":"a","expected_version":0.5e1} ] `,
		`{"id":"b","id":"a","expected_version":null,"expected_version":5}`, `{"\u0069d":"a","expected_version":5}`,
	} {
		if p, err := decoded[DeleteParams](params); err != nil || !reflect.DeepEqual(*p, want) {
			t.Errorf("%s: %+v, %v", params, p, err)
		}
	}
	for _, params := range []string{"", "{}", "[]", "[null]", "[null,null]", `{"expected_version":null}`, "[{}]", " [ ] "} {
		if p, err := decoded[DeleteParams](params); err != nil || !reflect.DeepEqual(*p, DeleteParams{}) {
			t.Errorf("%s: %+v, %v", params, p, err)
		}
	}
}

func TestDecodePositions(t *testing.T) {
	d, err := decoded[Draft](`["t",null,"done",null,"epic","x",["d"],{"k":1},"id-1"]`)
	if err != nil || d.Title != "t" || d.Description != nil || d.Status != Done || d.Priority != Medium ||
		d.Complexity != Epic || *d.AssignedTo != "x" || d.Dependencies[0] != "d" || string(d.Metadata) != `{"k":1}` || d.ID != "id-1" {
		t.Errorf("draft: %+v, %v", d, err)
	}
	u, err := decoded[UpdateParams](`["a","t",null,"done","low","epic","x",[],{"k":1},7]`)
	if err != nil || u.ID != "a" || u.Title != Some("t") || u.Description != Null[string]() || u.Status != Some(Done) ||
		*u.ExpectedVersion != 7 || !u.Dependencies.Set || string(u.Metadata.Value) != `{"k":1}` {
		t.Errorf("update: %+v, %v", u, err)
	}
	s, err := decoded[SubscribeParams](`[null,"start",false,0,true,{"max":1,"wait_ms":0}]`)
	if err != nil || s.Filter != nil || *s.Since != "start" || *s.Snapshot || *s.DebounceMS != 0 || !*s.IncludeTask || s.Batch.Max != 1 {
		t.Errorf("subscribe: %+v, %v", s, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	type test = struct{ params, field, rule string }
	check(t, decoded[GetParams], []test{
		{`"a"`, "params", "must be an object or an array"},
		{`7`, "params", "must be an object or an array"},
		{`["a",true,"b"]`, "params", "must be at most 2 by position"},
		{`["a","b"]`, "fresh", "must be true or false"},
		{`{"id":"a","fresh":1}`, "fresh", "must be true or false"},
		{`{"id":7}`, "id", "must be a string"},
		{`{"id":null}`, "id", "must be a string"},
		{`[["a"]]`, "id", "must be a string"},
		{`[{"id":"a"},{},{}]`, "params", "must be at most 2 by position"},
		{`{"ID":"a"}`, "ID", "is not known; did you mean id?"},
		{`{"id":"a","nonsense":1}`, "nonsense", "is not known"},
		{`{"":1}`, `""`, "is not known"},
		{`{"` + strings.Repeat("ä", 60) + `":1}`, strings.Repeat("ä", 50) + "…", "is not known"},
	})
	check(t, decoded[Draft], []test{
		{`{"titel":"x"}`, "titel", "is not known; did you mean title?"},
		{`{"assignedTo":"x"}`, "assignedTo", "is not known; did you mean assigned_to?"},
		{`{"title":"x","version":1}`, "version", "is not known"},
		{`{"title":"x","status":"dnoe"}`, "status", "must be one of todo, in_progress, blocked, done; did you mean done?"},
		{`{"title":"x","status":""}`, "status", "must not be empty"},
		{`["x",null,""]`, "status", "must not be empty"},
		{`{"title":"x","id":""}`, "id", "must not be empty"},
		{`{"title":"x","priority":3}`, "priority", "must be a string"},
		{`{"title":"x","dependencies":"a"}`, "dependencies", "must be an array"},
		{`{"title":"x","dependencies":["a",null]}`, "dependencies[1]", "must be a string"},
		{`{"title":"x","metadata":[]}`, "metadata", "must be a JSON object"},
		{`{"title":"x","description":false}`, "description", "must be a string"},
	})
	check(t, decoded[UpdateParams], []test{
		{`{"id":"a","status":7}`, "status", "must be a string"},
		{`{"id":"a","expected_version":"7"}`, "expected_version", "must be an integer"},
		{`{"id":"a","expected_version":1.5}`, "expected_version", "must be an integer"},
		{`{"id":"a","expected_version":true}`, "expected_version", "must be an integer"},
		{`{"id":"a","expected_version":9223372036854775808}`, "expected_version", "must be an integer"},
		{`{"id":"a","expected_version":9007199254740993.0}`, "expected_version", "must be an integer"},
		{`{"id":"a","expected_version":1e400}`, "expected_version", "must be an integer"},
		{`{"id":"a","dependencies":{"x":1}}`, "dependencies", "must be an array"},
	})
	check(t, decoded[ListParams], []test{
		{`{"filter":[]}`, "filter", "must be an object"},
		{`{"filter":{"status":"todo"}}`, "filter.status", "must be an array"},
		{`{"filter":{"status":["todo",1]}}`, "filter.status[1]", "must be a string"},
		{`{"filter":{"status":["tood"]}}`, "filter.status", "must be one of todo, in_progress, blocked, done; did you mean todo?"},
		{`{"filter":{"assigned_to":[null,3]}}`, "filter.assigned_to[1]", "must be a string"},
		{`{"filter":{"ready":"yes"}}`, "filter.ready", "must be true or false"},
		{`{"filter":{"change_types":[]}}`, "filter.change_types", "is not known"},
		{`{"filter":{"priority_atleast":"low"}}`, "filter.priority_atleast", "is not known; did you mean priority_at_least?"},
		{`{"order":"-tilte"}`, "order", ""},
		{`{"limit":0}`, "limit", "must be 1 to 1000"},
		{`{"limit":1001}`, "limit", "must be 1 to 1000"},
	})
	check(t, decoded[SubscribeParams], []test{
		{`{"batch":{"max":"7"}}`, "batch.max", "must be an integer"},
		{`{"batch":{"max":1001}}`, "batch.max", "must be 1 to 1000"},
		{`{"batch":{}}`, "batch.max", "must be 1 to 1000"},
		{`{"batch":{"max":1,"wait_ms":60001}}`, "batch.wait_ms", "must be 0 to 60000"},
		{`{"debounce_ms":-1}`, "debounce_ms", "must be 0 to 60000"},
		{`{"since":"start","snapshot":true}`, "snapshot", "must not be given together with since"},
		{`{"since":""}`, "since", "must be a cursor that this server gave"},
		{`{"filter":{"change_types":["snapshot"]}}`, "filter.change_types", ""},
		{`{"filter":{"status_changes_only":1}}`, "filter.status_changes_only", "must be true or false"},
	})
}

// check decodes what is to be refused, and how.
func check[P any](t *testing.T, decode func(string) (*P, error), tests []struct{ params, field, rule string }) {
	t.Helper()
	for _, test := range tests {
		_, err := decode(test.params)
		e, ok := err.(*Error)
		if !ok || e.Code != CodeInvalidParams || e.Data.Reason != "invalid_params" || e.Data.Field != test.field ||
			e.Data.Rule == "" || test.rule != "" && e.Data.Rule != test.rule {
			t.Errorf("%T %s: %+v", *new(P), test.params, err)
		}
	}
}

func TestDecodeOperationsRefuses(t *testing.T) {
	valid := `{"op":"create","title":"x"},{"op":"delete","id":"a"},`
	for _, test := range []struct{ operation, field, rule string }{
		{`7`, "operations[2]", "must be an object"},
		{`{}`, "operations[2].op", "must be one of create, update, delete"},
		{`{"op":"craete","title":"x"}`, "operations[2].op", "must be one of create, update, delete; did you mean create?"},
		{`{"op":null}`, "operations[2].op", "must be a string"},
		{`{"op":"create","title":"x","dependencies":[1]}`, "operations[2].dependencies[0]", "must be a string"},
		{`{"op":"create","title":"x","dependencies":["ä"]}`, "operations[2].dependencies[0]", idRule},
		{`{"op":"create","title":" "}`, "operations[2].title", titleRule},
		{`{"op":"update","id":"a","metadta":{}}`, "operations[2].metadta", "is not known; did you mean metadata?"},
		{`{"op":"update","title":"x"}`, "operations[2].id", idRule},
		{`{"op":"update","id":"a","priority":null}`, "operations[2].priority", "must not be null"},
		{`{"op":"delete","id":"a","title":"x"}`, "operations[2].title", "is not known"},
		{`{"op":"delete","id":""}`, "operations[2].id", idRule},
	} {
		_, err := decoded[ApplyParams](`{"operations":[` + valid + test.operation + `]}`)
		e, ok := err.(*Error)
		if !ok || e.Data.Field != test.field || e.Data.Rule != test.rule || e.Message != test.field+" "+test.rule {
			t.Errorf("%s: %+v", test.operation, err)
		} else if e.Data.Index == nil || *e.Data.Index != 2 {
			t.Errorf("%s: index %v", test.operation, e.Data.Index)
		}
	}
	many := strings.TrimSuffix(strings.Repeat(`{"op":"delete","id":"a"},`, 1001), ",")
	check(t, decoded[ApplyParams], []struct{ params, field, rule string }{
		{`{}`, "operations", "must be 1 to 1000 operations"},
		{`{"operations":[]}`, "operations", "must be 1 to 1000 operations"},
		{`{"operations":null}`, "operations", "must be an array"},
		{`{"operations":{}}`, "operations", "must be an array"},
		{`{"operations":[` + many + `]}`, "operations", "must be 1 to 1000 operations"},
	})
}

func TestDecodeIntegers(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "5.0": 5, "1e3": 1000, "1E+3": 1000, "50e-1": 5, "-2.5e1": -25, "-0.0": 0,
		"9007199254740993": 1<<53 + 1, "9007199254740991.0": 1<<53 - 1, "9223372036854775807": 1<<63 - 1,
	} {
		p, err := decoded[DeleteParams](`{"id":"a","expected_version":` + text + `}`)
		if err != nil || *p.ExpectedVersion != want {
			t.Errorf("%s: %v, %v", text, p.ExpectedVersion, err)
		}
	}
}

func TestDecodeNullsAreAbsent(t *testing.T) {
	p, err := decoded[ListParams](`{"filter":null,"order":null,"limit":null,"page_token":null}`)
	if err != nil || !p.Filter.IsZero() || *p.Order != ByCreatedAt || *p.Limit != DefaultLimit || p.PageToken != nil {
		t.Errorf("%+v, %v", p, err)
	}
	f, err := decoded[ListParams](`{"filter":{"status":null,"ids":null,"assigned_to":null,"text":null,"ready":null}}`)
	if err != nil || !f.Filter.IsZero() {
		t.Errorf("%+v, %v", f.Filter, err)
	}
	d, err := decoded[Draft](`{"title":"x","description":null,"assigned_to":null,"dependencies":null,"metadata":null}`)
	if err != nil || d.Description != nil || d.AssignedTo != nil || len(d.Dependencies) != 0 || string(d.Metadata) != "{}" {
		t.Errorf("%+v, %v", d, err)
	}
}

// What is decoded must not point into the frame, which is used again.
func TestDecodeCopies(t *testing.T) {
	params := []byte(`{"title":"x","metadata":{"k":"v"},"id":"a","dependencies":["b"]}`)
	var d Draft
	if err := Decode(params, &d); err != nil {
		t.Fatal(err)
	}
	for i := range params {
		params[i] = '#'
	}
	if d.Title != "x" || string(d.Metadata) != `{"k":"v"}` || d.ID != "a" || d.Dependencies[0] != "b" {
		t.Errorf("%+v", d)
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"id", "title", "status", "priority", "todo", "done"}
	for given, want := range map[string]string{
		"Title": "title", "STATUS": "status", "stauts": "status", "priorityy": "priority", "i": "id", "idd": "id",
		"": "", "x": "", "xy": "", "description": "", strings.Repeat("title", 20): "", "prio": "",
		"tood": "todo", "dnoe": "done", "don": "done", "tittel": "title", // letters that changed places are one mistake
		"foo": "", "nope": "", "deno": "", // half of a word is another word
	} {
		got := strings.TrimSuffix(strings.TrimPrefix(DidYouMean(given, words), "; did you mean "), "?")
		if got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func BenchmarkDecodeCreate(b *testing.B) {
	params, _ := json.Marshal(map[string]any{
		"title": "Replace the pump of the cooling circuit in hall 3", "description": strings.Repeat("words of text ", 20),
		"status": "todo", "priority": "high", "complexity": "moderate", "assigned_to": "maintenance-team",
		"dependencies": []string{"0190a5c0-7000-7000-8000-000000000001", "0190a5c0-7000-7000-8000-000000000002"},
		"metadata":     map[string]any{"site": "plant 4", "cost": 1250.5, "tags": []string{"water", "urgent"}},
	})
	b.SetBytes(int64(len(params)))
	b.ReportAllocs()
	for b.Loop() {
		var d Draft
		if err := Decode(params, &d); err != nil {
			b.Fatal(err)
		}
		if err := d.Normalize(); err != nil {
			b.Fatal(err)
		}
	}
}
