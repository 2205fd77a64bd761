package rpc

import (
	"context"
	"net/http"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// isOpen tells whether a path needs no token: nothing of the user's is there.
func (s *Server) isOpen(path string) bool {
	switch path {
	case "/openrpc.json", "/healthz", "/readyz":
		return true
	}
	return s.board.Has(path)
}

// guarded lets those requests through that may come in, and keeps a panic from being
// told to anybody but the log.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error().Err(wire.Recovered(p)).Msg("request failed")
				panic(http.ErrAbortHandler) // which net/http does not log
			}
		}()
		s.arrivals.heard(r)
		why := s.guard.check(r)
		var holder *schema.Token
		if why == nil {
			holder, why = s.access.check(r, s.isOpen(r.URL.Path))
		}
		if why != nil {
			s.refuse(w, r, why)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holderKey{}, holder)))
	})
}

// holderKey finds the token that a request came in by in its context.
type holderKey struct{}

func holderOf(r *http.Request) *schema.Token {
	holder, _ := r.Context().Value(holderKey{}).(*schema.Token)
	return holder
}
