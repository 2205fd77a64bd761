package emitter_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/schema"
)

func creations(n int) (operations []schema.Operation) {
	for i := range n {
		operations = append(operations, create(fmt.Sprint("t", i)))
	}
	return operations
}

// A subscription far behind reads the next page while one is written, but no more
// before its peer has taken that: then it gets every event once, in order, however
// many turns that takes.
func TestReplayReadsOnePageAhead(t *testing.T) {
	const events = 5000
	inBubble(t, emitter.Config{TailEvents: 10}, func(f *fixture) {
		f.journal.Outside(1, creations(events)...)
		after(0)
		var reads atomic.Int64
		f.journal.set(func(j *faulty) {
			j.events = func(context.Context) error { reads.Add(1); return nil }
		})
		r := f.subscribe(emitter.Spec{Since: schema.SinceStart, Turn: make(chan struct{}, 1)})
		r.stall()
		r.Start()
		synctest.Wait()
		if n := reads.Load(); n != 2 {
			t.Errorf("%d pages were read for a peer that does not read", n)
		}
		r.unblock()
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, e := range r.events {
			if e.Seq != int64(i+1) || e.TaskID != fmt.Sprint("t", i) || e.Coalesced != 1 {
				t.Fatalf("event %d: %+v", i, e)
			}
		}
		if len(r.events) != events {
			t.Errorf("%d events", len(r.events))
		}
	})
}

// A subscription that is stopped in a replay has no read under way afterwards, and
// one whose journal fails in the middle goes on where it was.
func TestReplayThatIsInterrupted(t *testing.T) {
	const events = 3000
	inBubble(t, emitter.Config{TailEvents: 10}, func(f *fixture) {
		f.journal.Outside(1, creations(events)...)
		after(0)
		var reads atomic.Int64
		f.journal.set(func(j *faulty) {
			j.events = func(context.Context) error {
				if n := reads.Add(1); n == 3 || n == 6 {
					return errBroken
				}
				return nil
			}
		})
		stopped := f.subscribe(emitter.Spec{Since: schema.SinceStart})
		stopped.stall()
		stopped.Start()
		synctest.Wait()
		go stopped.unblock()
		stopped.Stop()
		reads.Store(0)
		r := f.follow(emitter.Spec{Since: schema.SinceStart})
		after(5 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, e := range r.events {
			if e.Seq != int64(i+1) {
				t.Fatalf("event %d: %+v", i, e)
			}
		}
		if len(r.events) != events {
			t.Errorf("%d events", len(r.events))
		}
	})
}

// encoder is a sink that encodes.
type encoder struct {
	counter
	buffer []byte
}

func (e *encoder) Send(events []emitter.Delivery) error {
	for i := range events {
		e.buffer = events[i].Append(e.buffer[:0])
	}
	return e.counter.Send(events)
}

// BenchmarkReplay: 10,000 events from a journal in memory, to one subscription.
func BenchmarkReplay(b *testing.B) {
	const n = 10_000
	journal := journaltest.NewMemory()
	journal.Outside(1, creations(n)...)
	e, err := emitter.New(b.Context(), journal, emitter.Config{TailEvents: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	b.ReportAllocs()
	for b.Loop() {
		var events sync.WaitGroup
		events.Add(n)
		s, err := e.Subscribe(context.Background(), emitter.Spec{Since: schema.SinceStart}, &encoder{counter: counter{&events}})
		if err != nil {
			b.Fatal(err)
		}
		s.Start()
		events.Wait()
		s.Stop()
	}
}
