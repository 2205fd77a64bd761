package emitter_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/schema"
)

// counter is a sink that only counts down.
type counter struct{ events *sync.WaitGroup }

func (c counter) Send(events []emitter.Delivery) error {
	for i := range events {
		if events[i].Type() != schema.Bookmark {
			c.events.Done()
		}
	}
	return nil
}

func (c counter) SendBatch(b emitter.Batch) error { return c.Send(b.Events) }
func (counter) Ended(error)                       {}

// BenchmarkFanout: one event, to 1,000 subscriptions, until all of them have it.
func BenchmarkFanout(b *testing.B) {
	const subscriptions = 1000
	e, err := emitter.New(b.Context(), journaltest.NewMemory(), emitter.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var events sync.WaitGroup
	for range subscriptions {
		s, err := e.Subscribe(context.Background(), emitter.Spec{}, counter{&events})
		if err != nil {
			b.Fatal(err)
		}
		s.Start()
		defer s.Stop()
	}
	write := func(op schema.Operation) {
		events.Add(subscriptions)
		if o := e.Submit(schema.Change{Operations: []schema.Operation{op}}).Outcome(); o.Err != nil {
			b.Fatal(o.Err)
		}
		events.Wait()
	}
	write(create("a"))
	b.ReportAllocs()
	i := 0
	start := time.Now()
	for b.Loop() {
		i++
		write(setTitle("a", fmt.Sprint(i)))
	}
	b.ReportMetric(float64(i*subscriptions)/time.Since(start).Seconds(), "deliveries/s")
}
