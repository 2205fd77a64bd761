package schema

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzDecodeParams decodes any valid JSON as the parameters of every method: it
// is taken, or refused with an error that names the field and the rule.
func FuzzDecodeParams(f *testing.F) {
	for _, seed := range []string{
		`{"title":"x","status":"todo","metadata":{"a":[1,"\ud800"]},"dependencies":["a","b"]}`,
		`{"id":"a","description":null,"expected_version":1e0,"assigned_to":"b"}`, `["a",5.0]`, `[{"id":"a"}]`, ` [ ] `,
		`{"operations":[{"op":"create","title":"x"},{"op":"update","id":"a","metadata":null},{"op":"delete","id":"a"}]}`,
		`{"filter":{"status":["todo"],"assigned_to":[null],"text":"x","ready":true},"order":"-title","limit":5}`,
		`{"filter":{"change_types":["created"],"status_changes_only":true},"since":"e-1","batch":{"max":1,"wait_ms":0}}`,
		`{"op":{"":[]},"operations":[[],{}]}`, `[null,[],{},"",true,-0.0]`, `{"subscription":"s1"}`, `null`, `"\u0000"`, `{"\u0000":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, params []byte) {
		if !json.Valid(params) || !utf8.Valid(params) {
			t.Skip()
		}
		errs := []error{
			ignore(decoded[Draft](string(params))), ignore(decoded[UpdateParams](string(params))),
			ignore(decoded[GetParams](string(params))), ignore(decoded[DeleteParams](string(params))),
			ignore(decoded[ApplyParams](string(params))), ignore(decoded[ListParams](string(params))),
			ignore(decoded[HistoryParams](string(params))), ignore(decoded[SubscribeParams](string(params))),
			ignore(decoded[UnsubscribeParams](string(params))), ignore(decoded[FlushParams](string(params))),
		}
		for i, err := range errs {
			e, ok := err.(*Error)
			if err != nil && (!ok || e.Code != CodeInvalidParams || e.Data.Field == "" || e.Data.Rule == "") {
				t.Errorf("%d: %#v", i, err)
			}
		}
	})
}

func ignore[T any](_ T, err error) error { return err }

// FuzzMetadata: what is taken is valid, in its last form and of the same meaning.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `[]`, ` {"a": 1.0e+400} `, `{"\ud800":"\\\udc00\ud83d\ude00"}`, `{"a":"\u0000"}`, `{"a":{"a":1},"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		metadata, err := normalizeMetadata(raw)
		if err != nil {
			return
		}
		if !json.Valid(metadata) || len(metadata) > MaxMetadata || bytes.Contains(metadata, []byte(`\u0000`)) && !bytes.Contains(metadata, []byte(`\\`)) {
			t.Fatalf("%q became %q", raw, metadata)
		}
		again, err := normalizeMetadata(metadata)
		if err != nil || !bytes.Equal(again, metadata) {
			t.Fatalf("%q became %q, %v", metadata, again, err)
		}
		if len(raw) > 0 && string(raw) != "null" && !reflect.DeepEqual(meaning(t, raw), meaning(t, metadata)) {
			t.Fatalf("%q means something else than %q", metadata, raw)
		}
	})
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

// FuzzMergePatch compares with RFC 7396's own ten lines.
func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1,"c":[null]}}`), []byte(`{"a":{"b":null,"d":{"e":null}},"f":[{"g":null}]}`))
	f.Add([]byte(`{"a":1,"b":2,"a":{"x":3}}`), []byte(`{"a":{"y":4},"a":null,"\u0061":{"z":5}}`))
	f.Add([]byte(`{"":{"":{}}}`), []byte(`{"":{"":[]}}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
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

// FuzzCursor: a text is a cursor only if it is the text of that cursor.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"e-5", "e-05", "-5", "e--5", "e-9007199254740991", "start"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cursor, err := ParseCursor("since", text)
		if err != nil {
			return
		}
		if cursor.String() != text || cursor.Seq < 0 || cursor.Seq > MaxSeq || slices.Contains([]byte(text), '"') {
			t.Fatalf("%q is %+v", text, cursor)
		}
	})
}
