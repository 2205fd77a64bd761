package schema

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestOperationJSON(t *testing.T) {
	for _, want := range []string{
		`{"op":"create","title":"x"}`,
		`{"op":"create","title":"x","description":"d","status":"done","priority":"low","complexity":"epic","assigned_to":"a","dependencies":["b"],"metadata":{"k":1.0},"id":"c"}`,
		`{"op":"update","id":"a","title":"x","description":null,"metadata":{"k":null},"expected_version":3}`,
		`{"op":"delete","id":"a"}`,
		`{"op":"delete","id":"a","expected_version":0}`,
	} {
		var op Operation
		if err := json.Unmarshal([]byte(want), &op); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		got, err := json.Marshal(op)
		if err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
		if n := count(op.Create != nil, op.Update != nil, op.Delete != nil); n != 1 {
			t.Errorf("%s: %d of the three are set", want, n)
		}
	}
	for _, text := range []string{`null`, `[]`, `{}`, `{"op":"move"}`, `{"op":"delete","title":"x"}`} {
		if err := json.Unmarshal([]byte(text), new(Operation)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// A change that another machine gets as JSON is the same change.
func TestChangeJSON(t *testing.T) {
	p, err := decoded[ApplyParams](`{"operations":[{"op":"create","title":"x","id":"c","metadata":{"k":"é"}},
		{"op":"update","id":"a","title":"y","assigned_to":null},{"op":"delete","id":"b","expected_version":3}]}`)
	if err != nil {
		t.Fatal(err)
	}
	change := Change{At: 5, Origin: OriginRPC, Actor: "anna", Source: 1 << 52, Operations: p.Operations, Transaction: true}
	encoded, err := json.Marshal(change)
	if err != nil {
		t.Fatal(err)
	}
	var again Change
	if err := json.Unmarshal(encoded, &again); err != nil {
		t.Fatal(err)
	}
	again.Operations[0].Create.Dependencies = change.Operations[0].Create.Dependencies // nil or empty
	if !reflect.DeepEqual(again, change) {
		second, _ := json.Marshal(again)
		t.Errorf("got  %s\nwant %s", second, encoded)
	}
}

func TestOperationTaskID(t *testing.T) {
	p, err := decoded[ApplyParams](`{"operations":[{"op":"create","title":"x","id":"a"},{"op":"update","id":"b"},{"op":"delete","id":"c"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a", "b", "c"} {
		if got := p.Operations[i].TaskID(); got != want {
			t.Errorf("%d: %s", i, got)
		}
	}
}
