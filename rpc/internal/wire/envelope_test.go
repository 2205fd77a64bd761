package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

const (
	badUTF8  = `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":{"reason":"parse_error","detail":"the message is not valid UTF-8"}}}`
	badJSON  = `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":{"reason":"parse_error","detail":"the message is not one JSON value"}}}`
	noObject = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":{"reason":"invalid_request","detail":"a request is an object"}}}`
)

func invalid(id, detail string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"error":` + string(appendError(nil, invalidRequest(detail))) + `}`
}

// answerAll plays a server whose methods are those of the specification's examples, and
// returns every message that it would send.
func answerAll(requests []*Request) string {
	var sent []string
	for _, r := range requests {
		if message := exampleMethod(r); message != nil {
			sent = append(sent, string(message))
		}
	}
	return strings.Join(sent, "\n")
}

func exampleMethod(r *Request) []byte {
	switch r.Method {
	case "subtract":
		var position [2]int
		if json.Unmarshal(r.Params, &position) != nil {
			var name struct{ Minuend, Subtrahend int }
			_ = json.Unmarshal(r.Params, &name)
			position = [2]int{name.Minuend, name.Subtrahend}
		}
		return r.Answer(fmt.Append(nil, position[0]-position[1]), nil)
	case "sum":
		sum, numbers := 0, []int(nil)
		_ = json.Unmarshal(r.Params, &numbers)
		for _, n := range numbers {
			sum += n
		}
		return r.Answer(fmt.Append(nil, sum), nil)
	case "get_data":
		return r.Answer(json.RawMessage(`["hello",5]`), nil)
	case "echo":
		return r.Answer(r.Params, nil)
	}
	return r.Answer(nil, &Error{Code: -32601, Message: "Method not found"})
}

func TestParseFrameAnswers(t *testing.T) {
	const notFound = `"error":{"code":-32601,"message":"Method not found"}}`
	tests := []struct{ name, frame, want string }{
		// Section 7 of the JSON-RPC 2.0 specification, in its order.
		{"spec positional 1", `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`, `{"jsonrpc":"2.0","id":1,"result":19}`},
		{"spec positional 2", `{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`, `{"jsonrpc":"2.0","id":2,"result":-19}`},
		{"spec named 3", `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`, `{"jsonrpc":"2.0","id":3,"result":19}`},
		{"spec named 4", `{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`, `{"jsonrpc":"2.0","id":4,"result":19}`},
		{"spec notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, ``},
		{"spec notification foobar", `{"jsonrpc": "2.0", "method": "foobar"}`, ``},
		{"spec no such method", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`, `{"jsonrpc":"2.0","id":"1",` + notFound},
		{"spec invalid JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, badJSON},
		{"spec invalid request", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, invalid("null", "method must be a string")},
		{"spec batch invalid JSON", `[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]`, badJSON},
		{"spec empty array", `[]`, invalid("null", "a batch has at least one member")},
		{"spec batch of one junk", `[1]`, `[` + noObject + `]`},
		{"spec batch of junk", `[1,2,3]`, `[` + noObject + `,` + noObject + `,` + noObject + `]`},
		{
			"spec batch", `[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]`,
			`[{"jsonrpc":"2.0","id":"1","result":7},{"jsonrpc":"2.0","id":"2","result":19},` +
				invalid("null", `jsonrpc must be "2.0"`) + `,{"jsonrpc":"2.0","id":"5",` + notFound + `,{"jsonrpc":"2.0","id":"9","result":["hello",5]}]`,
		},
		{"spec batch of notifications", `[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]`, ``},

		{"empty frame", ``, badJSON},
		{"white space", " \n", badJSON},
		{"trailing garbage", `{"jsonrpc":"2.0","method":"m","id":1}x`, badJSON},
		{"two values", `{"jsonrpc":"2.0","method":"m","id":1} {}`, badJSON},
		{"byte order mark", "\ufeff" + `{"jsonrpc":"2.0","method":"m","id":1}`, badJSON},
		{"invalid UTF-8", `{"jsonrpc":"2.0","method":"m","id":"` + "\xff" + `"}`, badUTF8},
		{"surrogate as UTF-8", `{"jsonrpc":"2.0","method":"m","id":"` + "\xed\xa0\x80" + `"}`, badUTF8},
		{"nested 10 001", strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), badJSON},
		{"nested 10 000", strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), `[` + noObject + `]`},
		{"scalar", `7`, noObject},
		{"string", `"x"`, noObject},
		{"null", `null`, noObject},
		{"empty object", `{}`, invalid("null", `jsonrpc must be "2.0"`)},
		{"batch in a batch", `[[]]`, `[` + noObject + `]`},

		{"version missing", `{"method":"m","id":1}`, invalid("1", `jsonrpc must be "2.0"`)},
		{"version 1.0", `{"jsonrpc":"1.0","method":"m","id":1}`, invalid("1", `jsonrpc must be "2.0"`)},
		{"version a number", `{"jsonrpc":2.0,"method":"m","id":1}`, invalid("1", `jsonrpc must be "2.0"`)},
		{"method missing", `{"jsonrpc":"2.0","id":1}`, invalid("1", "method must be a string")},
		{"method null", `{"jsonrpc":"2.0","method":null,"id":"a"}`, invalid(`"a"`, "method must be a string")},
		{"method capitalized", `{"jsonrpc":"2.0","Method":"echo","id":1}`, invalid("1", "method must be a string")},
		{"method and result", `{"jsonrpc":"2.0","method":"echo","result":1,"id":1}`, invalid("1", "a request has neither result nor error")},
		{"bad method and result", `{"jsonrpc":"2.0","method":7,"result":1,"id":1}`, invalid("1", "method must be a string")},
		{"params a string", `{"jsonrpc":"2.0","method":"echo","params":"x","id":1}`, invalid("1", "params must be an object or an array")},
		{"params false, no id", `{"jsonrpc":"2.0","method":"echo","params":false}`, invalid("null", "params must be an object or an array")},
		{"params null", `{"jsonrpc":"2.0","method":"echo","params":null,"id":1}`, `{"jsonrpc":"2.0","id":1,"result":null}`},
		{"params absent", `{"jsonrpc":"2.0","method":"echo","id":1}`, `{"jsonrpc":"2.0","id":1,"result":null}`},
		{"params verbatim", `{"jsonrpc":"2.0","method":"echo","params":{"b":1.50, "a":"<&>","a":2},"id":1}`, `{"jsonrpc":"2.0","id":1,"result":{"b":1.50, "a":"<&>","a":2}}`},
		{"unknown members", `{"jsonrpc":"2.0","meta":{"method":"x"},"method":"echo","id":1}`, `{"jsonrpc":"2.0","id":1,"result":null}`},
		{"repeated members", `{"jsonrpc":"2.0","method":"x","id":1,"method":"echo","id":2}`, `{"jsonrpc":"2.0","id":2,"result":null}`},
		{"escaped names", `{"json\u0072pc":"2\u002e0","\u006dethod":"ec\u0068o","i\u0064":1}`, `{"jsonrpc":"2.0","id":1,"result":null}`},

		{"response", `{"jsonrpc":"2.0","result":1,"id":1}`, ``},
		{"error response", `{"jsonrpc":"2.0","error":{"code":1,"message":"m"},"id":null}`, ``},
		{"response with a bad id", `{"result":null,"id":true}`, ``},
		{"batch of responses", `[{"jsonrpc":"2.0","result":1,"id":1},{"error":1}]`, ``},
		{"batch with a response", `[{"jsonrpc":"2.0","result":1,"id":1},{"jsonrpc":"2.0","method":"echo","id":2}]`, `[{"jsonrpc":"2.0","id":2,"result":null}]`},
		{"batch at the limit", `[` + strings.Repeat(`0,`, 4) + `0]`, `[` + strings.Repeat(noObject+`,`, 4) + noObject + `]`},
		{"batch over the limit", `[` + strings.Repeat(`0,`, 5) + `0]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32006,"message":"Batch too long","data":{"reason":"limit_exceeded","limit":"batch","value":5}}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			limits := Limits{Batch: 5}
			if strings.HasPrefix(test.name, "spec") {
				limits = Limits{}
			}
			if got := answerAll(ParseFrame([]byte(test.frame), limits)); got != test.want {
				t.Errorf("%.200s\ngot  %.1000s\nwant %.1000s", test.frame, got, test.want)
			}
		})
	}
}

func TestParseFrameIDs(t *testing.T) {
	for _, id := range []string{
		`0`, `-1`, `-0`, `1.5`, `1.0`, `1e3`, `1152921504606846976`, `18446744073709551616`, `null`,
		`""`, `"a"`, `"<a&b>"`, `"\u00e9\ud83d\ude00"`, `"\ud800"`, `"\"}"`, "\"\u2028\"",
	} {
		for _, frame := range []string{
			`{"jsonrpc":"2.0","method":"echo","id":` + id + `}`,
			"\t{ \"id\" :\r\n" + id + " , \"method\" : \"echo\" , \"jsonrpc\" : \"2.0\" } ",
		} {
			want := `{"jsonrpc":"2.0","id":` + id + `,"result":null}`
			if got := answerAll(ParseFrame([]byte(frame), Limits{})); got != want {
				t.Errorf("%s\ngot  %s\nwant %s", frame, got, want)
			}
		}
	}
	for _, id := range []string{`true`, `false`, `{}`, `[1]`} {
		got := answerAll(ParseFrame([]byte(`{"jsonrpc":"2.0","method":"echo","id":`+id+`}`), Limits{}))
		if want := invalid("null", "id must be a string, a number or null"); got != want {
			t.Errorf("id %s\ngot  %s\nwant %s", id, got, want)
		}
	}
}

func TestParseFrameFields(t *testing.T) {
	r := ParseFrame([]byte(`{"jsonrpc":"2.0","method":"a\ud800\n","params":[ 1 ],"id":null}`), Limits{})[0]
	if r.Method != "a\ufffd\n" || string(r.Params) != "[ 1 ]" || r.Notification() || r.Batched() || r.BatchSize() != 0 {
		t.Errorf("%+v", r)
	}
	r = ParseFrame([]byte(`[{"jsonrpc":"2.0","method":"m","params":null}]`), Limits{})[0]
	if r.ID != nil || r.Params != nil || !r.Notification() || !r.Batched() {
		t.Errorf("%+v", r)
	}
}

func TestParamsDoNotGrowIntoTheFrame(t *testing.T) {
	frame := []byte(`{"jsonrpc":"2.0","params":[],"method":"m","id":1}`)
	r := ParseFrame(frame, Limits{})[0]
	_ = append(r.Params, "xxxxxxxx"...)
	if bytes.Contains(frame, []byte("x")) {
		t.Error(string(frame))
	}
}

func TestAnswer(t *testing.T) {
	r := ParseFrame([]byte(`{"jsonrpc":"2.0","method":"m","id":1}`), Limits{})[0]
	got := r.Answer(json.RawMessage("1"), &Error{-1, "say \"<b>\"\n", json.RawMessage(`{"a": 1}`)})
	want := `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"say \"<b>\"\n","data":{"a": 1}}}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if again := r.Answer(nil, nil); again != nil {
		t.Errorf("second answer: %s", again)
	}
}

