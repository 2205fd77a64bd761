package wire

import (
	"io"
	"sync"
)

// inBuffer is how much is read from a socket at a time: with one call for each message
// of some kilobytes, or for many short ones.
const inBuffer = 4 << 10

var inBuffers = sync.Pool{New: func() any { return new([inBuffer]byte) }}

// await returns when there is something to Read that is no ping or pong. It is called
// between two messages, before the library is, whose calls need more of a stack than all
// others together: who waits deep in it has a stack of 4 KiB, and makes the runtime begin
// with that for others. The library would wait there for what follows a ping, too.
func (n *netConn) await() error {
	for {
		if err := n.more(); err != nil {
			return err
		}
		if !n.passControl() {
			return nil
		}
	}
}

// more returns when there is something in prefix.
func (n *netConn) more() error {
	if len(n.prefix) > 0 {
		return nil
	}
	err := n.fill()
	if err != nil {
		return n.ended(err)
	}
	n.heard.Store(n.clock())
	return nil
}

// fillOwn is fill for connections that cannot tell that there is something.
func (n *netConn) fillOwn() error {
	if n.own == nil {
		n.own = make([]byte, 1<<10)
	}
	k, err := n.Conn.Read(n.own)
	if n.prefix = n.own[:k]; k > 0 {
		return nil
	}
	return err
}

// passControl answers a ping, drops a pong, whose use is that it was heard, and says
// whether there was one. What has not come as a whole, or is not as it should be, is left
// to the library.
func (n *netConn) passControl() bool {
	const fin, masked, head = 0x80, 0x80, 6
	frame := n.prefix
	if len(frame) < head || frame[0] != fin|opPing && frame[0] != fin|opPong {
		return false
	}
	size := int(frame[1]) - masked
	if size < 0 || size > maxControl || len(frame) < head+size {
		return false
	}
	if frame[0] == fin|opPing {
		payload := append([]byte(nil), frame[head:head+size]...)
		applyMask((*[4]byte)(frame[2:head]), payload, 0)
		n.queue(opPong, controlFrame(opPong, payload, false))
	}
	n.advance(head + size)
	return true
}

// take moves what was read before to p.
func (n *netConn) take(p []byte) int {
	k := copy(p, n.prefix)
	n.advance(k)
	return k
}

// advance goes on in what was read before.
func (n *netConn) advance(k int) {
	if n.prefix = n.prefix[k:]; len(n.prefix) == 0 {
		n.prefix = nil
		if n.buffer != nil {
			inBuffers.Put(n.buffer)
			n.buffer = nil
		}
	}
}

// ended is the error of reading as the library is to get it.
func (n *netConn) ended(err error) error {
	if err == io.EOF && n.open.Load() { //nolint:errorlint // an io.Reader returns it bare
		// The library takes io.EOF between two fragments for the end of the message.
		return io.ErrUnexpectedEOF
	}
	return err
}
