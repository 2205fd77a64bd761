package bench

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// The rows of this file are about the daemon as a process.

// memory measures what is resident when so many tasks were made, and for each of so many
// connections that only subscribe.
func memory(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{}, func(l *load) ([]Figure, error) {
		if err := b.fill(l.ctx, l.target, store{s.Tasks, s.Events}); err != nil {
			return nil, err
		}
		before := l.target.usage()
		if _, err := l.subscribers(s.Subscribers, "", nil); err != nil {
			return nil, err
		}
		b.sleep(l.ctx, s.Duration, s.Duration, 0)
		after := l.target.usage()
		if after.resident == 0 {
			return nil, errUnknown
		}
		figures := []Figure{{Resident, "MiB", float64(after.resident) / (1 << 20)}}
		if s.Subscribers > 0 {
			each := float64(after.resident-before.resident) / float64(s.Subscribers)
			figures = append(figures, Figure{"per subscriber", "KiB", each / (1 << 10)})
		}
		return figures, context.Cause(l.ctx)
	})
}

// errUnknown is for figures that only Linux tells.
var errUnknown = errors.New("this system does not tell what another process uses")

// idle measures the processor time of a daemon that has nothing to do.
func idle(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{tasks: s.Tasks, events: s.Events}, func(l *load) ([]Figure, error) {
		if _, err := l.subscribers(s.Subscribers, "", nil); err != nil {
			return nil, err
		}
		settling := s.Duration / 4
		total := settling + s.Duration
		b.sleep(l.ctx, settling, total, 0)
		before, began := l.target.usage(), time.Now()
		b.sleep(l.ctx, s.Duration, total, settling)
		used := l.target.usage().since(before)
		if used.resident == 0 {
			return nil, errUnknown
		}
		share := used.daemon.Seconds() / time.Since(began).Seconds()
		return []Figure{
			{"share of one processor", "%", 100 * share},
			{Resident, "MiB", float64(used.resident) / (1 << 20)},
		}, context.Cause(l.ctx)
	})
}

// start measures how long a daemon takes until it is ready.
func start(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	const times = 5
	path, err := b.stored(ctx, store{tasks: s.Tasks, events: s.Events})
	if err != nil {
		return nil, err
	}
	if path == "" {
		path = b.newFile()
	}
	var took []time.Duration
	for range times {
		d, err := b.startDaemon(ctx, path)
		if err != nil {
			return nil, err
		}
		took = append(took, d.ready)
		if err := d.stop(); err != nil {
			return nil, err
		}
		b.options.Progress(b.row, int64(len(took)), times)
	}
	slices.Sort(took)
	return []Figure{
		{"ready after", "ms", took[times/2].Seconds() * 1000},
		{"max", "ms", took[times-1].Seconds() * 1000},
	}, nil
}

// replay measures how fast subscribers get the whole journal.
func replay(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	kept := store{tasks: s.Tasks, events: s.Events}
	path, err := b.stored(ctx, kept)
	if err != nil {
		return nil, err
	}
	return b.on(ctx, path, kept, func(l *load) ([]Figure, error) {
		before, began := l.target.usage(), time.Now()
		all, err := l.subscribers(s.Subscribers, schema.SinceStart, nil)
		if err != nil {
			return nil, err
		}
		for i, subscriber := range all {
			select {
			case <-subscriber.live:
			case <-l.ctx.Done():
				return nil, context.Cause(l.ctx)
			}
			b.options.Progress(b.row, int64(i+1), int64(len(all)))
		}
		used := l.target.usage().since(before)
		used.took = time.Since(began)
		if err := l.stop(); err != nil {
			return nil, err
		}
		used.n = delivered(all)
		return used.figures(), nil
	})
}

// stuck measures whether subscribers get their events later when another one reads
// nothing at all. Both times as many tasks were made just before: the daemon is still busy
// with their words for a while.
func stuck(ctx context.Context, b *bench, s Settings) ([]Figure, error) {
	return b.with(ctx, store{tasks: s.Tasks, events: s.Events}, func(l *load) ([]Figure, error) {
		if err := b.flood(l, "before-"); err != nil {
			return nil, err
		}
		without, err := b.paced(l, s.Subscribers, s)
		if first := l.stop(); first != nil {
			err = first
		}
		if err != nil {
			return nil, err
		}
		l = newLoad(ctx, l.target)
		defer func() { _ = l.stop() }()
		if err := b.subscribeStuck(l); err != nil {
			return nil, err
		}
		with, err := b.paced(l, s.Subscribers, s)
		if err != nil {
			return nil, err
		}
		stats, err := l.target.control.Stats(l.ctx)
		if err != nil {
			return nil, err
		}
		if stats.SlowestLag == 0 {
			return nil, errors.New("the stuck subscriber is not stuck, or no more: --duration must be well below 30s")
		}
		alone, _ := Row{Figures: without}.Figure(P99)
		beside, _ := Row{Figures: with}.Figure(P99)
		return append(with, Figure{"without", "ms", alone}, Figure{"ratio", "", beside / alone},
			Figure{"lag of the stuck one", "events", float64(stats.SlowestLag)}), nil
	})
}

// subscribeStuck makes a subscriber that never reads, and as many events as the kernel
// does not keep for it.
func (b *bench) subscribeStuck(l *load) error {
	c, err := l.dial()
	if err != nil {
		return err
	}
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(1); err != nil {
			return err
		}
	}
	if err := c.send(subscribeRequest("")); err != nil {
		return err
	}
	return b.flood(l, "stuck-")
}

// flood makes tasks with a name of their own: others are in the file, perhaps.
func (b *bench) flood(l *load, name string) error {
	const events = 6000 // of a kilobyte
	l.target.ids = IDPrefix + name
	return b.fill(l.ctx, l.target, store{tasks: events})
}
