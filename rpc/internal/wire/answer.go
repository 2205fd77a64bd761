package wire

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/descartes-tasks/descartes/schema"
)

var null = json.RawMessage("null")

// AppendAnswer records the answer of this request and appends the complete message to
// write, if there is one now. Exactly one of result and err counts: err where it is
// not nil, else result, which must be encoded JSON and is copied verbatim (empty
// counts as null). A request with a Fault is answered with that, whatever is given.
//
// The message is the response itself for a request that came alone. In a batch there is
// none until the last member that wants an answer has one, and then it is the array of
// all of them in member order. There is none for notifications, and for a second answer
// to the same request. Members of one batch may be answered from different goroutines.
func (r *Request) AppendAnswer(dst []byte, result json.RawMessage, err *Error) []byte {
	if r.Notification() || r.answered.Swap(true) {
		return dst
	}
	if r.Fault != nil {
		err = r.Fault
	}
	if r.batch != nil {
		return append(dst, r.batch.record(r.slot, appendAnswer(nil, r.ID, result, err))...)
	}
	return appendAnswer(dst, r.ID, result, err)
}

// Answer is AppendAnswer into memory of its own, nil where there is no message.
func (r *Request) Answer(result json.RawMessage, err *Error) []byte {
	return r.AppendAnswer(nil, result, err)
}

// BatchSize is the number of bytes that the answers recorded so far in this request's
// batch add up to, so that a caller can refuse to make the array any longer. It is 0
// for a request that came alone.
func (r *Request) BatchSize() int {
	if r.batch == nil {
		return 0
	}
	r.batch.mu.Lock()
	defer r.batch.mu.Unlock()
	return r.batch.size
}

// BatchOpen reports whether the batch of this request lacks answers still. It is false
// for a request that came alone.
func (r *Request) BatchOpen() bool {
	if r.batch == nil {
		return false
	}
	r.batch.mu.Lock()
	defer r.batch.mu.Unlock()
	return r.batch.missing > 0
}

// appendAnswer appends a response object (specification, section 5).
func appendAnswer(dst []byte, id, result json.RawMessage, err *Error) []byte {
	if len(result) == 0 {
		result = null
	}
	if err == nil {
		const around = len(`{"jsonrpc":"2.0","id":,"result":}`)
		dst = slices.Grow(dst, around+len(id)+len(result))
	}
	dst = append(append(dst, `{"jsonrpc":"2.0","id":`...), id...)
	if err != nil {
		return append(appendError(append(dst, `,"error":`...), err), '}')
	}
	return append(append(append(dst, `,"result":`...), result...), '}')
}

func appendError(dst []byte, err *Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(err.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = schema.AppendString(dst, err.Message)
	if len(err.Data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, err.Data...)
	}
	return append(dst, '}')
}

// AppendNotification appends a notification to dst: a message of its own, never to be
// joined with another one in a frame. params must be an encoded object or array and is
// copied verbatim; empty leaves the member out.
func AppendNotification(dst []byte, method string, params []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","method":`...)
	dst = schema.AppendString(dst, method)
	if len(params) > 0 {
		dst = append(dst, `,"params":`...)
		dst = append(dst, params...)
	}
	return append(dst, '}')
}
