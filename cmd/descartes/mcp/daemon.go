package mcp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// retryPause is the time between two attempts to reach a daemon that is away.
const retryPause = 200 * time.Millisecond

// daemon is the connection to it: made when it is first needed, then kept, since a
// client makes a lost connection again itself.
type daemon struct {
	dial     func(context.Context) (*client.Client, error)
	patience time.Duration

	dialing chan struct{} // one slot: held by whoever reads or sets conn
	conn    *client.Client

	mu     sync.Mutex
	closed bool
}

func newDaemon(o Options) *daemon {
	return &daemon{dial: o.Dial, patience: o.Patience, dialing: make(chan struct{}, 1)}
}

// connection gives the client, after one attempt to connect if there is none.
func (d *daemon) connection(ctx context.Context) (*client.Client, error) {
	select {
	case d.dialing <- struct{}{}:
		defer func() { <-d.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return nil, client.ErrClosed
	}
	if d.conn != nil {
		return d.conn, nil
	}
	conn, err := d.dial(ctx)
	if err == nil {
		d.conn = conn
	}
	return conn, err
}

// close ends the connection for good.
func (d *daemon) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.dialing <- struct{}{}
	defer func() { <-d.dialing }()
	if d.conn != nil {
		_ = d.conn.Close() // it has no error
	}
}

// lostAnswer says that a change was sent and that nobody knows what became of it.
type lostAnswer struct{ error }

// Unwrap gives what happened to the connection.
func (e lostAnswer) Unwrap() error { return e.error }

// read makes a call that changes nothing, or that may safely be made twice. A daemon
// that is away is waited for, as long as there is patience.
func read[T any](ctx context.Context, d *daemon, call func(*client.Client) (T, error)) (T, error) {
	return reach(ctx, d, call, func(err error) bool { return wasNotMade(err) || errors.Is(err, client.ErrDisconnected) })
}

// write makes a call that changes something. It is made again only if it surely was
// not made; if that is not known, the error is a lostAnswer.
func write[T any](ctx context.Context, d *daemon, call func(*client.Client) (T, error)) (T, error) {
	result, err := reach(ctx, d, call, wasNotMade)
	if client.IsInDoubt(err) {
		err = lostAnswer{err}
	}
	return result, err
}

func reach[T any](ctx context.Context, d *daemon, call func(*client.Client) (T, error), again func(error) bool) (T, error) {
	for end := time.Now().Add(d.patience); ; {
		result, err := attempt(ctx, d, call)
		if err == nil || !again(err) || time.Now().After(end) || !pause(ctx, retryPause) {
			return result, err
		}
	}
}

func attempt[T any](ctx context.Context, d *daemon, call func(*client.Client) (T, error)) (result T, err error) {
	conn, err := d.connection(ctx)
	if err != nil {
		return result, err
	}
	return call(conn)
}

// wasNotMade tells whether an error says that the daemon did not make a call, and
// that another attempt may help.
func wasNotMade(err error) bool {
	return errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrUnavailable) ||
		schema.CodeOf(err) == schema.CodeShuttingDown
}

// pause waits, or gives false because ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
