package rpc

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// BenchmarkSession: a request from a client's frame to the answer's, through all rooms,
// with 64 in flight on one connection; the client's end is in it.
func BenchmarkSession(b *testing.B) {
	const inFlight = 64
	description := strings.Repeat("lorem ipsum ", 28)
	for _, c := range []struct{ method, params string }{
		{"server.ping", `{}`},
		{"task.get", `{"id":"t1"}`},
		{"task.create", `{"title":"benchmark","description":"` + description + `"}`},
	} {
		b.Run(c.method, func(b *testing.B) {
			p := start(b).connect()
			p.call("task.create", `{"title":"benchmark","description":"`+description+`"}`)
			requests := make([][]byte, inFlight)
			for i := range requests {
				requests[i] = fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, i, c.method, c.params)
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%inFlight != 0 {
					continue
				}
				check(b, p.conn.Write(requests...))
				for range requests {
					if frame, err := p.conn.Read(); err != nil || strings.Contains(string(frame[:60]), `"error"`) {
						b.Fatalf("%s %v", frame, err)
					}
				}
			}
		})
	}
}

// kept is a sink that keeps events.
type kept struct {
	events []emitter.Delivery
	enough int
	done   chan struct{}
}

func (k *kept) Send(events []emitter.Delivery) error {
	for _, e := range events {
		if e.Type() == schema.Bookmark || len(k.events) == k.enough {
			continue
		}
		if k.events = append(k.events, e); len(k.events) == k.enough {
			close(k.done)
		}
	}
	return nil
}

func (k *kept) SendBatch(batch emitter.Batch) error { return k.Send(batch.Events) }
func (k *kept) Ended(error)                         {}

// BenchmarkSend: events made into notifications for one more subscriber, all but the
// socket; an op is a wake-up that has so many.
func BenchmarkSend(b *testing.B) {
	const most = 64
	d := start(b)
	k := &kept{enough: most, done: make(chan struct{})}
	cursor := must(d.emitter.Subscribe(context.Background(), emitter.Spec{}, k))
	cursor.Start()
	p := d.connect()
	for range most {
		p.call("task.create", `{"title":"benchmark","description":"`+strings.Repeat("lorem ipsum ", 28)+`"}`)
	}
	<-k.done
	cursor.Stop()
	session := &session{send: func(...[]byte) error { return nil }}
	sub := &subscription{session: session, id: "s1", event: schema.NotifyEvent}
	for _, events := range []int{1, most} {
		b.Run(fmt.Sprint("events=", events), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check(b, sub.Send(k.events[:events]))
			}
		})
	}
}
