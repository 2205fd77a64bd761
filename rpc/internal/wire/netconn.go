package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"
)

// netConn is the socket as the WebSocket library gets to see it, and the one place
// that writes to it once the handshake is over.
//
// Two parties write: Conn writes data frames and pings, the library answers pings and
// close frames. The library flushes every control frame with a single Write, so Write
// is handed whole frames and can keep them apart from data frames with the write lock.
// A pong does not wait for that lock, though: the library gives up on a pong after
// 5 s, and a peer is allowed to be slower than that. Pings and pongs are left in
// control and written by a goroutine that lives as long as there are any.
type netConn struct {
	net.Conn
	client       bool
	writeTimeout time.Duration
	failed       func(error) // told of a write that failed outside of any caller
	open         atomic.Bool // the handshake is over: Write is handed frames

	prefix []byte          // read from the socket, not yet by the library; the reader's alone, as what follows
	buffer *[inBuffer]byte // that prefix is in, of the pool; nil if it is in another one
	own    []byte          // buffer of a connection that needs one to wait with
	raw    syscall.RawConn // nil: a connection of that kind, see fill
	try    func(fd uintptr) bool
	tryErr error

	heard atomic.Int64 // clock of the last byte read
	start time.Time    // clock counts from here

	// writing is the write lock. It is a channel so that one can stop waiting for it.
	writing  chan struct{}
	writeErr error // why nothing may be written any more; under the write lock
	partial  bool  // a frame is half on the wire; under the write lock

	mu         sync.Mutex
	closed     chan struct{} // closed with mu held
	control    [2][]byte     // the newest ping and the newest pong not yet written
	flushing   bool          // the goroutine that writes control is running
	background sync.WaitGroup
}

func newNetConn(conn net.Conn, client bool, o Options) *netConn {
	return &netConn{
		Conn:         conn,
		client:       client,
		writeTimeout: o.WriteTimeout,
		start:        time.Now(),
		writing:      make(chan struct{}, 1),
		closed:       make(chan struct{}),
	}
}

// clock is the monotonic time since the connection was made. It is never 0.
func (n *netConn) clock() int64 { return int64(time.Since(n.start)) + 1 }

// Read reads from the socket, beginning with what was read from it before.
func (n *netConn) Read(p []byte) (int, error) {
	if !n.client && len(p) < inBuffer {
		if err := n.more(); err != nil {
			return 0, err
		}
	}
	if len(n.prefix) > 0 {
		return n.take(p), nil
	}
	k, err := n.Conn.Read(p)
	if k > 0 {
		n.heard.Store(n.clock())
	}
	return k, n.ended(err)
}

// Write takes one control frame from the library. During a client's handshake it takes
// HTTP instead.
func (n *netConn) Write(frame []byte) (int, error) {
	if !n.open.Load() {
		return n.Conn.Write(frame)
	}
	if opcode := frame[0] & 0xF; opcode != opClose {
		n.queue(opcode, append([]byte(nil), frame...))
		return len(frame), nil
	}
	last := frame
	if reason := frame[min(len(frame), 4):]; !n.client && !utf8.Valid(reason) {
		// The library says back what the peer said, and a reason must be UTF-8 (section
		// 5.5.1). What a client sends is masked, and its server is no stranger.
		last = closeFrame(closeProtocol, "", false)
	}
	// The library closes the socket after a close frame, so this one cannot be left.
	n.writeClose(last)
	return len(frame), nil
}

// Close closes the socket. It does not wait for a peer that takes nothing.
func (n *netConn) Close() error {
	n.mu.Lock()
	if n.isClosed() {
		n.mu.Unlock()
		return nil
	}
	close(n.closed)
	n.mu.Unlock()
	if secure, ok := n.Conn.(*tls.Conn); ok {
		// Close says goodbye to the peer, for up to 5 s. A second is plenty.
		defer time.AfterFunc(closeGrace, func() { _ = secure.NetConn().Close() }).Stop()
	}
	return n.Conn.Close()
}

func (n *netConn) isClosed() bool {
	select {
	case <-n.closed:
		return true
	default:
		return false
	}
}

