package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDraftLimits(t *testing.T) {
	repeat := strings.Repeat
	for _, test := range []struct {
		name  string
		draft Draft
		field string // "" where it is accepted
	}{
		{"title of 500 characters", Draft{Title: repeat("😀", 500)}, ""},
		{"title of 501 characters", Draft{Title: repeat("a", 501)}, "title"},
		{"no title", Draft{}, "title"},
		{"title of white space", Draft{Title: " \t\n\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"}, "title"},
		{"title of a zero width space, which is none", Draft{Title: "\u200b"}, ""},
		{"title with NUL", Draft{Title: "a\x00"}, "title"},
		{"description of 65536 bytes", Draft{Title: "x", Description: new(repeat("ä", 32768))}, ""},
		{"description of 65537 bytes", Draft{Title: "x", Description: new(repeat("ä", 32768) + "a")}, "description"},
		{"empty description", Draft{Title: "x", Description: new("")}, ""},
		{"description with NUL", Draft{Title: "x", Description: new("\x00")}, "description"},
		{"assignee of 128 characters", Draft{Title: "x", AssignedTo: new(repeat("é", 128))}, ""},
		{"assignee of 129 characters", Draft{Title: "x", AssignedTo: new(repeat("e", 129))}, "assigned_to"},
		{"empty assignee", Draft{Title: "x", AssignedTo: new("")}, "assigned_to"},
		{"assignee with NUL", Draft{Title: "x", AssignedTo: new("a\x00b")}, "assigned_to"},
		{"id of 128 characters", Draft{Title: "x", ID: repeat("a", 128)}, ""},
		{"id of 129 characters", Draft{Title: "x", ID: repeat("a", 129)}, "id"},
		{"id of all kinds", Draft{Title: "x", ID: "AZaz09._:-"}, ""},
		{"id with a space", Draft{Title: "x", ID: "a b"}, "id"},
		{"id with a letter", Draft{Title: "x", ID: "ä"}, "id"},
		{"id that is not UTF-8", Draft{Title: "x", ID: "\xff"}, "id"},
		{"status", Draft{Title: "x", Status: "Todo"}, "status"},
		{"priority", Draft{Title: "x", Priority: "urgent"}, "priority"},
		{"complexity", Draft{Title: "x", Complexity: "hard"}, "complexity"},
		{"256 dependencies", Draft{Title: "x", Dependencies: numbered(256)}, ""},
		{"257 dependencies", Draft{Title: "x", Dependencies: numbered(257)}, "dependencies"},
		{"a dependency twice", Draft{Title: "x", Dependencies: []string{"a", "b", "a"}}, "dependencies[2]"},
		{"an empty dependency", Draft{Title: "x", Dependencies: []string{""}}, "dependencies[0]"},
	} {
		err := test.draft.Normalize()
		if test.field == "" && err != nil || test.field != "" && (err == nil || err.(*Error).Data.Field != test.field) {
			t.Errorf("%s: %v", test.name, err)
		}
		patch := patchOf(test.draft)
		if test.draft.ID != "" {
			continue
		}
		if got := patch.Normalize(); (got == nil) != (err == nil) || err != nil && got.Error() != err.Error() {
			t.Errorf("%s as a patch: %v, as a draft: %v", test.name, got, err)
		}
	}
}

func numbered(n int) (ids []string) {
	for i := range n {
		ids = append(ids, strings.Repeat("x", i/100+1)+string(rune('a'+i%100/10))+string(rune('a'+i%10)))
	}
	return ids
}

// patchOf sets what d has.
func patchOf(d Draft) Patch {
	p := Patch{Title: Some(d.Title)}
	set := func(o *Optional[string], s *string) {
		if s != nil {
			*o = Some(*s)
		}
	}
	set(&p.Description, d.Description)
	set(&p.AssignedTo, d.AssignedTo)
	p.Status, p.Priority, p.Complexity = Some(d.Status), Some(d.Priority), Some(d.Complexity)
	if d.Dependencies != nil {
		p.Dependencies = Some(d.Dependencies)
	}
	return p
}

func TestDraftDefaults(t *testing.T) {
	d := Draft{Title: "x", ID: "a"}
	if err := d.Normalize(); err != nil {
		t.Fatal(err)
	}
	task := d.Task(12)
	want := `{"id":"a","title":"x","description":null,"status":"todo","priority":"medium","complexity":"moderate",` +
		`"assigned_to":null,"dependencies":[],"metadata":{},"created_at":12,"updated_at":12,"version":0,"ready":false,"leased_by":null}`
	if got := string(task.AppendJSON(nil)); got != want {
		t.Error(got)
	}
}

