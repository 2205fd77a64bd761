package journaltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// PlayClaims lets daemons claim, renew, wait, come and go over one journal, at random
// and in virtual time, and checks after each step what docs/protocol.md promises of
// claims. Of the Harness it needs Open and Outside. At most longest passes at a time.
//
// The promises are checked against a ledger that knows nothing of the emitter's ways:
// it reads the journal, and the answers.
func PlayClaims(t *testing.T, h Harness, longest time.Duration) {
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(t *testing.T) {
			p := &play{
				TB: t, t: rt, h: h, longest: longest, journal: h.Open(t), writing: make(chan struct{}, 1),
				times: make(map[int64]time.Time), truth: make(map[any]schema.Outcome), ledger: newLedger(),
			}
			defer func() {
				failure = recover()
				p.end()
			}()
			if rapid.Bool().Draw(rt, "vague") {
				p.skew = skew
			}
			p.start()
			for range rapid.IntRange(10, 50).Draw(rt, "steps") {
				p.step()
			}
		})
		switch failure := failure.(type) { // for rapid, whose goroutine this is
		case nil:
		case violation:
			rt.Fatalf("%s", failure)
		default:
			panic(failure)
		}
	})
}

// violation is a panic with a promise that is not kept.
type violation string

func fail(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// play is a journal and the daemons on it.
type play struct {
	TB
	t       *rapid.T
	h       Harness
	longest time.Duration
	journal emitter.Journal
	killed  []*daemon
	ahead   atomic.Int64 // nanoseconds, of the clock
	skew    time.Duration
	ledger  *ledger

	writing chan struct{}          // taken by who applies, and by who changes the following
	daemons []*daemon              // that run
	times   map[int64]time.Time    // when an event was made, by seq
	refuses bool                   // nothing can be written
	vague   vagueness              // what becomes of changes of which nobody is told
	late    [][]schema.Change      // such changes, to be made yet
	truth   map[any]schema.Outcome // what became of changes of which nobody was told; taken with the lock

	asked       []*asked // not yet answered, in their order
	doubtful    []*asked // answered, but nobody knows yet what became of them
	asks        int      // ever
	connections int64    // ever
}

// daemon is an emitter, and the connections to it.
type daemon struct {
	*emitter.Emitter
	door        *door
	connections []int64
}

// door is one daemon's way to the journal. The others hear of what it commits.
type door struct {
	play    *play
	moved   chan struct{}
	orphans int64 // leases up to this number that end with a connection have lost it
	dead    atomic.Bool
}

var (
	errDead   = errors.New("the process was killed")
	errBroken = schema.StorageUnavailable("the disk is full")
)

func (d *door) alive() error {
	if d.dead.Load() {
		return errDead
	}
	return nil
}

// Apply applies, and notes when.
func (d *door) Apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	defer d.play.lock()()
	if d.dead.Load() || d.play.refuses {
		return nil, nil, errBroken
	}
	if d.play.vague != telling {
		return nil, nil, d.play.swallow(changes)
	}
	outcomes, events, err := d.play.apply(ctx, changes)
	d.play.tell(d)
	return outcomes, events, err
}

// apply applies, and notes when. Who calls it has the lock.
func (p *play) apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	outcomes, events, err := p.journal.Apply(ctx, changes)
	for _, e := range events {
		p.times[e.Seq] = time.Now()
	}
	return outcomes, events, err
}

// lock keeps everybody from applying until the function that it gives is called.
func (p *play) lock() (unlock func()) {
	p.writing <- struct{}{}
	return func() { <-p.writing }
}

// runs changes which daemons run.
func (p *play) runs(daemons []*daemon) {
	defer p.lock()()
	p.daemons = daemons
}

// tell lets the daemons behind all doors but one know that there may be something new.
func (p *play) tell(but *door) {
	for _, other := range p.daemons {
		if other.door == but {
			continue
		}
		select {
		case other.door.moved <- struct{}{}:
		default:
		}
	}
}

