package client

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// link is a connection with one subscription on it.
type link struct {
	conn     *wire.Client
	messages chan message // bounded: when it is full, nothing more is read
	over     chan struct{}
	closing  sync.Once
	resumed  bool // it was asked to continue after a cursor
}

// message is a notification as it came.
type message struct {
	method string
	params json.RawMessage
}

// openLink connects to the daemon at a place and subscribes. Notifications may come before the answer to
// task.subscribe has reached this goroutine; they are kept like the others.
func (c *Client) openLink(ctx context.Context, at int, params schema.SubscribeParams, resumed bool) (*link, error) {
	l := &link{
		messages: make(chan message, c.options.Buffer),
		over:     make(chan struct{}),
		resumed:  resumed,
	}
	var err error
	if l.conn, err = c.dial(ctx, at, l.keep); err != nil {
		return nil, err
	}
	if err = exchange(ctx, l.conn, schema.MethodSubscribe, params, nil); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// keep is called by the goroutine that reads the connection.
func (l *link) keep(method string, params json.RawMessage) {
	if method != schema.NotifyEvent && method != schema.NotifyEvents {
		return // a later daemon may have more to tell
	}
	select {
	case l.messages <- message{method, params}:
	case <-l.over:
	}
}

// next waits for the next message, or until ctx or life ends. When the connection
// is lost, the messages that came before are given first, then the error that
// ended it.
func (l *link) next(ctx, life context.Context) (message, error) {
	select {
	case m := <-l.messages:
		return m, nil
	case <-ctx.Done():
		return message{}, context.Cause(ctx)
	case <-life.Done():
		return message{}, ErrClosed
	case <-l.conn.Done():
	}
	select {
	case m := <-l.messages:
		return m, nil
	default:
		return message{}, lostError(l.conn.Err())
	}
}

// close ends the connection and waits until it is over.
func (l *link) close() {
	l.closing.Do(func() { close(l.over) })
	_ = l.conn.Close()
}

// events reads what a message carries.
func (m message) events() ([]schema.Event, error) {
	if m.method == schema.NotifyEvents {
		var params struct {
			Result struct {
				Events []schema.Event `json:"events"`
			} `json:"result"`
		}
		err := json.Unmarshal(m.params, &params)
		return params.Result.Events, err
	}
	var params struct {
		Result schema.Event `json:"result"`
	}
	err := json.Unmarshal(m.params, &params)
	return []schema.Event{params.Result}, err
}
