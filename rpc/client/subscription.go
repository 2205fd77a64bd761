package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// ResyncInterrupted is the reason of a schema.Resync event that a Subscription
// makes itself when the connection was lost within a snapshot. Other reasons are
// the daemon's.
const ResyncInterrupted = "interrupted"

// Subscription delivers events in order. Next and Events belong to one goroutine
// at a time; Cursor to the same; Close may be called from any.
type Subscription struct {
	client *Client
	asked  schema.SubscribeParams
	life   context.Context // ends with Close, or with the Client's
	end    context.CancelFunc

	moved func(connected bool) // told, from Next, when the connection is lost and when it is there again

	// Owned by the goroutine that calls Next.
	pending  []schema.Event // read, not yet delivered
	progress progress
	attempt  int   // pauses before connecting, since something was received
	lost     bool  // the consumer was told that the connection is lost
	err      error // why the subscription has ended
	at       int   // the daemon it is connected to, or was: its place in the client's urls
	left     int   // daemons to try before the next pause
	search   search

	mu   sync.Mutex // held to replace link
	link *link      // nil: lost
}

// Subscribe starts a subscription on a connection of its own. The errors are those
// of Dial and Call; the codes CodeInvalidParams, CodeCursorExpired,
// CodeLimitExceeded. The Subscription must be closed, as by closing the Client.
//
// A subscription "from now on" (neither since nor a snapshot) has its first cursor
// with the bookmark that is its first event. If the connection is lost even before
// that, it begins with the new connection.
func (c *Client) Subscribe(ctx context.Context, params schema.SubscribeParams) (*Subscription, error) {
	s := &Subscription{client: c, asked: params, moved: func(bool) {}}
	s.life, s.end = context.WithCancel(c.life)
	connecting, cancel := bothAlive(ctx, s.life)
	defer cancel()
	_, err := c.round(c.present(), func(at int) error {
		s.at = at
		return s.connect(connecting)
	})
	if err != nil {
		s.end()
		return nil, err
	}
	s.left = len(c.urls) - 1
	c.mu.Lock()
	closed := c.subscriptions == nil
	if !closed {
		c.subscriptions[s] = struct{}{}
	}
	c.mu.Unlock()
	if closed {
		_ = s.Close()
		return nil, ErrClosed
	}
	return s, nil
}

