package rpc

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// spareConnections is how many connections there may be beyond MaxConnections: for
// POST requests, the board and metrics, and for those who are told that there are
// too many.
const spareConnections = 1000

// OpenConnections is how many connections a server with these limits has open at a
// time, and so how many files its process needs for them.
func (l Limits) OpenConnections() int { return l.withDefaults().MaxConnections + spareConnections }

// newcomers bounds the connections that are no WebSockets, or not yet, so that a
// stranger who opens connections and says nothing cannot use up the process's files.
//
// For one too many, the oldest on which no request is being answered is closed:
// whoever comes with a request is answered long before it is the oldest. Where all
// are being answered, the one too many is closed itself.
type newcomers struct {
	mu    sync.Mutex
	idle  list.List                  // of net.Conn: no complete request yet, or none again; the oldest first
	conns map[net.Conn]*list.Element // all; nil for one whose request is being answered
}

// track follows a connection (http.Server.ConnState). The first call is made by the
// goroutine that accepts.
func (s *Server) track(conn net.Conn, state http.ConnState) {
	s.arrivals.track(conn, state)
	room := s.config.Limits.OpenConnections() - int(s.Connections())
	if one := s.newcomers.move(conn, state, room); one != nil {
		s.turnAway(one)
	}
}

// move notes the state of a connection, and takes one that is in the way off the list
// if there are more than there is room for.
func (n *newcomers) move(conn net.Conn, state http.ConnState, room int) (inTheWay net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns == nil {
		n.conns = make(map[net.Conn]*list.Element)
	}
	if place := n.conns[conn]; place != nil {
		n.idle.Remove(place)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		n.conns[conn] = n.idle.PushBack(conn)
	case http.StateActive:
		n.conns[conn] = nil
	case http.StateHijacked, http.StateClosed:
		delete(n.conns, conn)
	}
	if len(n.conns) > room && n.idle.Len() > 0 {
		inTheWay = n.idle.Remove(n.idle.Front()).(net.Conn)
		delete(n.conns, inTheWay)
	}
	return inTheWay
}

// turnAway closes a connection that is in the way.
func (s *Server) turnAway(conn net.Conn) {
	if line := s.refusals.line(refusedTooManyConnections); line != nil {
		line.Stringer("remote", conn.RemoteAddr()).Msg("refused")
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // without a goodbye, which a peer that takes nothing could delay
	}
	_ = conn.Close()
}
