package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/sourcegraph/jsonrpc2"
)

// Client calls the methods of the server at the other end of a connection.
type Client struct {
	stream *clientStream
	loop   *jsonrpc2.Conn
}

// Client runs the connection as a JSON-RPC client until it ends, or ctx does. It takes
// the place of Read and may be called once.
//
// onNotification gets every notification, in order, from the goroutine that reads: while
// it runs, nothing else arrives, not even answers, so it must not wait for a Call. The
// params are its to keep; they are nil where the server sent none.
//
// A notification that the server sent after an answer may be handed over before the Call
// that waits for the answer has returned. Whoever subscribes must be ready to receive
// notifications of a subscription that it does not know yet.
func (c *Conn) Client(ctx context.Context, onNotification func(method string, params json.RawMessage)) *Client {
	s := &clientStream{conn: c, notify: onNotification, ended: make(chan struct{})}
	// Nothing but answers reaches the library, so its handler is never called.
	handler := jsonrpc2.HandlerWithError(func(context.Context, *jsonrpc2.Conn, *jsonrpc2.Request) (any, error) {
		return nil, errors.ErrUnsupported
	})
	return &Client{s, jsonrpc2.NewConn(ctx, s, handler, jsonrpc2.SetLogger(silence{}))}
}

// Call calls a method with params, which are sent as they are and left out if they are
// nil, and decodes its result into what result points to (nil: drops it). It is safe for
// concurrent use.
//
// An error answer is an *Error, with code, message and data as they were sent. Other
// errors are ErrClosed when the connection ended before the answer (Err says how; the
// method may have been run), ctx's, and those of encoding/json.
func (c *Client) Call(ctx context.Context, method string, params json.RawMessage, result any) error {
	id := jsonrpc2.ID{Num: c.stream.made.Add(1)}
	one := &call{params: params, result: null}
	c.stream.calls.Store(id.Num, one)
	defer c.stream.calls.Delete(id.Num)
	err := c.loop.Call(ctx, method, nil, nil, jsonrpc2.PickID(id))
	if err == nil {
		return one.decode(result)
	}
	if e, ok := errors.AsType[*jsonrpc2.Error](err); ok {
		answer := &Error{Code: int(e.Code), Message: e.Message}
		if e.Data != nil {
			answer.Data = *e.Data
		}
		return answer
	}
	if errors.Is(err, jsonrpc2.ErrClosed) || errors.Is(err, ErrClosed) {
		select {
		case <-c.stream.ended: // soon: only then Err says how
		case <-ctx.Done():
		}
		return ErrClosed
	}
	return err
}

// call is one under way.
type call struct {
	params json.RawMessage
	result json.RawMessage // set before the library learns of the answer
}

func (c *call) decode(result any) error {
	switch result := result.(type) {
	case nil:
		return nil
	case *json.RawMessage:
		*result = c.result
		return nil
	default:
		return json.Unmarshal(c.result, result)
	}
}

// Done is closed when the connection is over and the last notification handed over.
func (c *Client) Done() <-chan struct{} { return c.stream.ended }

// Err says how the connection ended, as Read does, once Done is closed. Before it is nil.
func (c *Client) Err() error {
	select {
	case <-c.stream.ended:
		return c.stream.err
	default:
		return nil
	}
}

// Close ends the connection with CloseNormal and waits until it is over, 2 s at most
// unless onNotification blocks. It must not be called from there. The error is always nil.
func (c *Client) Close() error {
	_ = c.stream.conn.Close(CloseNormal, "")
	_ = c.loop.Close()
	<-c.stream.ended
	c.stream.conn.net.background.Wait()
	return nil
}

// clientStream passes answers to the jsonrpc2 library, which matches them with calls, and
// takes notifications past it.
type clientStream struct {
	conn   *Conn
	notify func(method string, params json.RawMessage)

	made  atomic.Uint64 // calls ever, which numbers them
	calls sync.Map      // under way, by number: their params and results go past the library, which would
	// encode the first thrice, and escape them, and read the second six times
	object []byte // what the library gets to decode in place of an answer

	err   error
	ended chan struct{} // closed when ReadObject has returned an error, with err set
}

var _ jsonrpc2.ObjectStream = (*clientStream)(nil)

// ReadObject returns with the next answer, after handing over what came before it.
func (s *clientStream) ReadObject(v any) error {
	for {
		message, err := s.conn.Read()
		if err == nil {
			if message = s.handle(message); message == nil {
				continue
			}
			if err = json.Unmarshal(message, v); err == nil {
				return nil
			}
		}
		if err != nil {
			s.err = err
			_ = s.conn.Close(closeProtocol, "")
			close(s.ended)
			return io.EOF // the library reports any other error to its logger
		}
	}
}

// handle deals with a message, and gives what the library has to know of it, if anything:
// that one of our calls, whose ids are numbers, is answered. What is no JSON-RPC is
// dropped: there is nobody to tell.
func (s *clientStream) handle(message []byte) []byte {
	if !json.Valid(message) {
		return nil
	}
	message = bytes.TrimSpace(message)
	if !isObject(message) {
		return nil
	}
	e := readEnvelope(message)
	switch {
	case e.method == nil && e.answer && e.id != nil && isNumber(e.id):
		return s.answered(message, &e)
	case e.method != nil && e.id == nil && isString(e.method):
		if e.params != nil && isNull(e.params) {
			e.params = nil
		}
		s.notify(string(schema.Unquote(e.method)), e.params)
	}
	return nil
}

// answered keeps the result of a call, and gives an answer without it. An error is left to
// the library.
func (s *clientStream) answered(message []byte, e *envelope) []byte {
	if e.failed {
		return message
	}
	if number, err := strconv.ParseUint(string(e.id), 10, 64); err == nil {
		// Taken out: a second answer must not change what the caller reads meanwhile.
		if one, ok := s.calls.LoadAndDelete(number); ok && e.result != nil {
			one.(*call).result = e.result
		}
	}
	s.object = append(append(append(s.object[:0], `{"id":`...), e.id...), `,"result":0}`...)
	return s.object
}

// WriteObject sends a call, with its params.
func (s *clientStream) WriteObject(v any) error {
	message, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var sent struct{ ID uint64 }
	if err := json.Unmarshal(message, &sent); err != nil {
		return err
	}
	if one, ok := s.calls.Load(sent.ID); ok && one.(*call).params != nil {
		message = append(message[:len(message)-1], `,"params":`...)
		message = append(append(message, one.(*call).params...), '}')
	}
	return s.conn.Write(message)
}

// Close is called by the library when the connection has ended or its context has.
func (s *clientStream) Close() error { return s.conn.Close(CloseNormal, "") }
