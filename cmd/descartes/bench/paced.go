package bench

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// paced calls send so many times a second until the load is over, whatever becomes of
// what is sent. It is told when each began: at once, as a timer may be late by a
// millisecond, which is the generator's fault, or, if the one before held it up, when it
// was due.
func (l *load) paced(rate float64, send func(began time.Time) error) error {
	interval := time.Duration(float64(time.Second) / rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); l.phase.Load() != over; due = due.Add(interval) {
		began := due
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
				began = time.Now()
			case <-l.ctx.Done():
				return nil
			}
		}
		if err := send(began); err != nil {
			return err
		}
	}
	return nil
}

// write makes paced creates over a connection of its own, from now on. The title of each
// is what title gives.
func (l *load) write(rate float64, title func(began time.Time) string) error {
	c, err := l.dial()
	if err != nil {
		return err
	}
	var answered atomic.Int64
	sent := int64(0)
	more := make(chan struct{}, 1) // one slot: there are more answers
	c.on = func(head []byte, _ int) error {
		answered.Add(1)
		select {
		case more <- struct{}{}:
		default:
		}
		_, err := answerOf(head)
		return err
	}
	l.run(func() error {
		for {
			if err := c.receive(); err != nil {
				return err
			}
		}
	})
	var frame []byte
	l.call(func() error {
		err := l.paced(rate, func(began time.Time) error {
			frame = appendRequest(frame[:0], 0, schema.MethodCreate, func(dst []byte) []byte {
				return l.target.appendDraft(dst, title(began), "")
			})
			sent++
			return c.send(frame)
		})
		for err == nil && answered.Load() < sent {
			select {
			case <-more:
			case <-l.ctx.Done():
				return nil
			}
		}
		return err
	})
	return nil
}

// probes are paced writes, of each of which is measured how long it takes until the last
// of some subscribers has its event.
type probes struct {
	load        *load
	subscribers int64
	all         []probe
	sent        atomic.Int64
	complete    atomic.Int64  // of those sent
	completed   chan struct{} // one slot: there may be more complete
}

type probe struct {
	began    time.Time // of the write; set before it is sent
	measured bool      // it counts
	got      atomic.Int64
	took     atomic.Int64 // nanoseconds, when all have got it
}

// maxProbes is how many there may be in one load.
const maxProbes = 1 << 18

func newProbes(l *load, subscribers int) *probes {
	return &probes{load: l, subscribers: int64(subscribers), all: make([]probe, maxProbes), completed: make(chan struct{}, 1)}
}

// begin sends so many probes a second from now on. Subscribers hand each event to event.
func (p *probes) begin(rate float64) error {
	return p.load.write(rate, func(began time.Time) string {
		n := p.sent.Load()
		if n == maxProbes {
			p.load.end(fmt.Errorf("more than %d writes: choose a lower --rate or --duration", maxProbes))
			return "none"
		}
		p.all[n].began, p.all[n].measured = began, p.load.phase.Load() == measuring
		p.sent.Add(1)
		return fmt.Sprintf("probe %09d", n)
	})
}

var probeTitle = []byte(`"title":"probe `)

// event takes note of an event of one subscriber.
func (p *probes) event(head []byte) error {
	at := bytes.Index(head, probeTitle)
	if at < 0 {
		return nil
	}
	n, _ := leadingInt(head[at+len(probeTitle):])
	if int64(n) >= p.sent.Load() {
		return fmt.Errorf("an event of write %d came before it was made", n)
	}
	one := &p.all[n]
	if one.got.Add(1) == p.subscribers {
		one.took.Store(int64(time.Since(one.began)))
		p.complete.Add(1)
		select {
		case p.completed <- struct{}{}:
		default:
		}
	}
	return nil
}

// took waits, when the load is over, until all subscribers have got everything, and
// gives how long that took.
func (p *probes) took(ctx context.Context) (latencies, error) {
	took := newLatencies()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for p.complete.Load() < p.sent.Load() {
		select {
		case <-p.completed:
		case <-timer.C:
			return took, fmt.Errorf("%d of %d writes have not come to all subscribers", p.sent.Load()-p.complete.Load(), p.sent.Load())
		case <-ctx.Done():
			return took, context.Cause(ctx)
		}
	}
	for i := range p.sent.Load() {
		if one := &p.all[i]; one.measured {
			took.record(time.Duration(one.took.Load()))
		}
	}
	return took, nil
}
