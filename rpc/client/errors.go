package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

var (
	// ErrUnreachable says that nothing that speaks WebSocket answers at the URL.
	ErrUnreachable = errors.New("no daemon answers")
	// ErrDisconnected says that the connection was lost. A call that was under way may
	// have been made. The same is true of one that was answered with
	// schema.CodeOutcomeUnknown, over a connection that lasts.
	ErrDisconnected = errors.New("the connection was lost")
	// ErrClosed says that the Client or the Subscription was closed by this program.
	ErrClosed = errors.New("the client is closed")
	// ErrUntrusted says that what answers at the URL has no certificate that proves
	// that it is the daemon: see Options.TLS.
	ErrUntrusted = errors.New("the certificate is not trusted")
	// ErrUnauthorized says that the daemon wants a token and there was none, a wrong
	// one, or one that was revoked, perhaps while the connection was open.
	ErrUnauthorized = errors.New("a valid token is needed")
	// ErrForbidden says that the daemon does not answer to this name, or to programs
	// of this origin.
	ErrForbidden = errors.New("the name or the origin is not allowed")
	// ErrUnavailable says that the daemon has too many connections, or is going away.
	ErrUnavailable = errors.New("the daemon takes no connection now")
	// ErrOtherJournal says that a daemon of several has another journal than the one
	// that answered first: it is not of that cluster, or a backup was restored. It is
	// not used, so that tasks of two journals never mix; Dial begins anew.
	ErrOtherJournal = errors.New("the daemon has another journal")
)

// RefusedError is the daemon's refusal of a connection, as an HTTP answer. It is
// ErrUnauthorized for 401, ErrForbidden for 403 and ErrUnavailable for 503.
type RefusedError struct {
	Status int    // of HTTP
	Reason string // what the daemon said, at most 1 KiB
}

// Unwrap gives the meaning of the status, nil for one that the daemon has no use for.
func (e *RefusedError) Unwrap() error {
	switch e.Status {
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusServiceUnavailable:
		return ErrUnavailable
	}
	return nil
}

// Error gives the sentence for people.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("the daemon refused the connection: %d %s", e.Status, http.StatusText(e.Status))
	if reason := strings.TrimSpace(e.Reason); reason != "" {
		text += ": " + reason
	}
	return text
}

// callError makes of an error of a call over conn what callers are promised.
func callError(ctx context.Context, conn *wire.Client, err error) error {
	if answer, ok := errors.AsType[*wire.Error](err); ok {
		coded := &schema.Error{Code: schema.Code(answer.Code), Message: answer.Message}
		// Data of another shape, from something that is no Descartes, stays empty.
		_ = json.Unmarshal(answer.Data, &coded.Data)
		return coded
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if end := conn.Err(); end != nil {
		err = end // says more than that the call has no answer
	}
	return lostError(err)
}

// lostError makes of what ended a connection what callers are promised.
func lostError(err error) error {
	// The daemon closes with the same code, but other words, on a peer that is slow.
	end, ok := errors.AsType[*wire.CloseError](err)
	if ok && end.Code == wire.ClosePolicy && (end.Reason == wire.ReasonRevoked || end.Reason == wire.ReasonTokenNeeded) {
		return fmt.Errorf("%w: the daemon closed the connection: %s", ErrUnauthorized, end.Reason)
	}
	if ok && end.Reason != "" {
		return fmt.Errorf("%w: %s", ErrDisconnected, end.Reason)
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, err)
}

// dialError makes of an error of wire.Dial what callers are promised. What the
// server says may repeat the token that it was sent.
func dialError(url, token string, err error) error {
	if refused, ok := errors.AsType[*wire.DialError](err); ok {
		reason := refused.Body
		if token != "" {
			reason = strings.ReplaceAll(reason, token, "[token]")
		}
		return &RefusedError{Status: refused.Status, Reason: reason}
	}
	if why, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: %s: %w", ErrUntrusted, url, why.Err)
	}
	if request, ok := errors.AsType[*neturl.Error](err); ok {
		err = request.Err // what is around it says only that this was a handshake
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, url, err)
}

// IsTemporary tells whether an error of Dial or of a call may be gone after a while:
// the daemon is away, ends, is full, or cannot use its file or the log of its cluster
// now. Of the errors of several daemons one is enough. It does not say that a call was
// not made: see IsInDoubt.
func IsTemporary(err error) bool {
	if each, ok := errors.AsType[roundError](err); ok {
		return slices.ContainsFunc(each, IsTemporary)
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests
	}
	if coded, ok := errors.AsType[*schema.Error](err); ok {
		return mayBeBetter(coded)
	}
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrDisconnected)
}

// IsInDoubt tells whether an error leaves open what became of a write: the connection was
// lost before the answer, or, of a cluster, the code is CodeOutcomeUnknown. The write may
// have been made, or may be made yet. With an id of the caller's, an expected_version or a
// lease token it can be repeated safely.
func IsInDoubt(err error) bool {
	return errors.Is(err, ErrDisconnected) || errors.Is(err, schema.CodeOutcomeUnknown)
}
