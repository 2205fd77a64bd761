package wire

import (
	"encoding/json"
	"strings"
	"testing"
)

func FuzzParseFrame(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `[1,2]`, `null`, `"\ud800"`, `{"a":[{"b":"]}"}]}`, "\xff", `[[[[]]]]`,
		`{"jsonrpc":"2.0","method":"m","params":{"a":"\\\""},"id":-1.5e3}`,
		`{"jsonrpc":"2.0","method":"m\u0000","id":null,"params":null}`,
		`[{"jsonrpc":"2.0","method":"m","id":"1"},{"jsonrpc":"2.0","method":"n"},{"result":1},{"jsonrpc":"2.0","method":1,"id":2}]`,
		` { "jsonrpc" : "2.0" , "\u006dethod" : "" , "id" : { } } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		given := string(frame)
		requests := ParseFrame(frame, Limits{Batch: 8})
		wanted, messages := 0, []string(nil)
		for _, r := range requests {
			if !r.Notification() {
				wanted++
			}
			if (r.Fault == nil) == (r.name == nil) || r.Fault != nil && r.Notification() {
				t.Fatalf("%q: %+v", frame, r)
			}
			if message := r.Answer(r.Params, nil); message != nil {
				messages = append(messages, string(message))
			}
		}
		if string(frame) != given {
			t.Fatalf("the frame was changed: %q, %q", given, frame)
		}
		checkAnswers(t, messages, wanted, len(requests) > 0 && requests[0].Batched())
	})
}

// checkAnswers checks that the messages answer that many requests as the specification
// wants it: one message, an array for a batch, each answer with a result or an error.
func checkAnswers(t *testing.T, messages []string, wanted int, batched bool) {
	t.Helper()
	if wanted == 0 && len(messages) == 0 {
		return
	}
	if len(messages) != 1 {
		t.Fatalf("%d messages for %d requests: %q", len(messages), wanted, messages)
	}
	array := messages[0]
	if !batched {
		array = "[" + array + "]"
	}
	var answers []map[string]json.RawMessage
	if err := json.NewDecoder(strings.NewReader(array)).Decode(&answers); err != nil {
		t.Fatalf("%v: %q", err, messages)
	}
	if len(answers) != wanted {
		t.Fatalf("%d answers for %d requests: %q", len(answers), wanted, messages)
	}
	for _, a := range answers {
		if string(a["jsonrpc"]) != `"2.0"` || a["id"] == nil || len(a) != 3 || (a["result"] == nil) == (a["error"] == nil) {
			t.Fatalf("%q", messages)
		}
	}
}
