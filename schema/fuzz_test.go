package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDecodeParams decodes any valid JSON as the parameters of every method: it
// is taken, and means the same when it is written and read again, or refused with
// an error that names the field and the rule.
func FuzzDecodeParams(f *testing.F) {
	for _, seed := range []string{
		`{"title":"x","status":"todo","metadata":{"a":[1,"\ud800"]},"dependencies":["a","b"]}`,
		`{"id":"a","description":null,"expected_version":1e0,"assigned_to":"b"}`, `["a",5.0]`, `[{"id":"a"}]`, ` [ ] `,
		`{"operations":[{"op":"create","title":"x"},{"op":"update","id":"a","metadata":null},{"op":"delete","id":"a"}]}`,
		`{"filter":{"status":["todo"],"assigned_to":[null],"text":"x","ready":true},"order":"-title","limit":5}`,
		`{"filter":{"change_types":["created"],"status_changes_only":true},"since":"e-1","batch":{"max":1,"wait_ms":0}}`,
		`{"op":{"":[]},"operations":[[],{}]}`, `[null,[],{},"",true,-0.0]`, `{"subscription":"s1"}`, `null`, `"\u0000"`, `{"\u0000":{}}`,
		`{"id":"a","title":"<&>","dependencies":null,"metadata":{"a":null},"expected_version":9007199254740993}`,
		`{"operations":[{"op":"delete","id":"a","expected_version":1},{"op":"update","op":"create","title":"x","id":"a"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, params []byte) {
		if !json.Valid(params) || !utf8.Valid(params) {
			t.Skip()
		}
		checkParams[Draft](t, params)
		checkParams[UpdateParams](t, params)
		checkParams[GetParams](t, params)
		checkParams[DeleteParams](t, params)
		checkParams[ApplyParams](t, params)
		checkParams[ListParams](t, params)
		checkParams[HistoryParams](t, params)
		checkParams[SubscribeParams](t, params)
		checkParams[UnsubscribeParams](t, params)
		checkParams[FlushParams](t, params)
	})
}

func checkParams[P any](t *testing.T, params []byte) {
	t.Helper()
	p, err := decoded[P](string(params))
	if err != nil {
		e, ok := err.(*Error)
		if !ok || e.Code != CodeInvalidParams || e.Data.Field == "" || e.Data.Rule == "" || !utf8.ValidString(e.Message) {
			t.Fatalf("%T from %q: %#v", p, params, err)
		}
		return
	}
	var written bytes.Buffer
	encoder := json.NewEncoder(&written)
	encoder.SetEscapeHTML(false) // metadata comes back as it was sent
	if err := encoder.Encode(p); err != nil {
		t.Fatalf("%q became %+v: %v", params, p, err)
	}
	if again, err := decoded[P](written.String()); err != nil || !reflect.DeepEqual(again, p) {
		t.Fatalf("%q became %s, and then\n%+v, want\n%+v: %v", params, &written, again, p, err)
	}
}

// FuzzCursor: a text is a cursor only if it is the text of that cursor.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"e-5", "e-05", "-5", "e--5", "e-9007199254740991", "e-9007199254740992", "start", "e-5 ", "é9-0", "e_-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cursor, err := ParseCursor("since", text)
		if err != nil {
			if !errors.Is(err, Invalid("since", "")) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if cursor.String() != text || cursor.Seq < 0 || cursor.Seq > MaxSeq || slices.Contains([]byte(text), '"') {
			t.Fatalf("%q is %+v", text, cursor)
		}
		if again, err := ParseCursor("since", cursor.String()); err != nil || again != cursor {
			t.Fatalf("%q is %+v, and again %+v, %v", text, cursor, again, err)
		}
	})
}

// FuzzScan walks JSON with the functions of scan.go and with encoding/json, and
// writes any text as a JSON string.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, ` [ 1 , -0.0e+1 , true,false,null , "" ] `, `{"a":{"b":"]}\""},"\ud83d\ude00":[[],{}]}`, `"\\"`,
		"{\n\t\"a\"\r: 1e999 }", `["\\\"","\/\b\f\u0000","\ud800","\u00e9é"]`, "\xff\x1f\x7f\u2028<", `{"a":1,"a":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var back string
		quoted := AppendString(nil, string(raw))
		if err := json.Unmarshal(quoted, &back); err != nil || !utf8.Valid(quoted) || back != string([]rune(string(raw))) {
			t.Fatalf("%q was written as %s, which is %q: %v", raw, quoted, back, err)
		}
		if !json.Valid(raw) || !utf8.Valid(raw) {
			return
		}
		var want []json.Token
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		for token, err := decoder.Token(); err == nil; token, err = decoder.Token() {
			want = append(want, token)
		}
		if got := tokens(bytes.TrimSpace(raw)); !slices.Equal(got, want) {
			t.Fatalf("%q is read as\n%q, want\n%q", raw, got, want)
		}
	})
}

