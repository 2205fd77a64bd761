package rpc

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

// servePost answers the requests of one POST. Apart from what is wrong with HTTP
// itself the status is always 200, or 204 where nothing is to be answered.
func (s *Server) servePost(w http.ResponseWriter, r *http.Request) {
	// Only application/json: a page of another origin cannot send that without
	// asking first (CORS preflight), which nobody answers.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "Content-Type must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	limit := s.config.Limits.MaxMessage
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, "the message is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes",
			http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest) // the peer is gone, or too slow
		return
	}
	holder := holderOf(r)
	if why := s.access.recheck(holder); why != nil { // the body has taken its time
		s.refuse(w, r, why)
		return
	}
	var answer []byte
	session := &session{
		server: s, ctx: r.Context(), refuses: s.isDraining(), remote: r.RemoteAddr, holder: holder,
	}
	session.send = func(messages ...[]byte) error {
		for _, m := range messages {
			answer = append(answer, m...)
		}
		return nil
	}
	for _, request := range wire.ParseFrame(body, wire.Limits{Batch: s.config.Limits.MaxBatch}) {
		session.handle(request)
	}
	session.settleAll()
	session.settleWaits()
	session.flush()
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(answer, '\n'))
}
