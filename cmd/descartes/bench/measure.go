package bench

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The phases of a load: what is done before and after measuring is not recorded.
const (
	warming = iota
	measuring
	over
)

// errOver ends a load that is over.
var errOver = errors.New("over")

// patience bounds how long a load that is over waits for what it has asked for.
const patience = 10 * time.Second

// load is a load on a daemon under way: goroutines, of which the first that fails ends
// all.
type load struct {
	target  *target
	phase   atomic.Int32
	ctx     context.Context // ends with an error, or when the load is over
	end     context.CancelCauseFunc
	release func() bool // of the ctx that it is part of
	running sync.WaitGroup
	calling atomic.Int64  // goroutines that wait for answers
	settled chan struct{} // one slot: there may be none left
}

// newLoad makes a load that is over when ctx ends.
func newLoad(ctx context.Context, t *target) *load {
	l := &load{target: t, settled: make(chan struct{}, 1)}
	l.ctx, l.end = context.WithCancelCause(context.WithoutCancel(ctx))
	l.release = context.AfterFunc(ctx, func() {
		l.settle()
		l.end(context.Cause(ctx))
	})
	return l
}

// settle lets nobody ask for more, and waits until what was asked for is answered: what
// is made of it can be deleted then.
func (l *load) settle() {
	l.phase.Store(over)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for l.calling.Load() > 0 {
		select {
		case <-l.settled:
		case <-l.ctx.Done():
			return
		case <-timer.C:
			l.end(errors.New("the daemon does not answer"))
			return
		}
	}
}

// dial makes a connection that ends with the load.
func (l *load) dial() (*conn, error) {
	c, err := l.target.dial(l.ctx)
	if err == nil {
		context.AfterFunc(l.ctx, func() { _ = c.Close() })
	}
	return c, err
}

// run lets a part of the load run until it returns.
func (l *load) run(part func() error) {
	l.running.Go(func() {
		if err := part(); err != nil {
			l.end(err)
		}
	})
}

// call is run for a part that asks until the load is over, and ends when it has all
// answers.
func (l *load) call(part func() error) {
	l.calling.Add(1)
	l.run(func() error {
		defer func() {
			l.calling.Add(-1)
			select {
			case l.settled <- struct{}{}:
			default:
			}
		}()
		return part()
	})
}

// stop ends the load, waits for all parts, and gives the error that was first.
func (l *load) stop() error {
	l.settle()
	l.release()
	l.end(errOver)
	l.running.Wait()
	if err := context.Cause(l.ctx); err != errOver { //nolint:errorlint // it is never wrapped
		return err
	}
	return nil
}

// usage is what was used while something was measured.
type usage struct {
	took              time.Duration
	n                 int64         // operations
	daemon, generator time.Duration // of the processors; 0: not known
	resident          int64         // bytes of the daemon in the end; 0: not known
}

// measure lets the load run for a while, and measures for as long as asked, also how
// much count, if there is one, has grown.
func (b *bench) measure(l *load, duration time.Duration, count func() int64) (usage, error) {
	if count == nil {
		count = func() int64 { return 0 }
	}
	warmUp := min(duration/4, time.Second)
	b.sleep(l.ctx, warmUp, warmUp+duration, 0)
	u := l.target.usage()
	began, n := time.Now(), count()
	l.phase.Store(measuring)
	b.sleep(l.ctx, duration, warmUp+duration, warmUp)
	u = l.target.usage().since(u)
	u.took, u.n = time.Since(began), count()-n
	l.phase.Store(over)
	return u, context.Cause(l.ctx)
}

// sleep waits, and shows that some of the total is over.
func (b *bench) sleep(ctx context.Context, d, total, before time.Duration) {
	const step = 100 * time.Millisecond
	for done := time.Duration(0); done < d && ctx.Err() == nil; done += step {
		b.options.Progress(b.row, (before + done).Milliseconds(), total.Milliseconds())
		timer := time.NewTimer(min(step, d-done))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// usage gives what has been used so far.
func (t *target) usage() (u usage) {
	u.generator, _ = cpuTime(os.Getpid())
	if t.own != nil {
		u.daemon, _ = cpuTime(t.own.command.Process.Pid)
		u.resident, _ = resident(t.own.command.Process.Pid)
	}
	return u
}

func (u usage) since(before usage) usage {
	u.daemon -= before.daemon
	u.generator -= before.generator
	return u
}

// figures tells the rate, some figures of the row's own, and what an operation used.
func (u usage) figures(own ...Figure) []Figure {
	figures := append([]Figure{{Rate, "/s", float64(u.n) / u.took.Seconds()}}, own...)
	if u.daemon > 0 && u.n > 0 {
		figures = append(figures, Figure{DaemonCPU, "µs", u.daemon.Seconds() * 1e6 / float64(u.n)})
	}
	if u.generator > 0 && u.n > 0 {
		figures = append(figures, Figure{GeneratorCPU, "µs", u.generator.Seconds() * 1e6 / float64(u.n)})
	}
	if u.resident > 0 {
		figures = append(figures, Figure{Resident, "MiB", float64(u.resident) / (1 << 20)})
	}
	return figures
}
