package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"nhooyr.io/websocket"
)

// Options configures one connection. The zero value is usable.
type Options struct {
	// MaxMessage is the longest message that is read, in bytes; default 1 MiB. A
	// longer one ends the connection with CloseTooBig.
	MaxMessage int64

	// Subprotocols says which of the client's offers is accepted: the first entry that
	// one of them matches. An entry that ends in a dot stands for every name that
	// begins with it. Default "jsonrpc", then "bearer.". Only for Accept.
	Subprotocols []string

	// WriteTimeout is how long the peer may take not one byte of what is being written
	// before the connection ends with ClosePolicy; default 30 s.
	WriteTimeout time.Duration

	// PingInterval is the time between two pings; default 20 s.
	PingInterval time.Duration

	// PongTimeout is how long the peer may be silent after a ping while a Read waits
	// for it; default 30 s.
	PongTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = 1 << 20
	}
	if o.Subprotocols == nil {
		o.Subprotocols = []string{"jsonrpc", "bearer."}
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 30 * time.Second
	}
	if o.PingInterval <= 0 {
		o.PingInterval = 20 * time.Second
	}
	if o.PongTimeout <= 0 {
		o.PongTimeout = 30 * time.Second
	}
	return o
}

// Conn is one WebSocket connection, either end of it. Write, Close and CloseNow may be
// called from any goroutine; Read (or Serve, or a Client) belongs to one. A Conn must be
// closed, or read until an error, to give back what it holds.
type Conn struct {
	net        *netConn
	ws         *websocket.Conn
	in         *bufio.Reader // the library's, of a server
	maxMessage int64
	alive      keepAlive

	reading chan struct{} // held by whoever reads
	waiting atomic.Int64  // clock at which the Read in progress began, or 0

	closing atomic.Bool // Close has begun: what still comes in is dropped
	over    atomic.Bool // CloseNow has begun
	done    chan struct{}
	cause   atomic.Pointer[error] // why this side ended the connection by itself
}

// Accept makes a WebSocket connection of an HTTP request (RFC 6455, section 4.2). The
// handler may return after it: the connection holds nothing of the request. On an error
// the request has been answered.
//
// Accept does not look at the Origin header. The caller must have.
func Accept(w http.ResponseWriter, r *http.Request, o Options) (*Conn, error) {
	o = o.withDefaults()
	h := &hijacker{ResponseWriter: w, options: o}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols: chooseSubprotocol(r.Header, o.Subprotocols),
		// The server checks Host and Origin before it comes here, against a list that
		// the library knows nothing of.
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	c := newConn(h.conn, ws, o)
	c.in = h.in
	c.in.Reset(h.conn) // the library has put a reader of nothing in between
	return c, nil
}

func newConn(n *netConn, ws *websocket.Conn, o Options) *Conn {
	ws.SetReadLimit(-1) // readMessage has its own, which keeps the frames in step
	c := &Conn{
		net:        n,
		ws:         ws,
		maxMessage: o.MaxMessage,
		reading:    make(chan struct{}, 1),
		done:       make(chan struct{}),
	}
	n.failed = c.abort
	n.open.Store(true)
	c.alive.begin(c, o)
	return c
}

// hijacker gives the library a netConn in place of the server's connection, with
// buffers of its own: those of net/http are 4 KiB each way for the connection's life.
type hijacker struct {
	http.ResponseWriter
	options Options
	conn    *netConn
	in      *bufio.Reader
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = newNetConn(conn, false, h.options)
	// The server may have read frames already; the bytes die with its buffer.
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	h.conn.prefix = append([]byte(nil), early...)
	h.conn.open.Store(true)
	h.conn.watch()
	const in, out = 16, 2 + maxControl // in: the header of a frame; out: one control frame, see netConn
	h.in = bufio.NewReaderSize(h.conn, in)
	return h.conn, bufio.NewReadWriter(h.in, bufio.NewWriterSize(h.conn, out)), nil
}

// chooseSubprotocol returns the offer to accept, as the list that the library wants.
func chooseSubprotocol(header http.Header, accepted []string) []string {
	var offers []string
	for _, line := range header.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			offers = append(offers, strings.TrimSpace(offer))
		}
	}
	for _, want := range accepted {
		for _, offer := range offers {
			if offer == want || strings.HasSuffix(want, ".") && strings.HasPrefix(offer, want) {
				return []string{offer}
			}
		}
	}
	return nil
}

// Subprotocol is the subprotocol that was agreed on, or "".
func (c *Conn) Subprotocol() string { return c.ws.Subprotocol() }

// Done is closed when the connection is over and its socket closed.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Read returns the next message, text or binary, in memory of its own. Pings and close
// frames are answered only while a Read waits.
//
// After any error the connection is over. The error is io.EOF for every ordinary end,
// or wraps it: a CloseError holds what the peer's close frame said. Others are
// ErrTooBig, ErrStalled, ErrSilent, and breaches of the WebSocket protocol.
func (c *Conn) Read() ([]byte, error) {
	select {
	case c.reading <- struct{}{}:
	case <-c.done:
		return nil, c.ending(io.EOF)
	}
	defer func() { <-c.reading }()
	c.waiting.Store(c.net.clock())
	defer c.waiting.Store(0)
	var message []byte
	var err error
	if c.in != nil && c.in.Buffered() == 0 {
		err = c.net.await()
	}
	if err == nil {
		message, err = c.readMessage()
	}
	if err != nil {
		err = c.ending(err)
		if !errors.Is(err, io.EOF) {
			c.net.writeClose(closeFrame(closeProtocol, "", c.net.client))
		}
		_ = c.CloseNow()
	}
	return message, err
}

func (c *Conn) readMessage() ([]byte, error) {
	_, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	message, err := readUpTo(r, c.maxMessage)
	if errors.Is(err, ErrTooBig) {
		c.fail(ErrTooBig)
		c.beginClose(CloseTooBig, "message too big")
		// Read on to the peer's close frame: closing a socket with unread bytes resets
		// it, and the peer might never see why.
		_, _ = io.Copy(io.Discard, r)
	}
	if err == nil && c.closing.Load() || errors.Is(err, ErrTooBig) {
		return nil, c.discard()
	}
	return message, err
}

// readUpTo reads all of r, or fails with ErrTooBig after limit bytes.
func readUpTo(r io.Reader, limit int64) ([]byte, error) {
	message := make([]byte, 0, 1024) // most requests fit
	for {
		if len(message) == cap(message) {
			message = append(make([]byte, 0, 2*cap(message)), message...)
		}
		// Not beyond the first byte that is too much: the library waits until it can fill
		// what it is given.
		k, err := r.Read(message[len(message):min(int64(cap(message)), limit+1)])
		message = message[:len(message)+k]
		switch {
		case int64(len(message)) > limit:
			return nil, ErrTooBig
		case err == io.EOF: //nolint:errorlint // an io.Reader returns it bare
			return message, nil
		case err != nil:
			return nil, err
		}
	}
}

// discard reads until the connection ends, and says how it did.
func (c *Conn) discard() error {
	for {
		_, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, r)
	}
}

// Write sends each message as one text frame, all of them in as few socket writes as
// their size allows, in order and with nothing in between but control frames. It
// returns when the kernel has taken them. The messages must be UTF-8, and may be shared:
// they are only read.
//
// If the peer takes not one byte for Options.WriteTimeout, the connection is closed and
// the error is ErrStalled. After any error the connection is over and every Write fails
// at once; how many of the messages have arrived is unknown.
func (c *Conn) Write(messages ...[]byte) error {
	err := c.net.writeMessages(messages)
	if err != nil {
		c.abort(err)
	}
	return err
}
