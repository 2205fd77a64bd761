package rpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// A probe waits as long as the writing goroutine hangs, and goes through when it goes on.
func TestProbeHangsWithTheWriter(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		stuck, hangs := make(chan struct{}), make(chan struct{})
		var once sync.Once
		d := start(t, overPipe, func(s *setup) {
			id := s.emitter.NewID
			s.emitter.NewID = func() string {
				once.Do(func() { close(hangs); <-stuck })
				return id()
			}
		})
		if err := d.Probe(t.Context()); err != nil {
			t.Fatalf("at rest: %v", err)
		}
		p := d.connect()
		p.send(request(1, "task.create", `{"title":"hangs"}`))
		<-hangs
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // before the peer would have to answer a ping
		defer cancel()
		if err := d.Probe(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("while the writer hangs: %v after %v", err, time.Since(began))
		}
		through := make(chan error, 1)
		go func() { through <- d.Probe(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-through:
			t.Errorf("while the writer hangs: %v", err)
		default:
		}
		close(stuck)
		if err := <-through; err != nil {
			t.Errorf("when it goes on: %v", err)
		}
		p.next()
	})
}

// hanging is a store whose Bounds waits for the end of its caller's patience.
type hanging struct{ Store }

func (hanging) Bounds(ctx context.Context) (schema.Bounds, error) {
	<-ctx.Done()
	return schema.Bounds{}, ctx.Err()
}

// It waits for a read that hangs, but not for one that fails: that is an answer.
func TestProbeOfReads(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe, func(s *setup) { s.store = func(store Store) Store { return hanging{store} } })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := d.Probe(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while reads hang: %v", err)
		}
	})
	d := start(t, func(s *setup) { s.store = func(store Store) Store { return unready{store} } })
	if err := d.Probe(t.Context()); err != nil {
		t.Errorf("while reads fail: %v", err)
	}
}

// A server that has ended is not told from one that goes on.
func TestProbeAtTheEnd(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.shutDown()
	d.emitter.Close()
	if err := d.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}
