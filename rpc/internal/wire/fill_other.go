//go:build !unix

package wire

// fill waits for bytes from the peer and takes what there is.
func (n *netConn) fill() error { return n.fillOwn() }

// watch prepares fill.
func (*netConn) watch() {}
