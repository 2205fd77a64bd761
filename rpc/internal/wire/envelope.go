package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"github.com/descartes-tasks/descartes/schema"
)

// Limits bounds what one frame may ask for. The zero value is usable.
type Limits struct {
	Batch int // members of a batch; default 100
}

func (l Limits) batch() int {
	if l.Batch <= 0 {
		return 100
	}
	return l.Batch
}

// Request is one JSON-RPC call or notification, or a place in a frame that should
// have been one (Fault). It is made by ParseFrame and used through a pointer only.
// Its fields are not to be changed; they may be read from any goroutine.
type Request struct {
	// ID is the id exactly as it was sent; nil for a notification. The JSON value
	// null is an id like any other: such a request is answered.
	ID     json.RawMessage
	Method string
	Params json.RawMessage // an object or an array; nil when absent or null

	// Fault is set when this is no valid request. There is nothing to run, and
	// Answer gives the Fault whatever it is called with.
	Fault *Error

	answered atomic.Bool
	batch    *batch // nil for a request that came alone
	slot     int    // its place among the batch's answers
}

// Notification reports whether the request must not be answered.
func (r *Request) Notification() bool { return r.ID == nil }

// Batched reports whether the request came in a batch.
func (r *Request) Batched() bool { return r.batch != nil }

// ParseFrame reads one message as JSON-RPC 2.0, strictly: members of the envelope
// are matched by exact case and type. It never fails. What cannot be read at all
// (no UTF-8, no single JSON value, nesting deeper than encoding/json's 10 000)
// is one Request with a parse_error Fault; each malformed request has an
// invalid_request Fault and the id where one could be read, else null; a batch over
// limits.Batch is one limit_exceeded Fault. Of a repeated member the last counts.
//
// Responses are dropped, alone and in batches: nobody asked for them. The result is
// empty when a frame holds nothing else.
//
// The requests share memory with the frame: it must not be changed or reused.
func ParseFrame(frame []byte, limits Limits) []*Request {
	if !utf8.Valid(frame) {
		return faulty(parseError("the message is not valid UTF-8"))
	}
	if !json.Valid(frame) {
		return faulty(parseError("the message is not one JSON value"))
	}
	value := bytes.TrimSpace(frame)
	if isArray(value) {
		return parseBatch(value, limits.batch())
	}
	single := new(struct {
		request Request
		list    [1]*Request
	})
	if !single.request.parse(value) {
		return nil
	}
	single.list[0] = &single.request
	return single.list[:]
}

func faulty(fault *Error) []*Request {
	return []*Request{{ID: null, Fault: fault}}
}

// parse fills r from one JSON value and reports whether there is anything to run or
// answer; there is not if the value is a response.
func (r *Request) parse(value []byte) bool {
	if !isObject(value) {
		r.ID, r.Fault = null, invalidRequest("a request is an object")
		return true
	}
	e := readEnvelope(value)
	if e.method == nil && e.answer {
		return false
	}
	if detail := e.problem(); detail != "" {
		r.ID, r.Fault = e.readableID(), invalidRequest(detail)
		return true
	}
	r.ID, r.Method = e.id, string(schema.Unquote(e.method))
	if e.params != nil && !isNull(e.params) {
		r.Params = e.params
	}
	return true
}

// envelope is the outermost members of an object, raw, nil where absent.
type envelope struct {
	version, id, method, params, result []byte
	answer                              bool // a result or an error is there
	failed                              bool // an error that is not null is
}

func readEnvelope(object []byte) (e envelope) {
	for m := range schema.Members(object) {
		// A value is never empty, so a member that is there is never nil.
		value := slices.Clip(m.Value) // appending to it must not write over the rest of the frame
		switch string(m.Name) {
		case "jsonrpc":
			e.version = value
		case "id":
			e.id = value
		case "method":
			e.method = value
		case "params":
			e.params = value
		case "result":
			e.result, e.answer = value, true
		case "error":
			e.answer, e.failed = true, !isNull(value)
		}
	}
	return e
}

// problem says what keeps e from being a request, or "".
func (e *envelope) problem() string {
	switch {
	case e.version == nil || !isString(e.version) || string(schema.Unquote(e.version)) != "2.0":
		return `jsonrpc must be "2.0"`
	case e.method == nil || !isString(e.method):
		return "method must be a string"
	case e.answer:
		return "a request has neither result nor error"
	case e.params != nil && !isNull(e.params) && !isObject(e.params) && !isArray(e.params):
		return "params must be an object or an array"
	case e.id != nil && !validID(e.id):
		return "id must be a string, a number or null"
	}
	return ""
}

// readableID is the id to answer a malformed request with. Section 5 of the
// specification asks for null where the id could not be detected.
func (e *envelope) readableID() json.RawMessage {
	if e.id == nil || !validID(e.id) {
		return null
	}
	return e.id
}

func validID(raw []byte) bool { return isString(raw) || isNumber(raw) || isNull(raw) }

// Error is a JSON-RPC error object: what the caller of a method gets to see.
type Error struct {
	Code    int
	Message string
	Data    json.RawMessage // left out when empty
}

// Error implements the error interface.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// The messages are the specification's own, word for word; the details are ours.

func parseError(detail string) *Error {
	return &Error{-32700, "Parse error", faultData("parse_error", detail)}
}

func invalidRequest(detail string) *Error {
	return &Error{-32600, "Invalid Request", faultData("invalid_request", detail)}
}

func internalError() *Error {
	return &Error{-32603, "Internal error", json.RawMessage(`{"reason":"internal"}`)}
}

func batchTooLong(limit int) *Error {
	return &Error{
		-32006, "Batch too long",
		fmt.Appendf(nil, `{"reason":"limit_exceeded","limit":"batch","value":%d}`, limit),
	}
}

func faultData(reason, detail string) json.RawMessage {
	data := append([]byte(nil), `{"reason":`...)
	data = schema.AppendString(data, reason)
	data = append(data, `,"detail":`...)
	return append(schema.AppendString(data, detail), '}')
}

// The first character of a valid JSON value tells its kind.

func isString(raw []byte) bool { return raw[0] == '"' }
func isNull(raw []byte) bool   { return raw[0] == 'n' }
func isNumber(raw []byte) bool { return raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9' }
func isObject(raw []byte) bool { return raw[0] == '{' }
func isArray(raw []byte) bool  { return raw[0] == '[' }