// lock takes the write lock, or says why there is nothing more to write.
func (n *netConn) lock(timeout <-chan time.Time) error {
	select {
	case n.writing <- struct{}{}:
	case <-n.closed:
		return ErrClosed
	case <-timeout:
		return ErrStalled
	}
	if n.writeErr != nil {
		n.unlock()
		return n.writeErr
	}
	return nil
}

func (n *netConn) unlock() { <-n.writing }

// queue has a ping or pong written soon. A newer one takes the place of one that is
// still waiting: section 5.5.3 lets a pong answer only the newest ping.
func (n *netConn) queue(opcode byte, frame []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.control[opcode&1] = frame
	if n.flushing || n.isClosed() {
		return
	}
	n.flushing = true
	n.background.Go(n.flush)
}

// flush writes control frames until none is left.
func (n *netConn) flush() {
	for n.lock(nil) == nil { // on an error, whoever ended the writing told the owner
		frame := n.nextControl()
		if frame == nil {
			n.unlock()
			return
		}
		err := n.send(frame)
		n.unlock()
		if err != nil {
			n.failed(err)
			return
		}
	}
}

// nextControl takes a waiting control frame. Without one, flushing is over.
func (n *netConn) nextControl() (frame []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.control {
		if n.control[i] != nil {
			frame, n.control[i] = n.control[i], nil
			return frame
		}
	}
	n.flushing = false
	return nil
}

// writeClose writes a close frame, the last frame of this side, within closeGrace.
// It does nothing if one was written before, or if a frame was cut in the middle.
func (n *netConn) writeClose(frame []byte) {
	deadline := time.Now().Add(closeGrace)
	timeout := time.NewTimer(closeGrace)
	defer timeout.Stop()
	if n.lock(timeout.C) != nil {
		return
	}
	defer n.unlock()
	n.lastWords(frame, deadline)
	n.writeErr = ErrClosed
}

// lastWords tries to put a close frame on the wire. The caller holds the write lock and
// sets writeErr, so nothing follows it.
func (n *netConn) lastWords(frame []byte, deadline time.Time) {
	if n.partial {
		return
	}
	_ = n.SetWriteDeadline(deadline)
	_, _ = n.Conn.Write(frame)
}

// send writes p, which begins and ends between two frames unless partial says otherwise.
// The caller holds the write lock. After an error nothing more is ever written.
func (n *netConn) send(p []byte) error {
	wrote, err := n.push(p)
	if err == nil {
		return nil
	}
	n.partial = n.partial || wrote > 0
	switch {
	case errors.Is(err, ErrStalled):
		n.lastWords(closeFrame(ClosePolicy, "too slow", n.client), time.Now().Add(closeGrace))
	case n.isClosed():
		err = ErrClosed
	default:
		err = fmt.Errorf("wire: write: %w", err)
	}
	n.writeErr = err
	return err
}

// push writes p for as long as the peer takes some of it within writeTimeout.
func (n *netConn) push(p []byte) (wrote int, err error) {
	if _, secure := n.Conn.(*tls.Conn); secure {
		return n.pushTLS(p)
	}
	progress := time.Now()
	for wrote < len(p) {
		// A deadline does not move while a Write gets on, so look at it in small steps.
		_ = n.SetWriteDeadline(time.Now().Add(n.writeTimeout / 30))
		k, err := n.Conn.Write(p[wrote:])
		if wrote += k; k > 0 {
			progress = time.Now()
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return wrote, err
		case time.Since(progress) >= n.writeTimeout:
			return wrote, ErrStalled
		}
	}
	return wrote, nil
}

// pushTLS is push for TLS, where a Write that timed out can never be continued: the
// peer must take each record, 16 KiB, within writeTimeout.
func (n *netConn) pushTLS(p []byte) (wrote int, err error) {
	const record = 16 << 10
	for wrote < len(p) {
		_ = n.SetWriteDeadline(time.Now().Add(n.writeTimeout))
		k, err := n.Conn.Write(p[wrote:min(len(p), wrote+record)])
		wrote += k
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return wrote, ErrStalled
		}
		if err != nil {
			return wrote, err
		}
	}
	return wrote, nil
}