func TestRank(t *testing.T) {
	for i, p := range Priorities() {
		if p.Rank() != i {
			t.Errorf("%s: %d", p, p.Rank())
		}
	}
	if Priority("urgent").Rank() != -1 {
		t.Error("a word that is no priority has a rank")
	}
}

// A lone surrogate escape becomes U+FFFD; every other character comes back.
func TestTextComesBack(t *testing.T) {
	for sent, want := range map[string]string{
		`"\ud800"`: "\ufffd", `"\udc00\ud800x"`: "\ufffd\ufffdx", `"\ud83d\ude00"`: "😀", `"a\/b\u2028\u007f\ufeff"`: "a/b\u2028\u007f\ufeff",
		`"<&>\u0001\b\f"`: "<&>\x01\b\f", `"\ud83d\u0041"`: "\ufffdA",
	} {
		d, err := decoded[Draft](`{"title":` + sent + `,"description":` + sent + `,"assigned_to":` + sent + `}`)
		if err != nil || d.Title != want || *d.Description != want || *d.AssignedTo != want {
			t.Errorf("%s: %+q, %v", sent, d.Title, err)
		}
	}
	check(t, decoded[Draft], []struct{ params, field, rule string }{
		{`{"title":"a\u0000b"}`, "title", noNULRule},
		{`{"title":"x","description":"\u0000"}`, "description", noNULRule},
		{`{"title":"\u3000\u00a0"}`, "title", titleRule},
	})
}

// anyText generates text that is unkind to encoders, not always UTF-8.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "\"\\/", "\x00\x01\x1f\x7f", "<script>&\u2028\u2029", "\xff\xfe", "a\xed\xa0\x80b", "\ufffd", "😀", "\xf0\x9f\x98"}),
	)
}

func anyTask() *rapid.Generator[*Task] {
	return rapid.Custom(func(t *rapid.T) *Task {
		return &Task{
			ID: anyText().Draw(t, "id"), Title: anyText().Draw(t, "title"),
			Description:  rapid.Ptr(anyText(), true).Draw(t, "description"),
			Status:       rapid.SampledFrom(Statuses()).Draw(t, "status"),
			Priority:     rapid.SampledFrom(Priorities()).Draw(t, "priority"),
			Complexity:   rapid.SampledFrom(Complexities()).Draw(t, "complexity"),
			AssignedTo:   rapid.Ptr(anyText(), true).Draw(t, "assigned_to"),
			Dependencies: rapid.SliceOfN(anyText(), 0, 3).Draw(t, "dependencies"),
			Metadata:     json.RawMessage(rapid.SampledFrom([]string{`{}`, `{"k":1.0}`, `{"b":[null],"a":"\u00e9"}`}).Draw(t, "metadata")),
			CreatedAt:    rapid.Int64().Draw(t, "created_at"), UpdatedAt: rapid.Int64().Draw(t, "updated_at"),
			Version: rapid.Int64().Draw(t, "version"), Ready: rapid.Bool().Draw(t, "ready"),
			LeasedBy: rapid.Ptr(anyText(), true).Draw(t, "leased_by"),
		}
	})
}

// AppendJSON writes what encoding/json would, in its own spelling.
func TestTaskJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := anyTask().Draw(t, "task")
		got := task.AppendJSON([]byte("before"))[len("before"):]
		standard, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ParseTask(got)
		if err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		b, _ := ParseTask(standard)
		b.Metadata = task.Metadata // encoding/json escapes in it
		if len(task.Dependencies) == 0 {
			b.Dependencies = a.Dependencies // nil or empty
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("got  %s\nwant %s", got, standard)
		}
		if again := a.AppendJSON(nil); string(again) != string(got) {
			t.Fatalf("got  %s\nthen %s", got, again)
		}
	})
}