// tokens reads a value as json.Decoder.Token does.
func tokens(raw []byte) (all []json.Token) {
	switch raw[0] {
	case '{':
		all = append(all, json.Delim('{'))
		for m := range Members(raw) {
			all = append(append(all, string(m.Name)), tokens(m.Value)...)
		}
		return append(all, json.Delim('}'))
	case '[':
		all = append(all, json.Delim('['))
		for element := range Elements(raw) {
			all = append(all, tokens(element)...)
		}
		return append(all, json.Delim(']'))
	case '"':
		return []json.Token{string(Unquote(raw))}
	case 't', 'f':
		return []json.Token{raw[0] == 't'}
	case 'n':
		return []json.Token{nil}
	}
	return []json.Token{json.Number(raw)}
}

// FuzzDocument: a task of any texts is valid JSON and UTF-8 that holds them, and
// any patch of it does what its members say; from the event the state before can
// be restored to the byte.
func FuzzDocument(f *testing.F) {
	f.Add("a title", "text", "ann", []byte(`{"a":[1.0,{"b":null}]}`), []byte(`{"id":"a","title":"b","metadata":{"a":null,"c":{"d":null}}}`))
	f.Add("\u2028\"\\", "\x1f\n\r\t<&>", "\U0001F600", []byte(`{"\ud800":"\u0041\udc00"}`), []byte(`{"id":"a","description":null,"assigned_to":null,"dependencies":["b"]}`))
	f.Add("é", "", "x", []byte(``), []byte(`["a","t","d","done","low","epic","bob",["a","b"],{"e":1e400}]`))
	f.Add(" x ", "\ufffd", "\ufeff", []byte(`{"a":1,"a":{"b":2}}`), []byte(`{"id":"a","status":"blocked","dependencies":null,"metadata":null,"expected_version":3}`))
	f.Fuzz(func(t *testing.T, title, description, name string, metadata, patch []byte) {
		if !utf8.Valid(metadata) || !utf8.Valid(patch) {
			t.Skip() // no such message gets this far
		}
		draft := Draft{ID: "a", Title: valid(title), Description: new(valid(description)), AssignedTo: new(valid(name)), Metadata: metadata}
		if draft.Normalize() != nil {
			return
		}
		task := draft.Task(1)
		task.Version = 1
		before := members(t, &task)
		for member, want := range map[string]string{"title": valid(title), "description": valid(description), "assigned_to": valid(name)} {
			if before[member] != want {
				t.Fatalf("%s is %q, want %q", member, before[member], want)
			}
		}
		if !json.Valid(patch) {
			return
		}
		update, err := decoded[UpdateParams](string(patch))
		if err != nil {
			return
		}
		patched, err := update.Apply(&task)
		if err != nil {
			return
		}
		if got, want := members(t, patched), patchedByName(before, update); !reflect.DeepEqual(got, want) {
			t.Fatalf("patched with %s:\n%v, want\n%v", patch, got, want)
		}
		previous, changed := AppendPrevious(nil, &task, patched)
		restored, err := patched.Before(previous)
		if err != nil || !bytes.Equal(restored.AppendJSON(nil), task.AppendJSON(nil)) || changed == bytes.Equal(patched.AppendJSON(nil), task.AppendJSON(nil)) {
			t.Fatalf("previous is %s, %t: %v", previous, changed, err)
		}
	})
}

// valid makes text what can come out of a JSON string.
func valid(text string) string { return string([]rune(text)) }

// members encodes a task and reads it with encoding/json and with ParseTask.
func members(t *testing.T, task *Task) (all map[string]any) {
	t.Helper()
	encoded := task.AppendJSON(nil)
	all, _ = meaning(t, encoded).(map[string]any)
	parsed, err := ParseTask(encoded)
	if err != nil || !utf8.Valid(encoded) || !bytes.Equal(parsed.AppendJSON(nil), encoded) || len(all) != 14 {
		t.Fatalf("%q: %v", encoded, err)
	}
	return all
}

// patchedByName is what the contract says of task.update, member by member.
func patchedByName(before map[string]any, update *UpdateParams) map[string]any {
	after := maps.Clone(before)
	encoded, _ := json.Marshal(update.Patch)
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var members map[string]any
	_ = decoder.Decode(&members)
	for name, value := range members {
		switch {
		case name == "metadata" && value != nil:
			after[name] = merge(before[name], value)
		case name == "metadata":
			after[name] = map[string]any{}
		case name == "dependencies" && value == nil:
			after[name] = []any{}
		default:
			after[name] = value
		}
	}
	return after
}

// meaning reads JSON with numbers as their text.
func meaning(t *testing.T, raw []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v: %q", err, raw)
	}
	return value
}

