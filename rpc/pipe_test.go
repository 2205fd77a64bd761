package rpc

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// inBubble runs a test in virtual time: time passes only when everything waits.
// Connections are pipes, which hold nothing: a write waits until it is read.
func inBubble(t *testing.T, test func(t *testing.T, overPipe func(*setup))) {
	synctest.Test(t, func(t *testing.T) {
		test(t, func(s *setup) {
			l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
			s.listen = func() net.Listener { return l }
			s.dial = l.dial
		})
	})
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7420} }
