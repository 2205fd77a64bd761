package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"nhooyr.io/websocket"
)

// Close codes (RFC 6455, section 7.4.1).
const (
	CloseNormal    = 1000 // the client is done
	CloseGoingAway = 1001 // the server is going down
	ClosePolicy    = 1008 // too slow, silent, or no longer allowed
	CloseTooBig    = 1009 // a message over the size limit

	closeProtocol = 1002
	closeInternal = 1011
)

// Reasons of ClosePolicy that a client must tell from those of a peer that is slow:
// connecting again with the same token does not help.
const (
	ReasonRevoked     = "the token was revoked"
	ReasonTokenNeeded = "a token is needed now"
)

// closeGrace is how long each step of closing may take: to get the close frame out, to
// get the peer's in.
const closeGrace = time.Second

var (
	// ErrClosed is returned for writing to a connection that is closed or closing.
	ErrClosed = errors.New("wire: connection closed")
	// ErrTooBig ends a connection whose peer sent a message over Options.MaxMessage.
	ErrTooBig = errors.New("wire: message too big")
	// ErrStalled ends a connection whose peer took nothing for Options.WriteTimeout.
	ErrStalled = errors.New("wire: peer takes nothing")
	// ErrSilent ends a connection whose peer sent nothing for Options.PongTimeout after
	// a ping.
	ErrSilent = errors.New("wire: peer answers no ping")
)

// CloseError is what the peer's close frame said. It wraps io.EOF: a close frame is an
// ordinary end.
type CloseError struct {
	Code   int // 1005 if the frame had none
	Reason string
}

// Error implements the error interface.
func (e *CloseError) Error() string {
	return fmt.Sprintf("wire: peer closed the connection: %d %s", e.Code, e.Reason)
}

// Unwrap returns io.EOF.
func (e *CloseError) Unwrap() error { return io.EOF }

// CloseCode is the code of the close frame with which the peer ended the connection, for
// an error from Read, or 0 if it sent none.
func CloseCode(err error) int {
	if e, ok := errors.AsType[*CloseError](err); ok {
		return e.Code
	}
	return 0
}

// Close ends the connection with a close frame, if one can still be written, and waits
// for the peer's. It takes 2 s at most (3 s under TLS), whatever the peer does. Messages that the peer
// sends meanwhile are dropped. Closing again waits for the first Close and does nothing.
// The error is always nil.
func (c *Conn) Close(code int, reason string) error {
	c.beginClose(code, reason)
	select {
	case c.reading <- struct{}{}:
		_ = c.discard()
		<-c.reading
	case <-c.done: // somebody else reads, and ends the connection
	}
	return c.CloseNow()
}

// beginClose sends the close frame and sees to it that the connection ends soon.
func (c *Conn) beginClose(code int, reason string) {
	if c.closing.Swap(true) {
		return
	}
	c.net.writeClose(closeFrame(code, reason, c.net.client))
	c.alive.cutIn(closeGrace)
}

// CloseNow closes the socket without a word. It may be called any number of times and
// returns when the connection is over. The error is always nil.
func (c *Conn) CloseNow() error {
	if c.over.Swap(true) {
		<-c.done
		return nil
	}
	_ = c.net.Close()
	_ = c.ws.CloseNow()
	c.alive.end()
	close(c.done)
	return nil
}

// abort ends the connection because of err.
func (c *Conn) abort(err error) {
	c.fail(err)
	_ = c.CloseNow()
}

// fail remembers the first reason that this side has for ending the connection.
func (c *Conn) fail(err error) {
	if !errors.Is(err, ErrClosed) && !isNetwork(err) {
		c.cause.CompareAndSwap(nil, &err)
	}
}

// ending translates the error that ended the reading.
func (c *Conn) ending(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	if c.closing.Load() {
		return io.EOF
	}
	if e, ok := errors.AsType[websocket.CloseError](err); ok {
		return &CloseError{int(e.Code), e.Reason}
	}
	if isNetwork(err) {
		return io.EOF
	}
	return fmt.Errorf("wire: read: %w", err)
}

// isNetwork reports whether the connection simply went away.
func isNetwork(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
