package wire

import (
	"io"
	"sync"
)

// inBuffer is how much is read from a socket at a time: with one call for each message
// of some kilobytes, or for many short ones.
const inBuffer = 4 << 10

var inBuffers = sync.Pool{New: func() any { return new([inBuffer]byte) }}

// await returns when there is something to Read. It does what Read would do, but is called
// before the library is, whose frames need more of a stack than all others together: who
// waits deep in it has a stack of 4 KiB, and makes the runtime begin with that for others.
func (n *netConn) await() error {
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

// take moves what was read before to p.
func (n *netConn) take(p []byte) int {
	k := copy(p, n.prefix)
	if n.prefix = n.prefix[k:]; len(n.prefix) == 0 {
		n.prefix = nil
		if n.buffer != nil {
			inBuffers.Put(n.buffer)
			n.buffer = nil
		}
	}
	return k
}

// ended is the error of reading as the library is to get it.
func (n *netConn) ended(err error) error {
	if err == io.EOF && n.open.Load() { //nolint:errorlint // an io.Reader returns it bare
		// The library takes io.EOF between two fragments for the end of the message.
		return io.ErrUnexpectedEOF
	}
	return err
}