// Events yields every event until the subscription ends; the last pair then has
// the error. After Close there is none. Breaking off and ranging again loses
// nothing.
func (s *Subscription) Events(ctx context.Context) iter.Seq2[schema.Event, error] {
	return func(yield func(schema.Event, error) bool) {
		for {
			event, err := s.Next(ctx)
			if errors.Is(err, ErrClosed) || !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Next waits for the next event. When ctx ends, its error is returned and nothing
// is lost; any other error is the end of the subscription and comes again:
// ErrClosed, ErrDisconnected without Reconnect, and what cannot be mended by
// connecting again: ErrUnauthorized, ErrForbidden, ErrUntrusted, another
// *RefusedError of the 4xx kind, or a *schema.Error such as CodeCursorExpired, after
// which only a snapshot helps.
func (s *Subscription) Next(ctx context.Context) (schema.Event, error) {
	for s.err == nil {
		if s.life.Err() != nil {
			return schema.Event{}, ErrClosed
		}
		if len(s.pending) == 0 {
			if err := s.receive(ctx); err != nil && ctx.Err() != nil {
				return schema.Event{}, ctx.Err()
			} else if err != nil {
				s.finish(err)
			}
			continue
		}
		event := s.pending[0]
		s.pending = s.pending[1:]
		if !s.progress.pass(&event) {
			continue
		}
		if event.ChangeType == schema.Resync {
			s.resynced(&event)
		}
		return event, nil
	}
	return schema.Event{}, s.err
}

// Cursor gives the place to continue from with since: everything up to it was
// returned by Next. It is "" before the first cursor, and within a snapshot.
func (s *Subscription) Cursor() string { return s.progress.cursor }

// URL gives the address of the daemon that the subscription is connected to, or tried
// last. It belongs to the goroutine that calls Next.
func (s *Subscription) URL() string { return s.client.urls[s.at] }

// Close ends the subscription and its connection, and waits until they are over.
// A Next under way returns ErrClosed. Closing twice is harmless. The error is
// always nil.
func (s *Subscription) Close() error {
	s.end()
	s.client.mu.Lock()
	delete(s.client.subscriptions, s)
	s.client.mu.Unlock()
	s.drop()
	return nil
}

// receive reads on, or makes one attempt to connect.
func (s *Subscription) receive(ctx context.Context) error {
	l := s.current()
	if l == nil {
		return s.reconnect(ctx)
	}
	m, err := l.next(ctx, s.life)
	if err == nil {
		s.attempt, s.left = 0, len(s.client.urls)-1
		if s.pending, err = m.events(); err != nil {
			return fmt.Errorf("read a notification: %w", err)
		}
		return nil
	}
	// The same message would be too big the next time; tokens are each daemon's own.
	mendable := errors.Is(err, ErrDisconnected) || len(s.client.urls) > 1 && errors.Is(err, ErrUnauthorized)
	if !s.client.options.Reconnect || !mendable || errors.Is(err, wire.ErrTooBig) {
		return err
	}
	s.drop()
	s.tellLost(err)
	return nil
}

// connect opens a link where the subscription left off.
func (s *Subscription) connect(ctx context.Context) error {
	params, resumed := s.asked, s.progress.cursor != ""
	if resumed {
		params.Since, params.Snapshot = &s.progress.cursor, nil
	}
	l, err := s.client.openLink(ctx, s.at, params, resumed)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.link = l
	s.mu.Unlock()
	if s.life.Err() != nil {
		s.drop() // Close may have come before the link was there
		return ErrClosed
	}
	return nil
}

// reconnect makes one attempt to replace a lost link, with the next daemon. There is
// no error as long as another attempt may help.
func (s *Subscription) reconnect(ctx context.Context) error {
	ctx, cancel := bothAlive(ctx, s.life)
	defer cancel()
	if s.left == 0 {
		pause := time.NewTimer(s.client.options.Backoff(s.attempt))
		defer pause.Stop()
		s.attempt++
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.left = len(s.client.urls)
	}
	s.left--
	s.at = (s.at + 1) % len(s.client.urls)
	if err := s.connect(ctx); err != nil {
		return s.failed(err)
	}
	s.search = search{}
	if s.progress.partial {
		s.startOver(ResyncInterrupted)
	}
	if s.lost {
		s.lost = false
		s.moved(true)
		s.client.options.Reconnected()
	}
	return nil
}

// failed decides what follows an attempt to connect that has failed.
func (s *Subscription) failed(err error) error {
	if !elsewhere(err) {
		return err
	}
	s.search.note(err)
	if s.search.tried < len(s.client.urls) {
		s.tellLost(err) // unless it was: here it may have been given up to ask for a snapshot
		return nil
	}
	found := s.search
	s.search = search{}
	switch refused := found.refused; {
	case refused != nil && (!found.hopeful || refused.Data.ReasonDetail == schema.CursorAhead || s.attempt >= patience):
		if !s.wantsSnapshot() {
			return refused
		}
		s.startOver(refused.Data.ReasonDetail)
		return nil
	case found.hopeful:
		s.tellLost(err)
		return nil
	}
	return err
}

// tellLost tells the consumer once that there is no connection.
func (s *Subscription) tellLost(err error) {
	if s.lost {
		return
	}
	s.lost = true
	s.moved(false)
	s.client.options.Disconnected(err)
}

// startOver tells the consumer that a new snapshot comes.
func (s *Subscription) startOver(reason string) {
	s.pending = []schema.Event{{ChangeType: schema.Resync, Reason: reason, Timestamp: time.Now().UnixMilli()}}
	s.progress = progress{}
	if reason == schema.CursorEpoch {
		s.client.forget() // the consumer is told of another journal
	}
}

// resynced does what follows a resync that the daemon has sent: with a snapshot of
// its own the subscription goes on, and any other has ended over there.
func (s *Subscription) resynced(e *schema.Event) {
	switch {
	case !s.wantsSnapshot():
		expired := schema.CursorExpired(e.Reason, schema.Cursor{})
		expired.Data.Oldest = "" // not known here
		s.finish(expired)
	case s.wasResumed():
		s.drop()
	}
}

func (s *Subscription) wasResumed() bool {
	l := s.current()
	return l != nil && l.resumed
}

func (s *Subscription) wantsSnapshot() bool { return s.asked.Snapshot != nil && *s.asked.Snapshot }

func (s *Subscription) finish(err error) {
	s.err = err
	s.drop()
}

// current gives the link, nil if it is lost.
func (s *Subscription) current() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link
}

// drop closes the link, if there is one.
func (s *Subscription) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		s.link.close()
	}
	s.link = nil
}

// backoff is the default of Options.Backoff.
func backoff(attempt int) time.Duration {
	const first, longest = 100 * time.Millisecond, 10 * time.Second
	wait := min(first<<min(attempt, 10), longest)
	return wait - rand.N(wait/2)
}
