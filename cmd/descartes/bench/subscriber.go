package bench

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/descartes-tasks/descartes/schema"
)

// subscriber is a connection with one subscription to every change, unfolded. It counts
// events and finds out whether one is missing.
type subscriber struct {
	*conn
	event func(head []byte) error // gets the begin of each event; nil: nothing

	live   chan struct{} // closed when the past is over
	lived  bool
	seq    int          // of the last event
	got    int64        // events
	events atomic.Int64 // as of the last read, for others
}

// subscribers connects n of them, some at a time, and waits until each is live; with
// since, each delivers what is retained first, and they are live later.
func (l *load) subscribers(n int, since string, event func(head []byte) error) ([]*subscriber, error) {
	all := make([]*subscriber, n)
	slots := make(chan struct{}, 32)
	var connecting sync.WaitGroup
	for i := range all {
		slots <- struct{}{}
		connecting.Go(func() {
			defer func() { <-slots }()
			s, err := l.subscribe(since, event)
			if err != nil {
				l.end(err)
				return
			}
			all[i] = s
			if since == "" {
				select {
				case <-s.live:
				case <-l.ctx.Done():
				}
			}
		})
	}
	connecting.Wait()
	return all, context.Cause(l.ctx)
}

func (l *load) subscribe(since string, event func(head []byte) error) (*subscriber, error) {
	c, err := l.dial()
	if err != nil {
		return nil, err
	}
	s := &subscriber{conn: c, event: event, live: make(chan struct{})}
	c.on = s.message
	if err := s.send(subscribeRequest(since)); err != nil {
		return nil, err
	}
	l.run(s.run)
	return s, nil
}

// subscribeRequest subscribes to every change, unfolded.
func subscribeRequest(since string) []byte {
	return appendRequest(nil, 1, schema.MethodSubscribe, func(dst []byte) []byte {
		dst = append(dst, `{"debounce_ms":0`...)
		if since != "" {
			dst = append(append(append(dst, `,"since":"`...), since...), '"')
		}
		return append(dst, '}')
	})
}

// run receives until the connection ends, which it does with the load.
func (s *subscriber) run() error {
	for {
		err := s.receive()
		s.events.Store(s.got)
		if err != nil {
			return err
		}
	}
}

var (
	seqMember = []byte(`"result":{"seq":`)
	liveMark  = []byte(`"live":true`)
)

// envelopeBytes is where the seq of an event is found.
const envelopeBytes = 128

// message takes an event, a bookmark or the answer.
func (s *subscriber) message(head []byte, _ int) error {
	envelope := head[:min(len(head), envelopeBytes)]
	at := bytes.Index(envelope, seqMember)
	if at < 0 {
		if !s.lived && bytes.Contains(head, liveMark) {
			s.lived = true
			close(s.live)
		}
		_, err := answerOf(head)
		return err
	}
	seq, _ := leadingInt(envelope[at+len(seqMember):])
	if s.seq > 0 && seq != s.seq+1 {
		return fmt.Errorf("event %d came after %d", seq, s.seq)
	}
	s.seq = seq
	s.got++
	if s.event == nil {
		return nil
	}
	return s.event(head)
}

// delivered sums what subscribers have got so far.
func delivered(all []*subscriber) (events int64) {
	for _, s := range all {
		events += s.events.Load()
	}
	return events
}