func TestBatchAnswersInMemberOrderFromManyGoroutines(t *testing.T) {
	const n = 50
	var frame, want []string
	for i := range n {
		frame = append(frame, fmt.Sprintf(`{"jsonrpc":"2.0","method":"m","id":%d}`, i), `{"jsonrpc":"2.0","method":"n"}`)
		want = append(want, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%d}`, i, i))
	}
	requests := ParseFrame([]byte("["+strings.Join(frame, ",")+"]"), Limits{})
	messages := make(chan []byte, len(requests))
	var wg sync.WaitGroup
	for _, r := range requests {
		wg.Go(func() {
			if message := r.Answer(r.ID, nil); message != nil {
				messages <- message
			}
		})
	}
	wg.Wait()
	close(messages)
	if got := string(<-messages); got != "["+strings.Join(want, ",")+"]" {
		t.Error(got)
	}
	if extra, more := <-messages; more {
		t.Errorf("more than one message: %s", extra)
	}
	if got := requests[0].BatchSize(); got != len(strings.Join(want, "")) {
		t.Errorf("BatchSize %d", got)
	}
}

func TestAppendNotification(t *testing.T) {
	got := string(AppendNotification([]byte("x"), "task.event", []byte(`{"a":1}`)))
	if got != `x{"jsonrpc":"2.0","method":"task.event","params":{"a":1}}` {
		t.Error(got)
	}
	if got := string(AppendNotification(nil, "ü\"", nil)); got != `{"jsonrpc":"2.0","method":"ü\""}` {
		t.Error(got)
	}
}
