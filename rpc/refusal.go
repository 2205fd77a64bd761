package rpc

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// Why somebody is turned away: the reason in the log and in the metric.
const (
	refusedHost               = "host"
	refusedOrigin             = "origin"
	refusedNoToken            = "no token"
	refusedBadToken           = "bad token"
	refusedRevokedToken       = "revoked token"
	refusedForbidden          = "forbidden"
	refusedTooManyConnections = "too many connections"
)

func refusalReasons() []string {
	return []string{
		refusedHost, refusedOrigin, refusedNoToken, refusedBadToken, refusedRevokedToken, refusedForbidden,
		refusedTooManyConnections,
	}
}

// refusal is the answer to a request that is turned away before anything looks at
// it.
type refusal struct {
	status int    // of HTTP
	reason string // one of the above
	answer string // one sentence for the peer
	detail string // what the peer sent that is refused; it is logged under the name of the reason
	token  string // the name of a token that is known
}

// unauthorized refuses a request for its token. The peer is not told whether a
// token that does not let it in was ever a good one.
func unauthorized(reason, name string) *refusal {
	answer := "the token is not valid"
	if reason == refusedNoToken {
		answer = "a token is needed"
	}
	return &refusal{status: http.StatusUnauthorized, reason: reason, answer: answer, token: name}
}

// refusedBodyTimeout is how long the body of a request that is refused may take:
// net/http reads on before it answers, and a stranger would hold the connection for
// all of bodyTimeout.
const refusedBodyTimeout = time.Second

// refuse answers, counts and logs a refusal.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why *refusal) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedBodyTimeout))
	if line := s.refusals.line(why.reason); line != nil {
		line = line.Str("remote", r.RemoteAddr).Str("path", shorten(r.URL.Path))
		if why.detail != "" {
			line = line.Str(why.reason, shorten(why.detail))
		}
		if why.token != "" {
			line = line.Str("token", why.token)
		}
		line.Msg("refused")
	}
	if why.status != http.StatusUnauthorized {
		http.Error(w, why.answer, why.status)
		return
	}
	// RFC 6750, section 3: no error code where there was no token.
	challenge := `Bearer realm="descartes"`
	if why.reason != refusedNoToken {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	if r.Method != http.MethodPost {
		http.Error(w, why.answer, why.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(why.status)
	request := wire.Request{ID: json.RawMessage("null")}
	w.Write(append(request.Answer(nil, wireError(schema.Unauthorized(why.answer))), '\n'))
}

// mayWrite refuses a write to a token that may only read.
func (s *session) mayWrite(r *wire.Request) error {
	if s.holder == nil || s.holder.Scope == schema.ScopeWrite {
		return nil
	}
	if line := s.server.refusals.line(refusedForbidden); line != nil {
		line.Str("remote", s.remote).Str("path", "/rpc").Str("token", s.holder.Name).Str("method", r.Method).Msg("refused")
	}
	return schema.Forbidden()
}

// refusalLines is how many refusals of one reason are logged in a second. The others
// are counted: nobody can fill a disk by being refused.
const refusalLines = 10

// refusals counts and logs who was turned away. Its methods are safe for concurrent
// use.
type refusals struct {
	log     zerolog.Logger
	metrics *Metrics

	mu    sync.Mutex
	count map[string]int // by reason, in this second
}

// line gives the log line for a refusal, nil if there were too many of this reason.
func (f *refusals) line(reason string) *zerolog.Event {
	f.metrics.refused.WithLabelValues(reason).Inc()
	f.mu.Lock()
	f.count[reason]++
	logged := f.count[reason] <= refusalLines
	f.mu.Unlock()
	if !logged {
		return nil
	}
	return f.log.Warn().Str("reason", reason)
}

// tick begins the next second.
func (f *refusals) tick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for reason, count := range f.count {
		if more := count - refusalLines; more > 0 {
			f.log.Warn().Str("reason", reason).Int("left_out", more).Msg("refused, too often to log each")
		}
	}
	clear(f.count)
}

// shorten keeps what a stranger sent from flooding the log. What is not printable is
// made harmless by the log itself.
func shorten(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
