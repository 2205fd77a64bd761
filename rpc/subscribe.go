package rpc

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// maxWrite is how many bytes of notifications are gathered for one socket write: with
// one more and the headers of all they fit in the 64 KiB of one, where they are small.
const maxWrite = 56 << 10

// subscription is one task.subscribe: the sink that turns what its cursor delivers
// into notifications.
type subscription struct {
	session *session
	request *wire.Request // that made it; nil once it is answered
	id      string
	cursor  *emitter.Subscription
	event   string // method of the notification of one event
	events  string // and of a batch
}

func (s *session) subscribe(r *wire.Request, p *schema.SubscribeParams) (any, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if r.Notification() {
		return nil, nil // nobody would know the id
	}
	sub, err := s.newSubscription(r.Method)
	if err != nil {
		return nil, err
	}
	err = s.resume(p.Since, func(ctx context.Context) (err error) {
		sub.cursor, err = s.server.config.Emitter.Subscribe(ctx, s.spec(p), sub)
		return err
	})
	if err != nil {
		s.forget(sub.id)
		return nil, err
	}
	sub.request = r
	s.deferred = append(s.deferred, sub)
	return sub.id, nil
}

// newSubscription takes the next id, if the connection may have one more.
func (s *session) newSubscription(method string) (*subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := s.server.config.Limits.MaxSubscriptions; len(s.subscriptions) >= limit {
		return nil, schema.LimitExceeded("subscriptions", int64(limit))
	}
	s.subscribed++
	sub := &subscription{
		session: s, id: "s" + strconv.Itoa(s.subscribed), event: schema.NotifyEvent, events: schema.NotifyEvents,
	}
	if method != schema.MethodSubscribe {
		sub.event, sub.events = schema.NotifySubscription, schema.NotifySubscription
	}
	s.subscriptions = append(s.subscriptions, sub)
	return sub, nil
}

// appendHead appends a notification up to its result. The ids are made of letters and
// digits.
func (sub *subscription) appendHead(dst []byte, method string) []byte {
	dst = append(append(dst, `{"jsonrpc":"2.0","method":"`...), method...)
	dst = append(append(dst, `","params":{"subscription":"`...), sub.id...)
	return append(dst, `","result":`...)
}

func (s *session) spec(p *schema.SubscribeParams) emitter.Spec {
	spec := emitter.Spec{Source: s.source, Turn: s.turn, Debounce: s.server.config.Debounce}
	if p.Filter != nil {
		spec.Filter = *p.Filter
	}
	if p.Since != nil {
		spec.Since = *p.Since
	}
	if p.DebounceMS != nil {
		spec.Debounce = time.Duration(*p.DebounceMS) * time.Millisecond
	}
	if p.Batch != nil {
		spec.Batch = emitter.BatchSpec{Max: int(p.Batch.Max), Wait: time.Duration(p.Batch.WaitMS) * time.Millisecond}
	}
	spec.Snapshot = p.Snapshot != nil && *p.Snapshot
	spec.WithoutTask = p.IncludeTask != nil && !*p.IncludeTask
	return spec
}

// unsubscribe ends a subscription; nothing of it is written afterwards.
func (s *session) unsubscribe(_ *wire.Request, p *schema.UnsubscribeParams) (any, error) {
	if p.Subscription == "" {
		return nil, schema.Invalid("subscription", "is required")
	}
	sub := s.forget(p.Subscription)
	if sub == nil {
		return false, nil
	}
	sub.cursor.Stop()
	return true, nil
}

// flushSubscriptions sends what is held back, of one subscription or of all.
func (s *session) flushSubscriptions(_ *wire.Request, p *schema.FlushParams) (any, error) {
	s.flush() // a subscription that waits for its answer to be written has nothing to send before
	s.mu.Lock()
	var subs []*subscription
	for _, sub := range s.subscriptions {
		if p.Subscription == nil || *p.Subscription == sub.id {
			subs = append(subs, sub)
		}
	}
	s.mu.Unlock()
	if p.Subscription != nil && len(subs) == 0 {
		return nil, schema.Invalid("subscription", "must be a subscription of this connection")
	}
	sent := 0
	for _, sub := range subs {
		sent += sub.cursor.Flush()
	}
	return sent, nil
}

// forget takes a subscription out of the session.
func (s *session) forget(id string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.subscriptions, func(sub *subscription) bool { return sub.id == id })
	if i < 0 {
		return nil
	}
	sub := s.subscriptions[i]
	s.subscriptions = slices.Delete(s.subscriptions, i, i+1)
	return sub
}

// stopSubscriptions ends all of them. The connection is lost by now, so none is
// blocked in a write.
func (s *session) stopSubscriptions() {
	s.mu.Lock()
	subs := s.subscriptions
	s.subscriptions = nil
	s.mu.Unlock()
	for _, sub := range subs {
		sub.cursor.Stop()
	}
}

// buffers are shared between connections, so that an idle one has none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// giveBack empties a buffer and puts it back. One that had to hold something huge must not
// stay in the pool.
func giveBack(buffer *[]byte) {
	if *buffer = (*buffer)[:0]; cap(*buffer) > 2*maxWrite {
		*buffer = nil
	}
	buffers.Put(buffer)
}

// Send writes each event as one notification, several in one socket write.
func (sub *subscription) Send(events []emitter.Delivery) error {
	return sub.write(len(events), func(dst []byte, i int) []byte {
		return append(events[i].Append(sub.appendHead(dst, sub.event)), "}}"...)
	})
}

// SendBatch writes one notification with all events of the batch.
func (sub *subscription) SendBatch(b emitter.Batch) error {
	return sub.write(1, func(dst []byte, _ int) []byte {
		dst = append(append(append(sub.appendHead(dst, sub.events), `{"batch_id":"`...), b.ID...), `","timestamp":`...)
		dst = append(strconv.AppendInt(dst, b.Timestamp, 10), `,"events":[`...)
		for i := range b.Events {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = b.Events[i].Append(dst)
		}
		return append(dst, "]}}}"...)
	})
}

// write appends n messages to a buffer and sends them, as many at a time as fit.
func (sub *subscription) write(n int, appendMessage func(dst []byte, i int) []byte) error {
	buffer := buffers.Get().(*[]byte)
	defer giveBack(buffer)
	dst := *buffer
	ends := make([]int, 0, min(n, 64))
	for i := range n {
		dst = appendMessage(dst, i)
		ends = append(ends, len(dst))
		if len(dst) < maxWrite && i < n-1 {
			continue
		}
		if err := sub.session.send(split(dst, ends)...); err != nil {
			return err
		}
		*buffer = dst
		dst, ends = dst[:0], ends[:0]
	}
	return nil
}

// split cuts joined messages apart again.
func split(joined []byte, ends []int) [][]byte {
	messages := make([][]byte, len(ends))
	start := 0
	for i, end := range ends {
		messages[i] = joined[start:end]
		start = end
	}
	return messages
}

// Ended forgets a subscription that ended by itself. If its peer does not know
// that, the connection ends too: the peer comes back with its last cursor.
func (sub *subscription) Ended(err error) {
	sub.session.forget(sub.id)
	expected := errors.Is(err, emitter.ErrResynced) || closed(sub.session.conn.Done())
	level := zerolog.ErrorLevel
	if expected {
		level = zerolog.DebugLevel
	}
	line := sub.session.line(sub.session.server.log.WithLevel(level))
	line.Str("subscription", sub.id).Err(err).Msg("subscription ended")
	if !expected {
		sub.session.conn.CloseNow()
	}
}
