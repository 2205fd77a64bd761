package schema

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPatchNulls(t *testing.T) {
	task := Task{
		ID: "a", Title: "t", Description: new("d"), Status: Blocked, Priority: High, Complexity: Epic, AssignedTo: new("x"),
		Dependencies: []string{"b"}, Metadata: json.RawMessage(`{"k":1}`), Version: 3, LeasedBy: new("y"),
	}
	before := string(task.AppendJSON(nil))
	p, err := decoded[UpdateParams](`{"id":"a","description":null,"assigned_to":null,"dependencies":null,"metadata":null}`)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := p.Apply(&task)
	if err != nil || patched.Description != nil || patched.AssignedTo != nil || patched.Dependencies == nil ||
		len(patched.Dependencies) != 0 || string(patched.Metadata) != "{}" || patched.Title != "t" || *patched.LeasedBy != "y" {
		t.Errorf("%s, %v", patched.AppendJSON(nil), err)
	}
	for _, field := range []string{"title", "status", "priority", "complexity"} {
		p, err := decoded[UpdateParams](`{"id":"a","` + field + `":null}`)
		if err == nil {
			err = p.Patch.Normalize()
		}
		if e, ok := err.(*Error); !ok || e.Data.Field != field || e.Data.Rule != "must not be null" {
			t.Errorf("%s: %v", field, err)
		}
	}
	if after := string(task.AppendJSON(nil)); after != before {
		t.Errorf("the task itself became %s", after)
	}
}

// The last of two members with one name counts, for null as for values.
func TestPatchMemberTwice(t *testing.T) {
	for params, want := range map[string]string{
		`{"id":"a","dependencies":["x"],"dependencies":null}`:  `[]`,
		`{"id":"a","dependencies":null,"dependencies":["x"]}`:  `["x"]`,
		`{"id":"a","dependencies":["y"],"dependencies":["x"]}`: `["x"]`,
	} {
		p, err := decoded[UpdateParams](params)
		if err == nil {
			err = p.Patch.Normalize()
		}
		if err != nil {
			t.Fatal(err)
		}
		patched, _ := p.Apply(&Task{Dependencies: []string{"old"}})
		if got := string(AppendStrings(nil, patched.Dependencies)); got != want {
			t.Errorf("%s: %s", params, got)
		}
	}
}

func TestPatchChangesNothing(t *testing.T) {
	d := Draft{Title: "x", ID: "a", Description: new("d"), Metadata: json.RawMessage(`{"a":1.0}`)}
	if err := d.Normalize(); err != nil {
		t.Fatal(err)
	}
	task := d.Task(1)
	p, err := decoded[UpdateParams](`{"id":"a","title":"x","description":"d","status":"todo","assigned_to":null,` +
		`"dependencies":[],"metadata":{"a":1.0,"b":null}}`)
	if err == nil {
		err = p.Patch.Normalize()
	}
	if err != nil {
		t.Fatal(err)
	}
	patched, err := p.Apply(&task)
	if err != nil {
		t.Fatal(err)
	}
	if previous, changed := AppendPrevious(nil, &task, patched); changed {
		t.Errorf("previous is %s", previous)
	}
}

func TestMergedMetadataIsTooLarge(t *testing.T) {
	half := strings.Repeat("x", MaxMetadata/2)
	_, err := patched(`{"a":"`+half+`"}`, `{"b":"`+half+`"}`)
	if e, ok := err.(*Error); !ok || e.Code != CodeInvalidParams || e.Data.Field != "metadata" || e.Data.Rule != metadataSizeRule {
		t.Error(err)
	}
	if _, err := patched(`{"a":"`+half+`"}`, `{"a":null,"b":"`+half+`"}`); err != nil {
		t.Error(err)
	}
}

func TestPatchJSON(t *testing.T) {
	for _, want := range []string{
		`{"id":"a"}`,
		`{"id":"a","title":"x","description":null,"status":"done","expected_version":0}`,
		`{"id":"a","description":"","dependencies":[],"metadata":{"k":null}}`,
		`{"id":"a","priority":"low","complexity":"epic","assigned_to":null,"dependencies":null,"metadata":null}`,
	} {
		p, err := decoded[UpdateParams](want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(p)
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
		var again UpdateParams
		if err := json.Unmarshal(got, &again); err != nil {
			t.Error(err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != want {
			t.Errorf("after a round trip %s, %v", second, err)
		}
	}
}
