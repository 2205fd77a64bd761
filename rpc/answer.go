package rpc

import (
	"encoding/json"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// answer gathers the answer of a request in flight.
func (s *session) answer(r *wire.Request, result json.RawMessage, err error, began time.Time) {
	s.free()
	s.reply(r, result, err, began)
}

// free makes room for another request in flight.
func (s *session) free() {
	if s.slots != nil {
		<-s.slots
	}
}

// reply gathers the answer of a request.
func (s *session) reply(r *wire.Request, result json.RawMessage, err error, began time.Time) {
	var wireErr *wire.Error
	if err != nil {
		wireErr = wireError(err)
	}
	s.logAnswer(r, err, began)
	if s.unsent == nil {
		s.unsent = buffers.Get().(*[]byte)
	}
	before := len(*s.unsent)
	*s.unsent = r.AppendAnswer(*s.unsent, result, wireErr)
	if len(*s.unsent) == before {
		return
	}
	// The answer, or the batch's, is complete: what was subscribed in it is known to
	// the peer once it is written.
	later := s.deferred[:0]
	for _, sub := range s.deferred {
		if sub.request.BatchOpen() {
			later = append(later, sub)
		} else {
			sub.request = nil
			s.starting = append(s.starting, sub)
		}
	}
	s.deferred = later
	s.ends = append(s.ends, len(*s.unsent))
	if len(*s.unsent) > maxUnsent {
		s.flush()
	}
}

func (s *session) logAnswer(r *wire.Request, err error, began time.Time) {
	level := zerolog.DebugLevel
	if code := schema.CodeOf(err); err != nil && s.ctx.Err() == nil &&
		code == schema.CodeInternal { // what a store cannot do was logged when it began
		level = zerolog.ErrorLevel
	}
	line := s.line(s.server.log.WithLevel(level))
	if r.Fault != nil {
		line = line.Int("code", r.Fault.Code)
	} else {
		line = line.Str("method", r.Method)
	}
	if r.ID != nil {
		line = line.RawJSON("id", r.ID)
	}
	line.Dur("took", time.Since(began)).Err(err).Msg("request")
}

// flush writes the gathered answers, then starts the subscriptions that they tell
// of. An error means that the connection is lost, which its reader notices.
func (s *session) flush() {
	if len(s.ends) > 0 {
		if err := s.send(split(*s.unsent, s.ends)...); err != nil {
			s.line(s.server.log.Debug()).Err(err).Msg("write")
		}
		s.ends = s.ends[:0]
	}
	if s.unsent != nil {
		giveBack(s.unsent)
		s.unsent = nil
	}
	for _, sub := range s.starting {
		sub.cursor.Start()
	}
	s.starting = nil
}