// AppendPrevious and Before are inverse, and leave both tasks alone.
func TestPreviousAndBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, now := anyTask().Draw(t, "old"), anyTask().Draw(t, "new")
		old, _ = ParseTask(old.AppendJSON(nil)) // as stored
		now, _ = ParseTask(now.AppendJSON(nil))
		now.ID, now.CreatedAt = old.ID, old.CreatedAt // which no change changes
		if rapid.Bool().Draw(t, "only one field changes") {
			one := *old
			one.AssignedTo, one.Version = now.AssignedTo, now.Version
			now = &one
		}
		oldJSON, nowJSON := string(old.AppendJSON(nil)), string(now.AppendJSON(nil))
		previous, changed := AppendPrevious([]byte("before"), old, now)
		previous = previous[len("before"):]
		if changed != (string(previous) != "{}") {
			t.Fatalf("changed is %v: %s", changed, previous)
		}
		back, err := now.Before(previous)
		if err != nil {
			t.Fatal(err)
		}
		if back.Version != now.Version || back.UpdatedAt != now.UpdatedAt {
			t.Fatalf("version %d, updated_at %d", back.Version, back.UpdatedAt)
		}
		back.Version, back.UpdatedAt = old.Version, old.UpdatedAt
		if got := string(back.AppendJSON(nil)); got != oldJSON {
			t.Fatalf("got  %s\nwant %s", got, oldJSON)
		}
		if string(now.AppendJSON(nil)) != nowJSON || string(old.AppendJSON(nil)) != oldJSON {
			t.Fatal("a task was changed")
		}
	})
}

func TestBefore(t *testing.T) {
	task := Task{ID: "a", Metadata: json.RawMessage("{}"), Dependencies: []string{"x"}}
	for _, previous := range []string{"", "{}"} {
		if old, err := task.Before([]byte(previous)); err != nil || !reflect.DeepEqual(*old, task) {
			t.Errorf("%q: %+v, %v", previous, old, err)
		}
	}
	if _, err := task.Before([]byte(`{"title":7}`)); err == nil {
		t.Error("what is no previous value is accepted")
	}
	if _, err := ParseTask([]byte(`{`)); err == nil {
		t.Error("what is no document is accepted")
	}
}

func BenchmarkTaskAppendJSON(b *testing.B) {
	task := Task{
		ID: "0190a5c0-7000-7000-8000-000000000001", Title: "Replace the pump of the cooling circuit in hall 3",
		Description: new(strings.Repeat("words of text ", 20)), Status: Todo, Priority: High, Complexity: Moderate,
		AssignedTo: new("maintenance-team"), Dependencies: []string{"0190a5c0-7000-7000-8000-000000000002"},
		Metadata:  json.RawMessage(`{"site":"plant 4","cost":1250.5,"tags":["water","urgent"]}`),
		CreatedAt: 1_700_000_000_000, UpdatedAt: 1_700_000_000_000, Version: 123456,
	}
	buffer := task.AppendJSON(nil)
	b.SetBytes(int64(len(buffer)))
	b.ReportAllocs()
	for b.Loop() {
		buffer = task.AppendJSON(buffer[:0])
	}
}

func TestParseTask(t *testing.T) {
	whole := Task{
		ID: "a", Title: "\u2028 \"t\"", Description: new("line\n"), Status: Blocked, Priority: Critical, Complexity: Epic,
		AssignedTo: new("ann"), Dependencies: []string{"b", "c"}, Metadata: []byte(`{"z":1.50,"a":[{}]}`),
		CreatedAt: 1, UpdatedAt: 2, Version: 3, Ready: true, LeasedBy: new("ann"),
	}
	for _, task := range []Task{whole, {ID: "b", Dependencies: []string{}, Metadata: []byte(`{}`)}} {
		got, err := ParseTask(task.Document())
		if err != nil || !reflect.DeepEqual(got, &task) {
			t.Errorf("%+v, %v, want %+v", got, err, task)
		}
	}
	if got, err := ParseTask([]byte(` {"id":"a","since_version_9":[{"x":"}"}],"version":7}`)); err != nil || got.ID != "a" || got.Version != 7 {
		t.Errorf("with a member of a newer server: %+v, %v", got, err)
	}
	for _, document := range []string{"", "null", "[]", `{"id":"a"`, `{"id":1}`, `{"version":"1"}`, `{"version":1.5}`} {
		if got, err := ParseTask([]byte(document)); err == nil || CodeOf(err) != CodeInternal {
			t.Errorf("%q: %+v, %v", document, got, err)
		}
	}
}

func BenchmarkParseTask(b *testing.B) {
	task := Task{
		ID: "0190a5c0-7000-7000-8000-000000000001", Title: "Replace the pump", Description: new(strings.Repeat("words of text ", 20)),
		Status: Todo, Priority: High, Complexity: Moderate, AssignedTo: new("maintenance"), Dependencies: []string{"a"},
		Metadata: []byte(`{"site":"plant 4","cost":1250.5,"tags":["water","urgent"]}`), CreatedAt: 1795465380804, UpdatedAt: 1795465380804, Version: 12345,
	}
	document := task.Document()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTask(document); err != nil {
			b.Fatal(err)
		}
	}
}
