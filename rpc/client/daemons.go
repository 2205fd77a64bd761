package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// round tries the daemons once each, in their order from begin on, until one will do,
// and gives its place. An error that the next daemon would have, too, ends it.
func (c *Client) round(begin int, try func(at int) error) (int, error) {
	var failed roundError
	for i := range c.urls {
		at := (begin + i) % len(c.urls)
		err := try(at)
		if err == nil || len(c.urls) == 1 || !elsewhere(err) {
			return at, err
		}
		if refused, ok := errors.AsType[*RefusedError](err); ok {
			err = fmt.Errorf("%s: %w", c.urls[at], refused) // which does not say whose it is
		}
		failed = append(failed, err)
	}
	return begin, failed
}

// roundError says why none of several daemons will do.
type roundError []error

// Error gives what each of them has.
func (e roundError) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the error of each.
func (e roundError) Unwrap() []error { return e }

// elsewhere tells whether another daemon may do better.
func elsewhere(err error) bool {
	if coded, ok := errors.AsType[*schema.Error](err); ok {
		// Each daemon prunes its journal by itself, and may be behind.
		return coded.Code == schema.CodeCursorExpired || IsTemporary(coded)
	}
	_, refused := errors.AsType[*RefusedError](err) // tokens are each daemon's own
	return refused || IsTemporary(err) ||
		errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrUntrusted) || errors.Is(err, ErrOtherJournal)
}

// patience is how many pauses a Subscription whose cursor one daemon refuses waits for
// others that do not answer: about 3 s by the default backoff.
const patience = 5

// search is what became of asking one daemon after the other to continue a
// subscription.
type search struct {
	tried   int           // how many were asked
	hopeful bool          // one of them may be there after a while
	refused *schema.Error // the last refusal of the cursor
}

// note takes the error of the next daemon.
func (s *search) note(err error) {
	s.tried++
	coded, _ := errors.AsType[*schema.Error](err)
	switch {
	case coded != nil && coded.Code == schema.CodeCursorExpired:
		s.refused = coded
	case errors.Is(err, ErrOtherJournal):
		s.refused = schema.CursorExpired(schema.CursorEpoch, schema.Cursor{})
		s.refused.Data.Oldest = "" // not known here
	case IsTemporary(err):
		s.hopeful = true
	}
}

// recognize makes sure that all daemons of several have one journal: that of the first
// one which answered.
func (c *Client) recognize(ctx context.Context, url string, conn *wire.Client) error {
	if len(c.urls) == 1 {
		return nil
	}
	var info schema.InfoResult
	if err := exchange(ctx, conn, schema.MethodInfo, nil, &info); err != nil {
		return fmt.Errorf("%w at %s: %v", ErrUnreachable, url, err) // whatever it is, this is no daemon for now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == "" {
		c.epoch = info.Epoch
	}
	if c.epoch != info.Epoch {
		return fmt.Errorf("%w: %s", ErrOtherJournal, url)
	}
	return nil
}

// present gives the place of the daemon that calls go to.
func (c *Client) present() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// forget lets the next daemon that answers say what the journal is.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch = ""
}

// reads are the methods that change nothing: they may be repeated.
var reads = map[string]bool{
	schema.MethodGet: true, schema.MethodList: true, schema.MethodHistory: true, schema.MethodInfo: true,
	schema.MethodStats: true, schema.MethodPing: true, schema.MethodDiscover: true,
}

// mayBeBetter tells whether an answer says that calls are better made elsewhere.
func mayBeBetter(err error) bool {
	switch schema.CodeOf(err) {
	case schema.CodeShuttingDown, schema.CodeStorageUnavailable, schema.CodeOutcomeUnknown:
		return true
	}
	return false
}

// mayRepeat tells whether a call that has failed may be made again, over another
// connection: it was not made, or that makes no difference.
func (c *Client) mayRepeat(method string, err error) bool {
	notMade := mayBeBetter(err) && schema.CodeOf(err) != schema.CodeOutcomeUnknown
	return c.options.Reconnect && (notMade || reads[method] && errors.Is(err, ErrDisconnected))
}

// callConn is a connection for calls.
type callConn struct {
	*wire.Client
	underWay sync.WaitGroup // calls; grows only with dialing held, while it is the present connection
}

func (c *Client) dialCalls(ctx context.Context, at int) (*callConn, error) {
	conn, err := c.dial(ctx, at, ignore)
	if err != nil {
		return nil, err
	}
	return &callConn{Client: conn}, nil
}

// replace connects to the next daemon for calls, with dialing held. What the old
// connection has under way gets its answers.
func (c *Client) replace(ctx context.Context) error {
	old := c.calls
	at, err := c.round(c.present()+1, func(at int) error {
		fresh, err := c.dialCalls(ctx, at)
		if err == nil {
			c.calls = fresh
		}
		return err
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.at = at
	c.mu.Unlock()
	stop := context.AfterFunc(c.life, func() { _ = old.Close() })
	retire := func() {
		old.underWay.Wait()
		stop()
		_ = old.Close()
	}
	if !c.adopt(retire) {
		retire()
	}
	return nil
}
