package integration

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// A subscriber of one daemon sees what the other writes within 50 ms, and cursors
// of one are good for the other.
func TestTwoDaemonsSeeEachOther(t *testing.T) {
	db := database(t)
	clients := []*client.Client{serve(t, db).dial(), serve(t, db).dial()}
	subscriptions := []*client.Subscription{
		subscribe(t, clients[0], schema.SubscribeParams{}), subscribe(t, clients[1], schema.SubscribeParams{}),
	}
	var latencies []time.Duration
	for i := range 30 {
		here, there := i%2, 1-i%2
		task := create(t, clients[here], fmt.Sprint("task ", i))
		answered := time.Now()
		event := next(t, subscriptions[there])
		latencies = append(latencies, time.Since(answered))
		own := next(t, subscriptions[here])
		if event.Seq != task.Version || event.Origin != schema.OriginRPC || event.Own || kit.RecordOf(&event) != kit.RecordOf(&own) {
			t.Fatalf("%+v there, %+v here, of %+v", event, own, task)
		}
		resumed := subscribe(t, clients[here], schema.SubscribeParams{Since: &event.Cursor})
		if mark, err := resumed.Next(t.Context()); err != nil || !mark.Live || mark.Cursor != event.Cursor {
			t.Fatalf("after %s of the other daemon: %+v, %v", event.Cursor, mark, err)
		}
		resumed.Close()
	}
	slices.Sort(latencies)
	median := latencies[len(latencies)/2]
	t.Logf("from the answer of one daemon to the event of the other: median %v, slowest %v", median, latencies[len(latencies)-1])
	if limit := 50 * time.Millisecond; median > limit {
		t.Errorf("the event comes %v after the answer, more than %v", median, limit)
	}
}

// pair is two daemons on one file with clients that write through both of them,
// and a subscriber of each.
type pair struct {
	t        *testing.T
	services [2]*service
	made     [2]kit.Tally
	stop     context.CancelFunc
	writing  sync.WaitGroup
	mu       sync.Mutex
	ledger   []kit.Written
	slowest  [2]time.Duration // of the writes that were not disturbed by a kill
}

const (
	pairWriters = 16 // of each daemon
	pairMargin  = 5  // how many times more one daemon may write than the other
)

func newPair(t *testing.T, flags ...string) *pair {
	t.Helper()
	db := database(t)
	p := &pair{t: t, services: [2]*service{startService(t, db, "a", flags...), startService(t, db, "b", flags...)}}
	ctx, stop := context.WithCancel(t.Context())
	p.stop = func() { stop(); p.writing.Wait() }
	t.Cleanup(p.stop)
	for i := range 2 * pairWriters {
		c := p.services[i%2].dial()
		p.writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				p.write(c, i, n)
			}
		})
	}
	return p
}

// write creates a task, trying again as long as there is no answer.
func (p *pair) write(c *client.Client, writer, n int) {
	s, mark := p.services[writer%2], fmt.Sprintf("p%d-%d", writer, n)
	lost := false
	for p.t.Context().Err() == nil {
		s.running()
		began := time.Now()
		task, err := c.Create(p.t.Context(), schema.Draft{ID: mark, Title: mark})
		again, perhapsMade := kit.Unanswered(err)
		switch {
		case again && schema.CodeOf(err) != schema.CodeStorageUnavailable:
			lost = lost || perhapsMade
			continue
		case err == nil:
			p.note(writer%2, kit.Written{Marks: []string{mark}, Seqs: []int64{task.Version}, Made: true}, time.Since(began))
		case lost && schema.CodeOf(err) == schema.CodeTaskExists:
			p.note(writer%2, kit.Written{Marks: []string{mark}, Made: true}, 0)
		default: // the other daemon had the lock for more than 5 s
			p.t.Errorf("%s: %v", mark, err)
		}
		return
	}
}

func (p *pair) note(daemon int, w kit.Written, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ledger = append(p.ledger, w)
	p.slowest[daemon] = max(p.slowest[daemon], took)
	p.made[daemon].Add()
}

// requireAll compares the file with what the writers were told, and a subscriber
// with the file.
func (p *pair) requireAll(seen ...*kit.Observer) {
	p.t.Helper()
	for _, s := range p.services {
		s.daemon.stop()
	}
	mustRun(p.t, "check", "--db", p.services[0].db)
	f := kit.ReadFile(p.t, p.services[0].db)
	for i := range p.ledger {
		p.ledger[i].Check(p.t, f)
	}
	for _, o := range seen {
		kit.SawExactly(p.t, f, o, f.Last, func(*kit.Record) bool { return true })
	}
	p.t.Logf("%d writes by %d clients of each daemon, %d and %d; the slowest took %v and %v",
		len(p.ledger), pairWriters, p.made[0].Count(), p.made[1].Count(), p.slowest[0], p.slowest[1])
}

