package wire

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/internal/wire/wiretest"
)

// seeds are messages of which a fuzzer makes others: the specification's examples,
// and what lies at the edges of the envelope.
var seeds = []string{
	``, `{}`, `[]`, `[1,2]`, `null`, `"\ud800"`, `{"a":[{"b":"]}"}]}`, "\xff", `[[[[]]]]`, ` [ ] `,
	`{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`,
	`{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`,
	`{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`,
	`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
	`{"jsonrpc": "2.0", "method": 1, "params": "bar"}`,
	`[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]`,
	`[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},` +
		`{"foo": "boo"},{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]`,
	`{"jsonrpc":"2.0","method":"m","params":{"a":"\\\""},"id":-1.5e3}`,
	`{"jsonrpc":"2.0","method":"m\u0000","id":null,"params":null}`,
	`[{"jsonrpc":"2.0","method":"m","id":"1"},{"jsonrpc":"2.0","method":"n"},{"result":1},{"jsonrpc":"2.0","method":1,"id":2}]`,
	` { "jsonrpc" : "2.0" , "\u006dethod" : "" , "id" : { } } `,
	`{"jsonrpc":"2.0","method":"m","id":1,"id":18446744073709551616,"params":1,"params":[]}`,
	`{"jsonrpc":"2.0","method":"m","id":true,"result":null}`, `{"jsonrpc":"2.0","method":"m","id":1,"error":null}`, `{"jsonrpc":"2.0","id":1e999}`, `[0,0,0,0,0,0,0,0,0]`,
	`[{"error":{}},{"jsonrpc":"2.0","method":"m","Method":"n","id":""}]`,
}

const fuzzBatch = 8 // members of a batch, so few that longer ones are found

// FuzzParseFrame compares with the plain reading of package wiretest: which
// requests of a message are answered, with which ids, codes and params.
func FuzzParseFrame(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		given := string(frame)
		var messages []string
		for _, r := range ParseFrame(frame, Limits{Batch: fuzzBatch}) {
			if r.Fault != nil && (r.Method != "" || r.Notification()) {
				t.Fatalf("%q: %+v", frame, r)
			}
			if message := r.Answer(r.Params, nil); message != nil {
				messages = append(messages, string(message))
			}
		}
		if string(frame) != given {
			t.Fatalf("the frame was changed: %q, %q", given, frame)
		}
		checkAnswers(t, frame, messages)
	})
}

// checkAnswers checks that the messages are what a server owes that answers each
// request with its params.
func checkAnswers(t testing.TB, frame []byte, messages []string) {
	t.Helper()
	want, batched := wiretest.Answers(frame, fuzzBatch)
	if len(messages) != min(len(want), 1) {
		t.Fatalf("%q is answered with %d messages, want %+v: %q", frame, len(messages), want, messages)
	}
	var got []wiretest.Answer
	for _, message := range messages {
		got = answersIn(t, message, batched)
	}
	for i := range want {
		want[i].Method = ""
		if want[i].Code == 0 && want[i].Params == "" {
			want[i].Params = "null"
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q is answered with\n%+v, want\n%+v", frame, got, want)
	}
}

// answersIn takes a message apart; the Params of an Answer are its result.
func answersIn(t testing.TB, message string, batched bool) (answers []wiretest.Answer) {
	t.Helper()
	array := []byte(message)
	if !batched {
		array = append(append([]byte("["), array...), ']')
	}
	var members []map[string]json.RawMessage
	if err := json.Unmarshal(array, &members); err != nil {
		t.Fatalf("%v: %q", err, message)
	}
	for _, m := range members {
		var failure struct {
			Code    int
			Message string
			Data    struct{ Reason string }
		}
		if m["error"] != nil {
			if err := json.Unmarshal(m["error"], &failure); err != nil || failure.Code == 0 || failure.Message == "" || failure.Data.Reason == "" {
				t.Fatalf("%v: %q", err, message)
			}
		}
		if string(m["jsonrpc"]) != `"2.0"` || m["id"] == nil || len(m) != 3 || (m["result"] == nil) == (m["error"] == nil) {
			t.Fatalf("%q", message)
		}
		answers = append(answers, wiretest.Answer{ID: string(m["id"]), Code: failure.Code, Params: string(m["result"])})
	}
	return answers
}
