package schema

import (
	"encoding/json"
	"testing"
)

func decodeExported(line string) (*Draft, error) { return DecodeExported([]byte(line)) }

func TestDecodeExported(t *testing.T) {
	task := Task{
		ID: "a", Title: "t", Description: new("d"), Status: InProgress, Priority: High, Complexity: Epic,
		AssignedTo: new("x"), Dependencies: []string{"b", "c"}, Metadata: json.RawMessage(`{"z":1.0,"a":[1e5]}`),
		CreatedAt: 5, UpdatedAt: 6, Version: 7, Ready: true, LeasedBy: new("x"),
	}
	draft, err := DecodeExported(append([]byte(" "), task.AppendJSON(nil)...))
	if err != nil {
		t.Fatal(err)
	}
	// All of it comes back but what the server makes anew.
	task.UpdatedAt, task.Version, task.Ready, task.LeasedBy = 100, 0, false, nil
	again := draft.Task(100)
	if got, want := string(again.AppendJSON(nil)), string(task.AppendJSON(nil)); got != want {
		t.Errorf("the task is\n%s, want\n%s", got, want)
	}
	draft, err = DecodeExported([]byte(`{"title":"t","created_at":null}`))
	if err != nil || draft.ID != "" {
		t.Fatalf("%+v, %v", draft, err)
	}
	if got := draft.Task(100); got.CreatedAt != 100 || got.Status != Todo {
		t.Errorf("defaults: %+v", got)
	}
}

func TestDecodeExportedRefuses(t *testing.T) {
	const timeRule = "must be Unix milliseconds, from 0 to the end of the year 9999"
	check(t, decodeExported, []struct{ params, field, rule string }{
		{`[{"title":"x"}]`, "task", "must be an object"},
		{`"title"`, "task", "must be an object"},
		{`{}`, "title", titleRule},
		{`{"title":"x","titel":"y"}`, "titel", "is not known; did you mean title?"},
		{`{"title":"x","verison":1}`, "verison", "is not known; did you mean version?"},
		{`{"title":"x","Created":1}`, "Created", "is not known"},
		{`{"title":"x","status":"doing"}`, "status", ""},
		{`{"title":"x","created_at":-1}`, "created_at", timeRule},
		{`{"title":"x","created_at":253402300800000}`, "created_at", timeRule},
		{`{"title":"x","created_at":1.5}`, "created_at", "must be an integer"},
		{`{"title":"x","created_at":"2020"}`, "created_at", "must be an integer"},
		{`{"title":"x","dependencies":["a","a"]}`, "dependencies[1]", noDuplicatesRule},
	})
	if _, err := decodeExported(`{"title":"x","created_at":253402300799999}`); err != nil {
		t.Error(err)
	}
	if _, err := decoded[Draft](`{"title":"x","created_at":1}`); err == nil {
		t.Error("task.create takes a created_at")
	}
}