// FuzzMetadata: what is taken is valid, in its last form and of the same meaning.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, ` {"a": 1.0e+400} `, `{"\ud800":"\\\udc00\ud83d\ude00"}`, `{"a":"\u0000"}`, `{"a":{"a":1},"a":2}`,
		strings.Repeat(`{"a":`, MaxMetadataDepth) + `0` + strings.Repeat(`}`, MaxMetadataDepth),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !utf8.Valid(raw) {
			t.Skip() // no such message gets this far
		}
		metadata, err := normalizeMetadata(raw)
		if err != nil {
			return
		}
		if !json.Valid(metadata) || !utf8.Valid(metadata) || len(metadata) > MaxMetadata ||
			slices.ContainsFunc(tokens(metadata), holdsNUL) || bytes.ContainsRune(escapes.ReplaceAll(metadata, nil), '\\') {
			t.Fatalf("%q became %q", raw, metadata)
		}
		again, err := normalizeMetadata(metadata)
		if err != nil || !bytes.Equal(again, metadata) {
			t.Fatalf("%q became %q, %v", metadata, again, err)
		}
		if len(raw) > 0 && string(raw) != "null" && !slices.Equal(tokens(bytes.TrimSpace(raw)), tokens(metadata)) {
			t.Fatalf("%q means something else than %q", metadata, raw)
		}
	})
}

// escapes are all that JSON has but half a surrogate pair.
var escapes = regexp.MustCompile(`\\(?:[^u]|u(?:[^dD]...|[dD][0-7]..|[dD][89abAB]..\\u[dD][c-fC-F]..))`)

func holdsNUL(token json.Token) bool {
	text, ok := token.(string)
	return ok && strings.Contains(text, "\x00")
}

// FuzzMergePatch compares with RFC 7396's own ten lines, and with a merge of lists
// of members for their order and for those that are there twice.
func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1,"c":[null]}}`), []byte(`{"a":{"b":null,"d":{"e":null}},"f":[{"g":null}]}`))
	f.Add([]byte(`{"a":1,"b":2,"a":{"x":3}}`), []byte(`{"a":{"y":4},"a":null,"\u0061":{"z":5}}`))
	f.Add([]byte(`{"":{"":{}}}`), []byte(`{"":{"":[]}}`))
	f.Add([]byte(`{"z":1.0,"y":1e1,"x":{"q":-0},"y":2}`), []byte(`{"n":1.50,"y":null,"x":{"p":{"o":null},"q":0.0}}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		if !utf8.Valid(target) || !utf8.Valid(patch) {
			t.Skip()
		}
		target, err1 := normalizeMetadata(target)
		patch, err2 := normalizeMetadata(patch)
		if err1 != nil || err2 != nil {
			t.Skip()
		}
		keptTarget, keptPatch := bytes.Clone(target), bytes.Clone(patch)
		merged := mergePatch(target, patch)
		if want := merge(meaning(t, target), meaning(t, patch)); !reflect.DeepEqual(meaning(t, merged), want) {
			t.Fatalf("%q patched with %q became %q, want %v", target, patch, merged, want)
		}
		if got, want := tokens(merged), tokens(mergeLists(t, target, patch)); !slices.Equal(got, want) {
			t.Fatalf("%q patched with %q became\n%q, want\n%q", target, patch, got, want)
		}
		if again := mergePatch(merged, patch); !bytes.Equal(again, merged) {
			t.Fatalf("%q patched with %q became %q, and again %q", target, patch, merged, again)
		}
		if !bytes.Equal(target, keptTarget) || !bytes.Equal(patch, keptPatch) {
			t.Fatal("target or patch was written to")
		}
	})
}

// merge is RFC 7396, section 2.
func merge(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	old, _ := target.(map[string]any)
	merged := map[string]any{}
	maps.Copy(merged, old)
	for name, value := range members {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = merge(merged[name], value)
		}
	}
	return merged
}

// mergeLists is merge with members in their order: those that stay stay where they
// are, new ones follow in the order of the patch, of several with one name that the
// patch names one is left.
func mergeLists(t *testing.T, target, patch []byte) []byte {
	if patch[0] != '{' {
		return patch
	}
	old, wanted := list(t, target), list(t, patch)
	merged := []byte{'{'}
	done := map[string]bool{}
	for _, m := range slices.Concat(old, wanted) {
		if done[m.name] {
			continue
		}
		if value := last(wanted, m.name); value != nil {
			done[m.name] = true
			if string(value) == "null" {
				continue
			}
			m.value = mergeLists(t, last(old, m.name), value)
		}
		if len(merged) > 1 {
			merged = append(merged, ',')
		}
		merged = append(append(AppendString(merged, m.name), ':'), m.value...)
	}
	return append(merged, '}')
}

type named struct {
	name  string
	value json.RawMessage
}

// list gives the members of an object, none of anything else.
func list(t *testing.T, raw []byte) (members []named) {
	t.Helper()
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	_, _ = decoder.Token()
	for decoder.More() {
		name, _ := decoder.Token()
		m := named{name: name.(string)}
		if err := decoder.Decode(&m.value); err != nil {
			t.Fatalf("%v: %q", err, raw)
		}
		members = append(members, m)
	}
	return members
}

func last(members []named, name string) (value []byte) {
	for _, m := range members {
		if m.name == name {
			value = m.value
		}
	}
	return value
}
