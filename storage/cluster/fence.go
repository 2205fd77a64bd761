package cluster

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

// freshPatience is how long a read waits for what was acknowledged before it.
const freshPatience = 5 * time.Second

// fences let reads share fences: those that come while one is on its way wait for the
// next.
type fences struct {
	mu   sync.Mutex
	next *passage // that is not sent yet
	busy bool     // one is on its way
}

// passage is one fence on its way through the log.
type passage struct {
	done chan struct{} // closed when this daemon has met it
	err  error         // written before
}

// Fresh waits until this daemon has applied everything that was acknowledged anywhere
// before the call, 5 s at most.
func (j *Journal) Fresh(ctx context.Context) error {
	f := &j.fences
	f.mu.Lock()
	if f.next == nil {
		f.next = &passage{done: make(chan struct{})}
	}
	mine := f.next
	if !f.busy {
		f.busy = true
		j.running.Go(j.sendFences)
	}
	f.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendFences sends fences while somebody waits for one.
func (j *Journal) sendFences() {
	for {
		j.fences.mu.Lock()
		now := j.fences.next
		j.fences.next = nil
		j.fences.busy = now != nil
		j.fences.mu.Unlock()
		if now == nil {
			return
		}
		now.err = j.passFence()
		close(now.done)
	}
}

// passFence sends one fence and waits until this daemon has met it.
func (j *Journal) passFence() error {
	ctx, cancel := context.WithTimeout(j.stopped, freshPatience)
	defer cancel()
	position, err := j.send(ctx, uuid.NewString(), fence)
	if err == nil && j.await(ctx, func(s *state) bool { return s.position >= position }) {
		return nil
	}
	return cmp.Or(err, errUncertain)
}
