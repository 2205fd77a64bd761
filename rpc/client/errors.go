package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

var (
	// ErrUnreachable says that nothing that speaks WebSocket answers at the URL.
	ErrUnreachable = errors.New("no daemon answers")
	// ErrDisconnected says that the connection was lost. A call that was under way may
	// have been made.
	ErrDisconnected = errors.New("the connection was lost")
	// ErrClosed says that the Client or the Subscription was closed by this program.
	ErrClosed = errors.New("the client is closed")
)

// RefusedError is the daemon's refusal of a connection, as an HTTP answer: 401 for
// no or a bad token, 403 for a name or an origin that is not allowed, 503 for too
// many connections.
type RefusedError struct {
	Status int    // of HTTP
	Reason string // what the daemon said, at most 1 KiB
}

// Error gives the sentence for people.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("the daemon refused the connection: %d %s", e.Status, http.StatusText(e.Status))
	if reason := strings.TrimSpace(e.Reason); reason != "" {
		text += ": " + reason
	}
	return text
}

// callError makes of an error of the wire what callers are promised.
func callError(ctx context.Context, err error) error {
	if answer, ok := errors.AsType[*wire.Error](err); ok {
		coded := &schema.Error{Code: schema.Code(answer.Code), Message: answer.Message}
		// Data of another shape, from something that is no Descartes, stays empty.
		_ = json.Unmarshal(answer.Data, &coded.Data)
		return coded
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, err)
}

// isTemporary tells whether connecting again may help.
func isTemporary(err error) bool {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests
	}
	if coded, ok := errors.AsType[*schema.Error](err); ok {
		return coded.Code == schema.CodeShuttingDown || coded.Code == schema.CodeStorageUnavailable
	}
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrDisconnected)
}
