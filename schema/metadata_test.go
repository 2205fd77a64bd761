package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestMetadata(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	sized := func(n int) string { return `{"k":"` + strings.Repeat("é", (n-8)/2) + `"}` }
	for _, test := range []struct{ name, given, want string }{
		{"absent", "", "{}"},
		{"null", "null", "{}"},
		{"order of keys", `{"b":1,"a":{"d":1,"c":2}}`, `{"b":1,"a":{"d":1,"c":2}}`},
		{"numbers", `{"a":1.0e+400,"b":12345678901234567890,"c":-0.0,"d":1E5}`, `{"a":1.0e+400,"b":12345678901234567890,"c":-0.0,"d":1E5}`},
		{"white space", "{ \"a b\" :\t[ 1 ,\r\n\" \" ] }", `{"a b":[1," "]}`},
		{"nulls", `{"a":null,"b":[null]}`, `{"a":null,"b":[null]}`},
		{"one name twice", `{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{"escapes as sent", `{"\u00e9":"\/\u003c\n<&\u2028"}`, `{"\u00e9":"\/\u003c\n<&\u2028"}`},
		{"pair of surrogates", `{"a":"\uD83D\uDE00"}`, `{"a":"\uD83D\uDE00"}`},
		{"lone surrogates", `{"\ud800":"x\udC00y","b":"\uD83D\u0041","c":"\ude00\ud83d\ude00"}`, "{\"\ufffd\":\"x\ufffdy\",\"b\":\"\ufffd\\u0041\",\"c\":\"\ufffd\\ud83d\\ude00\"}"},
		{"a lone surrogate at the end", `{"a":"\ud83d"}`, "{\"a\":\"\ufffd\"}"},
		{"a backslash, then text", `{"a":"\\u0000 \\\\ud800"}`, `{"a":"\\u0000 \\\\ud800"}`},
		{"brackets in text", `{"a":"` + strings.Repeat("{[", 200) + `"}`, `{"a":"` + strings.Repeat("{[", 200) + `"}`},
		{"depth of 100", nested(100), nested(100)},
		{"65536 bytes", sized(65536), sized(65536)},
		{"65536 bytes in white space", strings.Repeat(" ", 10) + sized(65536), sized(65536)},
	} {
		got, err := normalizeMetadata(json.RawMessage(strings.TrimLeft(test.given, " ")))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v", test.name, got, err)
		}
	}
	for _, test := range []struct{ name, given, rule string }{
		{"NUL in a value", `{"a":["\u0000"]}`, noNULRule},
		{"NUL in a key", `{"\u0000":1}`, noNULRule},
		{"NUL behind a backslash", `{"a":"\\\u0000"}`, noNULRule},
		{"array", `[]`, "must be a JSON object"},
		{"text", `"{}"`, "must be a JSON object"},
		{"depth of 101", nested(101), metadataDepthRule},
		{"depth of arrays", `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, metadataDepthRule},
		{"65537 bytes", sized(65536)[:65534] + `a"}`, metadataSizeRule},
		{"no JSON", `{"a"}`, "must be a JSON object"},
	} {
		_, err := normalizeMetadata(json.RawMessage(test.given))
		if e, ok := err.(*Error); !ok || e.Data.Field != "metadata" || e.Data.Rule != test.rule {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// The examples of RFC 7396, appendix A, whose targets can be metadata, and below a
// member those that cannot.
func TestMergePatchExamples(t *testing.T) {
	for _, test := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		if test.patch[0] == '{' && test.target[0] == '{' {
			got, err := patched(test.target, test.patch)
			if err != nil || got != test.want {
				t.Errorf("%s patched with %s: %s, %v", test.target, test.patch, got, err)
			}
		}
		got, err := patched(`{"m":`+test.target+`}`, `{"m":`+test.patch+`}`)
		if err != nil || got != `{"m":`+test.want+`}` {
			t.Errorf("%s patched with %s: %s, %v", test.target, test.patch, got, err)
		}
	}
}

// patched applies a patch of metadata to a task, all the way.
func patched(target, patch string) (string, error) {
	p := Patch{Metadata: Some(json.RawMessage(patch))}
	if err := p.Normalize(); err != nil {
		return "", err
	}
	task, err := p.Apply(&Task{Metadata: json.RawMessage(target)})
	if err != nil {
		return "", err
	}
	return string(task.Metadata), nil
}

func TestMergePatchNames(t *testing.T) {
	for _, test := range []struct{ name, target, patch, want string }{
		{"order and numbers stay", `{"z":1.0,"a":1e400,"m":{"y":1,"x":2}}`, `{"m":{"x":3.00},"b":0}`, `{"z":1.0,"a":1e400,"m":{"y":1,"x":3.00},"b":0}`},
		{"names by their characters", `{"\u0061":1}`, `{"a":2}`, `{"\u0061":2}`},
		{"null in an array", `{}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}]}`},
		{"twice in the target", `{"a":{"x":1},"b":0,"a":{"y":2}}`, `{"a":{"z":3}}`, `{"a":{"y":2,"z":3},"b":0}`},
		{"twice in the target, removed", `{"a":1,"b":0,"a":2}`, `{"a":null}`, `{"b":0}`},
		{"twice in the target, not named", `{"a":1,"a":2}`, `{"b":3}`, `{"a":1,"a":2,"b":3}`},
		{"twice in the patch", `{"a":{"x":1}}`, `{"a":null,"a":{"b":1}}`, `{"a":{"x":1,"b":1}}`},
		{"twice in the patch, new", `{}`, `{"a":1,"b":2,"a":null}`, `{"b":2}`},
		{"removed and not there", `{"a":1}`, `{"b":null}`, `{"a":1}`},
	} {
		if got, err := patched(test.target, test.patch); err != nil || got != test.want {
			t.Errorf("%s: %s, %v", test.name, got, err)
		}
	}
}

// One writer makes all changes: a patch must not cost it the square of its size.
func BenchmarkMergePatchLargest(b *testing.B) {
	object := func(prefix string) []byte {
		members := []byte(`{"first":0`)
		for i := 0; len(members) < MaxMetadata/2-20; i++ {
			members = fmt.Appendf(members, `,"%s%d":0`, prefix, i)
		}
		return append(members, '}')
	}
	target, patch := object("a"), object("b")
	for b.Loop() {
		mergePatch(target, patch)
	}
}
