package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

func create(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{tasks: s.Tasks, events: s.Events}, func(l *load) ([]Figure, error) {
		return b.closedLoop(l, s, schema.MethodCreate, func(int) func([]byte) []byte {
			return func(dst []byte) []byte { return l.target.appendDraft(dst, "created", "") }
		})
	})
}

// closedLoop measures callers, beside subscribers.
func (b *bench) closedLoop(l *load, s Settings, method string, params func(caller int) func([]byte) []byte) ([]Figure, error) {
	if _, err := l.subscribers(s.Subscribers, "", nil); err != nil {
		return nil, err
	}
	callers, err := l.callers(s.Writers, s.InFlight, method, params)
	if err != nil {
		return nil, err
	}
	used, err := b.measure(l, s.Duration, nil)
	if err == nil {
		err = l.stop()
	}
	var took latencies
	used.n, took = sum(callers)
	return used.figures(took.figures()...), err
}

func update(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{tasks: s.Tasks, events: s.Events}, func(l *load) ([]Figure, error) {
		ids := l.target.ids
		if ids == "" {
			ids = IDPrefix
		}
		return b.closedLoop(l, s, schema.MethodUpdate, func(caller int) func([]byte) []byte {
			n := caller
			return func(dst []byte) []byte {
				n += s.Writers
				return fmt.Appendf(dst, `{"id":"%s%d","metadata":{"round":%d}}`, ids, n%s.Tasks, n)
			}
		})
	})
}

// latency measures from a write to its event on another connection.
func latency(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{tasks: s.Tasks, events: s.Events}, func(l *load) ([]Figure, error) {
		if s.Writers > 0 {
			if _, err := l.callers(s.Writers, s.InFlight, schema.MethodCreate, func(int) func([]byte) []byte {
				return func(dst []byte) []byte { return l.target.appendDraft(dst, "beside", "") }
			}); err != nil {
				return nil, err
			}
		}
		return b.paced(l, max(1, s.Subscribers), s)
	})
}

// paced measures from paced writes until the last subscriber has the event.
func (b *bench) paced(l *load, subscribers int, s Settings) ([]Figure, error) {
	p := newProbes(l, subscribers)
	all, err := l.subscribers(subscribers, "", p.event)
	if err != nil {
		return nil, err
	}
	if err := p.begin(s.Rate); err != nil {
		return nil, err
	}
	used, err := b.measure(l, s.Duration, func() int64 { return delivered(all) })
	if err != nil {
		return nil, err
	}
	took, err := p.took(l.ctx)
	return used.figures(took.figures()...), err
}

// fanout measures how many events a second reach subscribers.
func fanout(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{tasks: s.Tasks, events: s.Events}, func(l *load) ([]Figure, error) {
		if s.Rate > 0 {
			return b.paced(l, s.Subscribers, s)
		}
		all, err := l.subscribers(s.Subscribers, "", nil)
		if err != nil {
			return nil, err
		}
		callers, err := l.callers(max(1, s.Writers), s.InFlight, schema.MethodCreate, func(int) func([]byte) []byte {
			return func(dst []byte) []byte { return l.target.appendDraft(dst, "pushed", "") }
		})
		if err != nil {
			return nil, err
		}
		used, err := b.measure(l, s.Duration, func() int64 { return delivered(all) })
		if err != nil {
			return nil, err
		}
		var behind struct {
			Lag int64 `json:"slowest_lag"`
		}
		err = l.target.control.Call(l.ctx, schema.MethodStats, nil, &behind)
		if first := l.stop(); first != nil {
			err = first
		}
		writes, _ := sum(callers)
		return used.figures(Figure{"writes", "/s", float64(writes) / used.took.Seconds()}, Figure{"lag", "events", float64(behind.Lag)}), err
	})
}

func list(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{tasks: s.Tasks, events: s.Events}, func(l *load) ([]Figure, error) {
		if s.Rate > 0 {
			if err := l.write(s.Rate, func(time.Time) string { return "beside" }); err != nil {
				return nil, err
			}
		}
		return b.closedLoop(l, s, schema.MethodList, func(int) func([]byte) []byte {
			return func(dst []byte) []byte { return append(dst, `{"filter":{"status":["todo"]},"limit":100}`...) }
		})
	})
}
