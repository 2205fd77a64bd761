package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// Journal is the journal of a cluster as one of its daemons has it: an emitter.Journal,
// and everything that the file can tell. Its methods are safe for concurrent use, but
// Apply is called by one goroutine at a time.
type Journal struct {
	*storage.DB // Apply and Moved are not its own
	config      Config
	incarnation uint32
	conn        *nats.Conn
	js          jetstream.JetStream
	clock       clock
	peers       peers
	dispute     dispute // for talk alone
	fences      fences
	short       spell // the log seems to have lost messages; for follow alone
	snapshots   snapshots
	moved       chan struct{} // one slot: somebody else's changes were applied

	stop    context.CancelFunc
	stopped context.Context
	running sync.WaitGroup
	done    chan struct{} // closed when the daemon must stop; err says why
	failing sync.Once
	err     error // written before done is closed
	closes  sync.Once
	closed  error

	unknown atomic.Int64 // writes whose outcome was not found out

	mu      sync.Mutex
	state   state
	pending map[string]*pending // messages of this daemon on their way, by id
}

// pending is a message on its way through the log.
type pending struct {
	done     chan struct{} // closed when this daemon has applied it
	outcomes []schema.Outcome
	events   []schema.Event
}

// Done is closed when this daemon must not go on: see Err.
func (j *Journal) Done() <-chan struct{} { return j.done }

// Err tells why the daemon must not go on, nil while it may.
func (j *Journal) Err() error {
	select {
	case <-j.done:
		return j.err
	default:
		return nil
	}
}

// fail ends what this daemon may do.
func (j *Journal) fail(err error) {
	j.failing.Do(func() {
		j.err = err
		close(j.done)
		j.stop()
	})
}

// Close stops following the log and closes the file. Closing twice is harmless.
func (j *Journal) Close() error {
	j.closes.Do(func() {
		j.stop()
		j.running.Wait()
		j.conn.Close()
		reach, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var reached error
		if j.Err() == nil {
			reached = j.DB.Reached(reach, j.position())
		}
		j.closed = errors.Join(reached, j.DB.Close())
	})
	return j.closed
}

// Moved delivers a token after changes of other daemons were applied.
func (j *Journal) Moved() <-chan struct{} { return j.moved }

// Now is the time of the cluster: that of the log, and not before its last change.
func (j *Journal) Now() time.Time {
	now := j.clock.now()
	if last := time.UnixMilli(j.DB.Place().At); now.Before(last) {
		return last
	}
	return now
}

// Incarnation tells this run of the daemon from every other: 1 to 2^31-1. Sources of
// changes carry it in their upper half, so that the next run knows whose leases
// have lost their connection.
func (j *Journal) Incarnation() uint32 { return j.incarnation }

// Apply makes changes as emitter.Journal says, on every daemon. A change whose outcome
// could not be found out in time has an error with schema.CodeOutcomeUnknown; all others
// are made, or were refused and will not be made.
func (j *Journal) Apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	if err := j.mayWrite(ctx); err != nil {
		return nil, nil, err
	}
	encoded, refused, err := encodeAll(changes, int(j.conn.MaxPayload())-headroom)
	if err != nil {
		return nil, nil, err
	}
	if len(encoded) == 0 {
		return refused, nil, nil
	}
	outcomes := make([]schema.Outcome, 0, len(encoded))
	var events []schema.Event
	for rest := encoded; len(rest) > 0; {
		n := pack(rest, int(j.conn.MaxPayload())-headroom)[0]
		made, seen, err := j.publish(ctx, encode(rest[:n]))
		if err != nil {
			if len(outcomes) == 0 && n == len(rest) {
				return nil, nil, err
			}
			made = failed(len(rest), err)
			n = len(rest) // nothing may overtake what is perhaps on its way
		}
		if len(seen) > 0 && len(events) > 0 && seen[0].Seq != events[len(events)-1].Seq+1 {
			events = nil // others came in between: who reads what is between gets these, too
		}
		outcomes, events, rest = append(outcomes, made...), append(events, seen...), rest[n:]
	}
	return merge(refused, outcomes), events, nil
}

// headroom is for the headers of a message.
const headroom = 1 << 10

// failed gives the outcome of n changes that all failed the same way.
func failed(n int, err error) []schema.Outcome {
	outcomes := make([]schema.Outcome, n)
	for i := range outcomes {
		outcomes[i].Err = err
	}
	return outcomes
}

// merge puts outcomes where refused has none.
func merge(refused, outcomes []schema.Outcome) []schema.Outcome {
	if len(refused) == len(outcomes) {
		return outcomes
	}
	for i := range refused {
		if refused[i].Err == nil {
			refused[i], outcomes = outcomes[0], outcomes[1:]
		}
	}
	return refused
}

// expect notes that a message with this id is on its way.
func (j *Journal) expect(id string) *pending {
	p := &pending{done: make(chan struct{})}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending[id] = p
	return p
}

// forget expects a message no more, and tells whether it had not been applied yet.
func (j *Journal) forget(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, expected := j.pending[id]
	delete(j.pending, id)
	return expected
}

// report tells something to the log.
func (j *Journal) report(what string, err error) { j.config.Report(what, err) }

// start follows the log.
func (j *Journal) start() {
	for _, run := range []func(context.Context){j.follow, j.lookOften, j.talk, j.keepSnapshots} {
		j.running.Go(func() { run(j.stopped) })
	}
}

var errLost = errors.New("the connection to the log of record is lost")