// readUpTo takes events until a place is reached.
func readUpTo(t *testing.T, s *client.Subscription, o *kit.Observer, seq int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for o.Last() < seq {
		event, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("%s, after %d: %v", o.Name, o.Last(), err)
		}
		o.Take(&event)
	}
}

// Both daemons write at once, neither keeps the other out, and the subscribers of
// both see the same events in the same order.
func TestTwoDaemonsWriteAtOnce(t *testing.T) {
	p := newPair(t)
	var seen []*kit.Observer
	var subscriptions []*client.Subscription
	for i, s := range p.services {
		seen = append(seen, kit.NewObserver(fmt.Sprint("subscriber ", i)))
		subscriptions = append(subscriptions, subscribe(t, s.dial(), schema.SubscribeParams{Since: new(schema.SinceStart)}))
	}
	p.made[0].Await(t, 300)
	p.made[1].Await(t, 300)
	p.stop()
	last := create(t, p.services[0].dial(), "last")
	for i := range seen {
		readUpTo(t, subscriptions[i], seen[i], last.Version)
	}
	p.requireAll(seen...)
	if few, many := min(p.made[0].Count(), p.made[1].Count()), max(p.made[0].Count(), p.made[1].Count()); many > pairMargin*few {
		t.Errorf("one daemon made %d writes, the other %d", many, few)
	}
}

// A daemon that is killed with SIGKILL disturbs the other one in nothing: no write
// over there fails or waits long, and its subscriber sees what both have written.
func TestKilledBesideAnother(t *testing.T) {
	p := newPair(t)
	o := kit.NewObserver("subscriber of the other")
	s := subscribe(t, p.services[1].dial(), schema.SubscribeParams{Since: new(schema.SinceStart)})
	for range 5 {
		p.made[0].Await(t, 30)
		p.services[0].kill()
		p.made[1].Await(t, 30)
	}
	p.stop()
	readUpTo(t, s, o, create(t, p.services[0].dial(), "last").Version)
	p.requireAll(o)
	if limit := 5 * time.Second; p.slowest[1] > limit {
		t.Errorf("a write over the daemon that was not killed took %v", p.slowest[1])
	}
}

// A subscriber that goes from one daemon to the other and back by its cursor has
// every event once and in order.
func TestSubscriberMovesBetweenDaemons(t *testing.T) {
	p := newPair(t)
	o := kit.NewObserver("subscriber that moves")
	cursor := schema.SinceStart
	move := func(i int, upTo int64) {
		c := p.services[i%2].dial()
		defer c.Close()
		s := subscribe(t, c, schema.SubscribeParams{Since: &cursor})
		readUpTo(t, s, o, upTo)
		cursor = s.Cursor()
	}
	for i := range 20 {
		p.made[i%2].Await(t, 10)
		move(i, o.Last()+10)
	}
	p.stop()
	move(0, create(t, p.services[0].dial(), "last").Version)
	p.requireAll(o)
}

// While both prune the journal, subscribers that keep up miss nothing, and a cursor
// whose next events are gone is refused by both.
func TestTwoDaemonsPrune(t *testing.T) {
	t.Parallel()
	p := newPair(t, "--retain-events", "2000")
	first := subscribe(t, p.services[0].dial(), schema.SubscribeParams{Since: new(schema.SinceStart)})
	start := next(t, first).Cursor
	o := kit.NewObserver("subscriber that keeps up")
	live := subscribe(t, p.services[1].dial(), schema.SubscribeParams{Since: &start})
	pruned := func() bool {
		stats, err := p.services[0].daemon.dial().Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		oldest, err := schema.ParseCursor("oldest", stats.Journal.Oldest)
		return err == nil && oldest.Seq > 300
	}
	marker := p.services[0].dial()
	for !pruned() {
		p.made[0].Await(t, 50)
		p.made[1].Await(t, 50)
		readUpTo(t, live, o, create(t, marker, "mark").Version)
	}
	p.stop()
	readUpTo(t, live, o, create(t, p.services[0].dial(), "last").Version)
	for i := 1; i < len(o.Seen); i++ {
		if o.Seen[i].Seq != o.Seen[i-1].Seq+1 {
			t.Fatalf("event %d comes after %d", o.Seen[i].Seq, o.Seen[i-1].Seq)
		}
	}
	for _, s := range p.services {
		if _, err := s.dial().Subscribe(t.Context(), schema.SubscribeParams{Since: &start}); schema.CodeOf(err) != schema.CodeCursorExpired {
			t.Errorf("a cursor whose events are gone: %v", err)
		}
		s.daemon.stop()
	}
	f := kit.ReadFile(t, p.services[0].db)
	for i := range o.Seen {
		if r := f.At(o.Seen[i].Seq); r != nil && r.Sum != o.Seen[i].Sum {
			t.Errorf("event %d is another one in the journal", r.Seq)
		}
	}
	t.Logf("%d events, the journal has those from %d", f.Last, f.Oldest())
}
