package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// DefaultURL is where a daemon listens that was not told otherwise.
const DefaultURL = "ws://127.0.0.1:7420/rpc"

// Options configures a Client. The zero value is usable.
type Options struct {
	Token       string        // sent as Authorization: Bearer; default none
	Header      http.Header   // sent with every handshake; default none
	TLS         *tls.Config   // for wss, with RootCAs for a private authority; default the system's roots
	DialTimeout time.Duration // of each attempt to connect; default 10 s, or 2 s where there are several daemons
	MaxMessage  int64         // bytes of the longest message read; default 16 MiB
	Buffer      int           // messages that a Subscription reads ahead; default 64
	// Silence is how long a daemon may say nothing, though it is asked, until the
	// connection is given up, within a second more; default 50 s, or 10 s where there
	// are several daemons.
	Silence time.Duration

	// Reconnect makes lost connections again, without end: see the package comment.
	Reconnect bool
	// Backoff gives the time to wait before an attempt to connect again; attempt is 0
	// for the first one after something was received. Default: 100 ms, doubled each
	// time up to 10 s, less a random part of up to half of it, so that the clients of
	// a daemon that restarts do not all come at once. Of several daemons the others are
	// tried at once; the pauses are between rounds.
	Backoff func(attempt int) time.Duration
	// Disconnected and Reconnected, if set, are told when a Subscription has lost its
	// connection, and when it continues. They are called from its Next.
	Disconnected func(err error)
	Reconnected  func()
}

func (o Options) withDefaults(daemons int) Options {
	dialTimeout, silence := 10*time.Second, 50*time.Second
	if daemons > 1 {
		dialTimeout, silence = 2*time.Second, 10*time.Second
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = dialTimeout
	}
	if o.Silence <= 0 {
		o.Silence = silence
	}
	if o.Buffer <= 0 {
		o.Buffer = 64
	}
	if o.Header == nil {
		o.Header = make(http.Header)
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.Disconnected == nil {
		o.Disconnected = func(error) {}
	}
	if o.Reconnected == nil {
		o.Reconnected = func() {}
	}
	return o
}

// Client calls the methods of a daemon. Its methods are safe for concurrent use,
// and answers may overtake each other; writes that one goroutine makes are
// committed in their order.
type Client struct {
	urls    []string // of the daemons, which have one journal
	options Options
	life    context.Context // ends with Close
	end     context.CancelFunc

	dialing  chan struct{} // one slot: held by whoever reads or replaces calls
	calls    *callConn
	unwanted atomic.Pointer[callConn] // one to be replaced though it is not lost

	mu            sync.Mutex
	subscriptions map[*Subscription]struct{} // not yet closed; nil: the Client is
	at            int                        // the daemon of calls: its place in urls; replaced with dialing held, too
	epoch         string                     // of the journal of several daemons; "": not known yet

	background sync.WaitGroup // goroutines of Views and of connections that were left; grows only with mu held and subscriptions there
}

// Dial connects to the daemon at a URL: ws://HOST:PORT/rpc, wss://, or
// ws+unix:///path/to/socket; also http:, https: and unix:, and the path /rpc may be
// left out. It may be several, with commas between them (one within a URL is written
// %2C): daemons of one cluster, or on one file. The first one that answers is taken, in
// their order.
//
// ctx bounds the handshake only. The error is ErrUnreachable, ErrUntrusted,
// a *RefusedError, that of ctx, or says what is wrong with the URL or the token; none
// shows the token. Of several daemons it is the errors of all. The Client must be
// closed.
func Dial(ctx context.Context, url string, options Options) (*Client, error) {
	urls, err := endpoints(url)
	if err != nil {
		return nil, err
	}
	if err := checkToken(options.Token); err != nil {
		return nil, err
	}
	c := &Client{
		urls:          urls,
		options:       options.withDefaults(len(urls)),
		dialing:       make(chan struct{}, 1),
		subscriptions: make(map[*Subscription]struct{}),
	}
	at, err := c.round(0, func(at int) (err error) {
		c.calls, err = c.dialCalls(ctx, at)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.at = at
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// ignore is for connections without subscriptions: there is nothing to be told.
func ignore(string, json.RawMessage) {}

// URL gives the address of the daemon that calls go to, in its full form.
func (c *Client) URL() string { return c.urls[c.present()] }

// Call calls a method and decodes its result into what result points to; nil drops
// it. nil params are left out. The typed methods are made of Call and have its
// errors: a *schema.Error for an error answer, ErrDisconnected, ErrUnauthorized if
// the token was revoked meanwhile, ErrClosed, that of ctx (the call may be made
// nevertheless), those of Dial where it connects again, and those of encoding/json.
//
// With several daemons and Reconnect a call goes on to the next one where that changes
// nothing: any that was answered with CodeShuttingDown or CodeStorageUnavailable, and
// one that only reads if its connection was lost. After CodeOutcomeUnknown later calls
// go there.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	for made := 1; ; made++ {
		conn, err := c.connection(ctx)
		if err != nil {
			return err
		}
		err = exchange(ctx, conn.Client, method, params, result)
		conn.underWay.Done()
		if errors.Is(err, ErrDisconnected) && c.life.Err() != nil {
			return ErrClosed
		}
		if mayBeBetter(err) && len(c.urls) > 1 {
			c.unwanted.Store(conn)
		}
		if made >= len(c.urls) || !c.mayRepeat(method, err) {
			return err
		}
	}
}

// exchange makes a call over one connection.
func exchange(ctx context.Context, conn *wire.Client, method string, params, result any) error {
	var encoded json.RawMessage
	if params != nil {
		var err error
		if encoded, err = schema.Encode(params); err != nil {
			return fmt.Errorf("write the params of %s: %w", method, err)
		}
	}
	var answer json.RawMessage
	if err := conn.Call(ctx, method, encoded, &answer); err != nil {
		return callError(ctx, conn, err)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("read the result of %s: %w", method, err)
	}
	return nil
}

// connection gives the connection for calls, with one more under way: a new one if the
// old one is lost, or is unwanted, and may be replaced.
func (c *Client) connection(ctx context.Context) (*callConn, error) {
	ctx, cancel := bothAlive(ctx, c.life)
	defer cancel()
	select {
	case c.dialing <- struct{}{}:
		defer func() { <-c.dialing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if c.options.Reconnect && (isOver(c.calls.Client) || c.unwanted.Load() == c.calls) {
		if err := c.replace(ctx); err != nil {
			return nil, err
		}
	}
	c.calls.underWay.Add(1)
	return c.calls, nil
}

// Close ends every Subscription, every View and the connection, and waits until they are
// over.
// Closing twice is harmless. The error is always nil.
func (c *Client) Close() error {
	c.end()
	c.mu.Lock()
	subscriptions := c.subscriptions
	c.subscriptions = nil
	c.mu.Unlock()
	for s := range subscriptions {
		_ = s.Close()
	}
	c.background.Wait()
	c.dialing <- struct{}{}
	defer func() { <-c.dialing }()
	return c.calls.Close()
}

// adopt runs a goroutine which Close waits for. After Close it does not.
func (c *Client) adopt(follow func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscriptions == nil {
		return false
	}
	c.background.Go(follow)
	return true
}

// isOver tells whether a connection has ended.
func isOver(conn *wire.Client) bool {
	select {
	case <-conn.Done():
		return true
	default:
		return false
	}
}

// bothAlive gives a ctx that ends also when life does, with ErrClosed as its cause.
func bothAlive(ctx, life context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if life.Err() != nil {
		cancel(ErrClosed) // now, not in a moment
	}
	stop := context.AfterFunc(life, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}