// Events gives events.
func (d *door) Events(ctx context.Context, after, through int64, limit int) ([]schema.Event, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	return d.play.journal.Events(ctx, after, through, limit)
}

// TasksAt gives tasks.
func (d *door) TasksAt(ctx context.Context, at int64, after string, limit int) ([]json.RawMessage, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	return d.play.journal.TasksAt(ctx, at, after, limit)
}

// Leases gives leases.
func (d *door) Leases(ctx context.Context, after int64) ([]schema.Lease, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	leases, err := d.play.journal.Leases(ctx, after)
	for i := range leases {
		leases[i].Orphaned = leases[i].Orphaned || leases[i].Source != 0 && leases[i].Num <= d.orphans
	}
	return leases, err
}

// Bounds gives the ends of the journal.
func (d *door) Bounds(ctx context.Context) (schema.Bounds, error) {
	if err := d.alive(); err != nil {
		return schema.Bounds{}, err
	}
	return d.play.journal.Bounds(ctx)
}

// Moved delivers a token after another daemon has committed.
func (d *door) Moved() <-chan struct{} { return d.moved }

// clock gives the time of the machine, which may be set.
func (p *play) clock() time.Time { return time.Now().Round(0).Add(time.Duration(p.ahead.Load())) }

// start starts a daemon. Where it is the only one, connections from before are gone.
func (p *play) start() {
	alone := len(p.daemons) == 0
	if alone && p.h.Reopen != nil && p.asks > 0 {
		p.journal = p.h.Reopen(p.TB, p.journal)
	}
	d := &door{play: p, moved: make(chan struct{}, 1)}
	if alone {
		leases, err := p.journal.Leases(context.Background(), 0)
		p.must(err)
		for _, l := range leases {
			d.orphans = max(d.orphans, l.Num)
		}
	}
	e, err := emitter.New(context.Background(), d, emitter.Config{Now: p.clock, Queue: 64, Skew: p.skew})
	p.must(err)
	one := &daemon{Emitter: e, door: d}
	p.runs(append(slices.Clone(p.daemons), one))
	for range 2 {
		p.connect(one)
	}
	p.ledger.starts(one, alone, p.clock().Add(-p.skew))
}

func (p *play) connect(d *daemon) {
	p.connections++
	d.connections = append(d.connections, p.connections)
}

// stop ends a daemon as a signal does: first its connections, then all that is left.
func (p *play) stop(d *daemon) {
	for len(d.connections) > 0 {
		p.disconnect(d, 0)
	}
	p.runs(without(p.daemons, d))
	d.Close()
	p.settle()
	d.door.dead.Store(true)
	p.ledger.stops(d)
}

// kill ends a daemon as SIGKILL does: nothing of it happens any more.
func (p *play) kill(d *daemon) {
	p.runs(without(p.daemons, d))
	p.killed = append(p.killed, d)
	d.door.dead.Store(true)
	p.asked = slices.DeleteFunc(p.asked, func(a *asked) bool { return a.daemon == d })
	p.ledger.stops(d)
}

// disconnect ends a connection: who waited there is withdrawn, then its leases end.
func (p *play) disconnect(d *daemon, nth int) {
	connection := d.connections[nth]
	d.connections = slices.Delete(d.connections, nth, nth+1)
	for _, a := range p.asked {
		if a.connection == connection {
			p.withdraw(a)
		}
	}
	p.settle()
	d.Abandon(connection)
	p.ledger.disconnects(d, connection)
}

func (p *play) withdraw(a *asked) {
	a.withdrawn = true
	a.daemon.Withdraw(a.write)
}

// end closes everything.
func (p *play) end() {
	for _, d := range slices.Concat(p.daemons, p.killed) {
		d.Close()
	}
}

func (p *play) must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(other T) bool { return other == one })
}
