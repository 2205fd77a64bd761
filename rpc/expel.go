package rpc

import (
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

// expelStrangers closes the connections of those who would not be let in now: their
// token was revoked, or there are tokens now and they have none.
func (s *Server) expelStrangers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.sessions {
		if session.conn != nil && s.access.recheck(session.holder) != nil {
			session.expel()
		}
	}
}

// expelWithin is how long the peer may take to hear that it has to go.
const expelWithin = 1500 * time.Millisecond

// expel closes the connection with 1008 (RFC 6455, section 7.4.1: policy), soon even
// if the peer takes nothing. What it has asked for and is not begun will not be done.
// The caller holds server.mu.
func (s *session) expel() {
	if s.leaves.Swap(true) {
		return
	}
	close(s.left)
	reason := wire.ReasonTokenNeeded
	if s.holder != nil {
		reason = wire.ReasonRevoked
	}
	s.line(s.server.log.Warn()).Msg("connection closed: " + reason)
	s.server.running.Go(func() {
		cut := time.AfterFunc(expelWithin, func() { s.conn.CloseNow() })
		defer cut.Stop()
		s.conn.Close(wire.ClosePolicy, reason)
	})
}
