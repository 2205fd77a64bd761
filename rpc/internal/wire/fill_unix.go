//go:build unix

package wire

import (
	"errors"
	"io"
	"syscall"
)

// fill waits for bytes from the peer and takes what there is. Who waits for a socket of
// the system needs no buffer before something is there to be put in.
func (n *netConn) fill() error {
	if n.raw == nil {
		return n.fillOwn()
	}
	if err := n.raw.Read(n.try); err != nil {
		return err
	}
	return n.tryErr
}

// watch prepares fill.
func (n *netConn) watch() {
	socket, ok := n.Conn.(syscall.Conn)
	if !ok {
		return // TLS, or a pipe
	}
	if raw, err := socket.SyscallConn(); err == nil {
		n.raw, n.try = raw, n.tryRead
	}
}

// tryRead reads from the socket, and says whether there was something, if only its end.
func (n *netConn) tryRead(fd uintptr) bool {
	buffer := inBuffers.Get().(*[inBuffer]byte)
	k, err := syscall.Read(int(fd), buffer[:])
	for errors.Is(err, syscall.EINTR) {
		k, err = syscall.Read(int(fd), buffer[:])
	}
	if k == 0 && err == nil {
		err = io.EOF
	}
	n.tryErr = err
	if k > 0 {
		n.prefix, n.buffer = buffer[:k], buffer
		return true
	}
	inBuffers.Put(buffer)
	return !errors.Is(err, syscall.EAGAIN)
}
