package rpc

import (
	"context"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/schema"
)

// TokenStore knows the tokens of the database. It is safe for concurrent use.
type TokenStore interface {
	// Tokens lists every token, revoked ones too. It is called for each request that
	// needs a token, once for all that come at the same time, and must be quick.
	Tokens(ctx context.Context) ([]schema.Token, error)
}

const (
	// accessEvery is how often the list of tokens is read while nobody comes.
	accessEvery = time.Second

	// accessWait is how long a request waits for a reading. After it, as when the file
	// cannot be read, the last known list stays.
	accessWait = time.Second
)

// access knows who may come in. Tokens are asked for as soon as there is one, a
// revoked one too: whoever revokes the last one means that nobody may. It keeps the
// list in memory, and one goroutine that reads it again.
type access struct {
	store   TokenStore // nil: there are no tokens
	always  bool       // asks for tokens even while there are none
	log     zerolog.Logger
	changed func()      // called by the goroutine when the list is another one
	tick    func()      // called by the goroutine each accessEvery
	asks    atomic.Bool // a token is needed

	ctx    context.Context // of the readings
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	wanted chan struct{} // one slot: somebody waits for a reading

	mu     sync.Mutex
	began  bool // the goroutine was started, or never will be
	tokens []schema.Token
	known  bool          // tokens has been read
	next   chan struct{} // closed after the next reading that begins

	failing bool // the last reading failed; of the goroutine
}

func newAccess(store TokenStore, always bool, log zerolog.Logger) *access {
	a := &access{
		store: store, always: always, log: log,
		done: make(chan struct{}), wanted: make(chan struct{}, 1), next: make(chan struct{}),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.asks.Store(store != nil || always) // until the list is known, nobody comes in
	return a
}

// begin starts the goroutine, once, and waits until the list is known.
func (a *access) begin() {
	if a.first() {
		go func() {
			defer close(a.done)
			a.run()
		}()
	}
	a.refresh(a.ctx)
}

// end waits for the goroutine. What was known stays. Calling it twice is harmless.
func (a *access) end() {
	a.cancel()
	if a.first() {
		close(a.done)
	}
	<-a.done
}

// first tells, once, that the goroutine was not started yet.
func (a *access) first() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := !a.began
	a.began = true
	return first
}

func (a *access) run() {
	ticker := time.NewTicker(accessEvery)
	defer ticker.Stop()
	for a.ctx.Err() == nil {
		if a.store != nil {
			a.reload()
		}
		select {
		case <-a.ctx.Done():
		case <-a.wanted:
		case <-ticker.C:
			a.tick()
		}
	}
}

// reload reads the list, lets go who waits for that, and tells of a change.
func (a *access) reload() {
	a.mu.Lock()
	waiting := a.next
	a.next = make(chan struct{})
	a.mu.Unlock()
	defer close(waiting)
	tokens, err := a.store.Tokens(a.ctx)
	switch {
	case a.ctx.Err() != nil:
		return
	case err != nil && !a.failing:
		a.log.Error().Err(err).Msg("the tokens cannot be read: those that are known stay")
	case err == nil && a.failing:
		a.log.Info().Msg("the tokens can be read again")
	}
	if a.failing = err != nil; a.failing {
		return
	}
	a.mu.Lock()
	changed := !a.known || !slices.Equal(a.tokens, tokens)
	a.tokens, a.known = tokens, true
	a.asks.Store(a.always || len(tokens) > 0)
	a.mu.Unlock()
	if changed {
		a.changed()
	}
}

// refresh waits for a reading that begins after it was called, but no longer than
// accessWait or ctx. Whoever waits meanwhile waits for the same one.
func (a *access) refresh(ctx context.Context) {
	if a.store == nil {
		return
	}
	a.mu.Lock()
	next := a.next
	a.mu.Unlock()
	select {
	case a.wanted <- struct{}{}:
	default: // somebody else has asked, and that reading has not begun
	}
	patience := time.NewTimer(accessWait)
	defer patience.Stop()
	select {
	case <-next:
	case <-patience.C:
	case <-ctx.Done():
	case <-a.ctx.Done():
	}
}

// check gives the token that a request comes in by, nil where none is needed, or
// the reason why it is refused. What is open to everybody is refused to a wrong
// token, too: whoever shows one wants to know. It judges by the list as it is now: a
// token works as soon as it is made, and not any more as soon as it is revoked.
func (a *access) check(r *http.Request, open bool) (*schema.Token, *refusal) {
	secret, ok := credential(r.Header)
	if open && ok && secret == "" {
		return nil, nil
	}
	a.refresh(r.Context())
	switch {
	case !a.asks.Load():
		return nil, nil
	case !ok:
		return nil, unauthorized(refusedBadToken, "")
	case secret == "":
		return nil, unauthorized(refusedNoToken, "")
	}
	holder := a.find(schema.HashToken(secret))
	switch {
	case holder == nil:
		return nil, unauthorized(refusedBadToken, "")
	case holder.Revoked():
		return nil, unauthorized(refusedRevokedToken, holder.Name)
	}
	return holder, nil
}

// recheck gives the reason why somebody who came in by holder, nil for without a
// token, may not stay, or nil.
func (a *access) recheck(holder *schema.Token) *refusal {
	if holder == nil {
		if a.asks.Load() {
			return unauthorized(refusedNoToken, "")
		}
		return nil
	}
	if present := a.find(holder.Hash); present == nil || *present != *holder {
		return unauthorized(refusedRevokedToken, holder.Name)
	}
	return nil
}

// find gives the token with a hash, in a time that does not depend on how much of
// it is right.
func (a *access) find(hash schema.TokenHash) (found *schema.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.tokens {
		if subtle.ConstantTimeCompare(a.tokens[i].Hash[:], hash[:]) == 1 {
			found = &a.tokens[i]
		}
	}
	return found
}

// bearer is the subprotocol that a page uses instead of the Authorization header,
// which it cannot set.
const bearer = "bearer."

// credential gives the token that a request shows: as Authorization: Bearer (RFC
// 6750, section 2.1), as the subprotocol bearer.TOKEN, or the same in both; "" for
// none. It is not ok if there are several, or none where one should be. The URL is
// never looked at: URLs end up in logs and histories.
func credential(h http.Header) (token string, ok bool) {
	var header, offered []string
	for _, value := range h.Values("Authorization") {
		if scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " "); equalFold(scheme, "Bearer") {
			header = append(header, strings.TrimSpace(rest))
		}
	}
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			if rest, ours := strings.CutPrefix(strings.TrimSpace(offer), bearer); ours {
				offered = append(offered, rest)
			}
		}
	}
	shown := append(header, offered...)
	if len(shown) == 0 {
		return "", true
	}
	several := len(header) > 1 || len(offered) > 1 || shown[0] != shown[len(shown)-1]
	return shown[0], !several && shown[0] != ""
}
