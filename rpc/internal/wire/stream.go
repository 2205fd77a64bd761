package wire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"sync/atomic"

	"github.com/sourcegraph/jsonrpc2"
)

// Serve starts to read requests from the connection. It hands each to accept, one at a
// time and in the order in which they arrived, until the connection ends. Requests with a
// Fault come too, so that the caller answers everything in its own order.
//
// While accept runs nothing is read, which slows the peer down when it blocks and keeps
// the peer's departure from being noticed: work belongs elsewhere. Answers are written by
// the caller, with Request.Answer and Write, from any goroutine. An accept that may block
// must give up when the connection is Done.
//
// A panic in accept is answered with an internal error and ends this connection alone.
//
// ended is called once, when the connection is over and accept has returned for the last
// time: with nil for an ordinary end, else with a PanicError or what Read returns. Serve
// may be called once, and takes the place of Read.
func (c *Conn) Serve(limits Limits, accept func(r *Request), ended func(err error)) {
	s := &serverStream{conn: c, limits: limits, accept: accept, ended: ended}
	loop := jsonrpc2.NewConn(context.Background(), s, s, jsonrpc2.SetLogger(silence{}))
	// The library keeps a goroutine that waits to be closed, and one that reads until there
	// is nothing to read. The second needs no first: this ends it, and leaves the reading.
	_ = loop.Close()
}

// serverStream is the connection as the jsonrpc2 library sees it: a source of requests
// that are always well-formed, and its handler. The library calls ReadObject and Handle
// in turn from one goroutine, so the fields need no lock.
//
// What the client sent goes past the library, and so does the answer: it would change the
// id, decode the parameters twice and encode the result three times. The library is told
// that there is a request, the same one each time, and Handle knows which it is.
type serverStream struct {
	conn   *Conn
	limits Limits
	accept func(r *Request)
	ended  func(err error)

	queue   []*Request // of a batch, not yet handed over
	current *Request   // handed to the library, on its way to Handle
	err     error      // why there is nothing more to read
}

var (
	_ jsonrpc2.ObjectStream = (*serverStream)(nil)
	_ jsonrpc2.Handler      = (*serverStream)(nil)
)

// ReadObject gives the library the next request, without all that is not its business.
func (s *serverStream) ReadObject(v any) error {
	for s.err == nil && len(s.queue) == 0 {
		var frame []byte
		if frame, s.err = s.conn.Read(); s.err == nil {
			s.queue = ParseFrame(frame, s.limits)
		}
	}
	if s.err != nil {
		s.end()
		return io.EOF // the library reports any other error to its logger
	}
	s.current = s.queue[0]
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil // its array would keep the request in memory
	}
	return signal(v)
}

// end tells that the connection is over. After a panic it is not quite yet.
func (s *serverStream) end() {
	_ = s.conn.Close(closeInternal, "")
	s.conn.net.background.Wait()
	if errors.Is(s.err, io.EOF) {
		s.err = nil
	}
	s.ended(s.err)
}

// aRequest is some request in the library's own form, which it alone can make, and does
// by decoding. All connections share it: nobody looks into it.
var aRequest atomic.Pointer[reflect.Value]

// signal makes v, which the library gave, a request, as if it had been decoded: that is a
// tenth of what a request costs, and needs more stack than all that a reader does besides.
func signal(v any) error {
	message := reflect.ValueOf(v).Elem()
	if made := aRequest.Load(); made != nil {
		message.Set(*made)
		return nil
	}
	if err := json.Unmarshal([]byte(`{"method":"","id":0}`), v); err != nil {
		return err
	}
	made := reflect.New(message.Type()).Elem()
	made.Set(message)
	aRequest.Store(&made)
	return nil
}

// Handle hands the request that was read last to accept.
func (s *serverStream) Handle(context.Context, *jsonrpc2.Conn, *jsonrpc2.Request) {
	r := s.current
	s.current = nil
	defer func() {
		if value := recover(); value != nil {
			s.err = Recovered(value)
			if answer := r.Answer(nil, internalError()); answer != nil {
				_ = s.conn.Write(answer)
			}
			s.conn.beginClose(closeInternal, "internal error")
		}
	}()
	s.accept(r)
}

// WriteObject is never called: answers do not go through the library.
func (s *serverStream) WriteObject(any) error { return errors.ErrUnsupported }

// Close is called by the library when it will call nothing any more, see Serve. The
// connection is closed by its owner.
func (s *serverStream) Close() error { return nil }

// silence keeps the library from logging what clients send.
type silence struct{}

func (silence) Printf(string, ...any) {}
