// Package wiretest reads JSON-RPC 2.0 a second time, as plainly as the
// specification has it and with nothing but encoding/json, so that tests can hold
// what a server answers against it.
package wiretest

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Answer is what a request has to be answered with, as far as its envelope
// decides that.
type Answer struct {
	ID     string // as it was sent
	Code   int    // of the error; 0: that is for the method to say
	Method string // of a request that is well-formed
	Params string // as they were sent; "" when absent or null
}

// Answers tells how a message has to be answered, and whether in an array. No
// answers are no message, never an empty array. A batch of more than maxBatch is
// refused as a whole, with limit_exceeded.
func Answers(message []byte, maxBatch int) (answers []Answer, batched bool) {
	if !utf8.Valid(message) || !json.Valid(message) {
		return refusal("null", -32700), false
	}
	if kind(message) != "array" {
		return answer(message), false
	}
	var members []json.RawMessage
	_ = json.Unmarshal(message, &members)
	switch {
	case len(members) == 0:
		return refusal("null", -32600), false
	case len(members) > maxBatch:
		return refusal("null", -32006), false
	}
	for _, member := range members {
		answers = append(answers, answer(member)...)
	}
	return answers, true
}

func refusal(id string, code int) []Answer { return []Answer{{ID: id, Code: code}} }

// answer gives one answer, or none for a notification and for a response.
func answer(message []byte) []Answer {
	if kind(message) != "object" {
		return refusal("null", -32600)
	}
	var members map[string]json.RawMessage // a struct's fields would match in any case
	_ = json.Unmarshal(message, &members)
	method, params, id := kind(members["method"]), kind(members["params"]), kind(members["id"])
	response := kind(members["result"]) != "" || kind(members["error"]) != ""
	if response && method == "" {
		return nil
	}
	readable := id == "string" || id == "number" || id == "null"
	if text(members["jsonrpc"]) != "2.0" || method != "string" || response || id != "" && !readable ||
		params == "string" || params == "number" || params == "boolean" {
		if readable {
			return refusal(string(members["id"]), -32600)
		}
		return refusal("null", -32600)
	}
	if id == "" {
		return nil
	}
	if params == "null" {
		members["params"] = nil
	}
	return []Answer{{ID: string(members["id"]), Method: text(members["method"]), Params: string(members["params"])}}
}

// text decodes a string; it is "" for anything else.
func text(raw []byte) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

// kind names the kind of a JSON value, "" for one that is not there.
func kind(raw []byte) string {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // 1e999 is a number too
	if decoder.Decode(&value) != nil {
		return ""
	}
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}
