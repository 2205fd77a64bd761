package wire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"

	"github.com/sourcegraph/jsonrpc2"
)

// Serve reads requests from the connection and hands each to accept, one at a time and
// in the order in which they arrived, until the connection ends. Requests with a Fault
// come too, so that the caller answers everything in its own order.
//
// While accept runs nothing is read, which slows the peer down when it blocks and keeps
// the peer's departure from being noticed: work belongs elsewhere. Answers are written by
// the caller, with Request.Answer and Write, from any goroutine. accept's context ends
// with the connection, and the connection ends with ctx, with CloseGoingAway.
//
// A panic in accept is answered with an internal error and ends this connection alone.
//
// Serve returns when the connection is over and accept has returned for the last time:
// nil for an ordinary end, else a PanicError or what Read returns. It may be called once,
// and takes the place of Read.
func (c *Conn) Serve(ctx context.Context, limits Limits, accept func(ctx context.Context, r *Request)) error {
	s := &serverStream{conn: c, limits: limits, accept: accept, ended: make(chan struct{})}
	loop := jsonrpc2.NewConn(ctx, s, s, jsonrpc2.SetLogger(silence{}))
	select {
	case <-loop.DisconnectNotify():
	case <-c.done: // by Close, or a Write that failed: accept has to hear of it
		_ = loop.Close()
	}
	<-s.ended
	_ = c.CloseNow()
	c.net.background.Wait()
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
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
	accept func(ctx context.Context, r *Request)

	queue   []*Request    // of a batch, not yet handed over
	current *Request      // handed to the library, on its way to Handle
	signal  reflect.Value // the library's own form of a request, once it has decoded one

	err   error
	ended chan struct{} // closed when ReadObject has returned an error, with err set
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
		close(s.ended)
		return io.EOF // the library reports any other error to its logger
	}
	s.current, s.queue = s.queue[0], s.queue[1:]
	message := reflect.ValueOf(v).Elem()
	if s.signal.IsValid() {
		message.Set(s.signal) // as if decoded, which is a tenth of what a request costs
		return nil
	}
	err := json.Unmarshal([]byte(`{"method":"","id":0}`), v)
	s.signal = reflect.New(message.Type()).Elem()
	s.signal.Set(message)
	return err
}

// Handle hands the request that was read last to accept.
func (s *serverStream) Handle(ctx context.Context, _ *jsonrpc2.Conn, _ *jsonrpc2.Request) {
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
	s.accept(ctx, r)
}

// WriteObject is never called: answers do not go through the library.
func (s *serverStream) WriteObject(any) error { return errors.ErrUnsupported }

// Close is called by the library when the connection has ended or its context has.
func (s *serverStream) Close() error { return s.conn.Close(CloseGoingAway, "") }

// silence keeps the library from logging what clients send.
type silence struct{}

func (silence) Printf(string, ...any) {}
