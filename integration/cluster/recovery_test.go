package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

const (
	// recoveryLimit is within what every daemon that reaches a majority of the servers
	// has to write again: an election takes up to 9 s, and a connection has to be missed.
	recoveryLimit = 25 * time.Second
	// figures is the variable that has tests measure all that docs/benchmarks.md tells.
	figures = "DESCARTES_CLUSTER_FIGURES"
)

// loss is a machine, or a part of one, that is lost, and how it comes back. leader and
// follower are servers of the stream; d0 is connected to the leader, the others are not.
type loss struct {
	name       string
	short      bool // measured in every run
	begin, end func(f *fleet, leader, follower *natsServer)
	cutOff     bool // d0 cannot write until the end
}

// losses are what recovery is measured of.
func losses() []loss {
	return []loss{
		{
			"daemon killed, started at once", true, func(f *fleet, _, _ *natsServer) { f.members[0].die(); f.members[0].revive() },
			func(*fleet, *natsServer, *natsServer) {}, false,
		},
		{
			"NATS follower killed", false, func(_ *fleet, _, follower *natsServer) { follower.kill() },
			func(_ *fleet, _, follower *natsServer) { follower.begin() }, false,
		},
		{
			"NATS leader killed", true, func(_ *fleet, leader, _ *natsServer) { leader.kill() },
			func(_ *fleet, leader, _ *natsServer) { leader.begin() }, false,
		},
		{
			"NATS leader held up", false, func(_ *fleet, leader, _ *natsServer) { leader.pause() },
			func(_ *fleet, leader, _ *natsServer) { leader.resume() }, false,
		},
		{
			"NATS leader cut off from the others", true, func(f *fleet, leader, _ *natsServer) {
				f.nats.isolate(slices.Index(f.nats.all, leader), silent)
			}, func(f *fleet, _, _ *natsServer) { f.nats.join() }, false,
		},
		{
			"every NATS server killed, started at once", false, func(f *fleet, _, _ *natsServer) {
				for _, s := range f.nats.all {
					s.kill()
				}
				for _, s := range f.nats.all {
					s.begin()
				}
			}, func(*fleet, *natsServer, *natsServer) {}, false,
		},
		{
			"daemon cut off from NATS for 10 s", false, func(f *fleet, _, _ *natsServer) {
				for _, l := range f.members[0].links {
					l.cut(silent)
				}
			}, func(f *fleet, _, _ *natsServer) {
				for _, l := range f.members[0].links {
					l.heal()
				}
			}, true,
		},
	}
}

// Whatever machine is lost, every daemon that reaches a majority of the servers writes
// again within seconds, and one that does not says so until it does.
//
// DESCARTES_CLUSTER_FIGURES=1 measures all losses; -v shows the table.
func TestRecovery(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{})
	var through []jetstream.JetStream
	for _, s := range f.nats.all {
		through = append(through, s.connect(t))
	}
	var probes []*probe
	ctx, stop := context.WithCancel(t.Context())
	var probing sync.WaitGroup
	t.Cleanup(func() { stop(); probing.Wait() })
	for _, m := range f.members {
		p := &probe{member: m, codes: make(map[string]int)}
		probes = append(probes, p)
		probing.Go(func() { p.run(ctx) })
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "loss\td0\td1\td2\td0 was answered\tthe others")
	for _, l := range losses() {
		if l.short || os.Getenv(figures) != "" {
			f.measure(l, through, probes, w)
		}
	}
	w.Flush()
	t.Logf("longest time without an acknowledged write, from the loss on:\n%s", &table)
	stop()
	probing.Wait()
	f.requireEqual()
}

// measure measures one loss, and adds a line to the table.
func (f *fleet) measure(l loss, through []jetstream.JetStream, probes []*probe, table *tabwriter.Writer) {
	f.t.Helper()
	leader := f.nats.leader(f.t, through[0], stream)
	at := slices.Index(f.nats.all, leader)
	f.attach(0, at)
	f.attach(1, (at+1)%fleetSize)
	f.attach(2, (at+2)%fleetSize)
	for _, p := range probes {
		p.begin()
	}
	lost := time.Now()
	l.begin(f, leader, f.nats.all[(at+1)%fleetSize])
	if l.cutOff {
		<-time.After(10 * time.Second) // as long as it is to last
		l.end(f, leader, f.nats.all[(at+1)%fleetSize])
		lost = time.Now()
	}
	gaps := make([]string, len(probes))
	for i, p := range probes {
		gap, recovered := p.recovered(lost)
		gaps[i] = gap.Round(time.Millisecond).String()
		if !recovered || gap > recoveryLimit && !l.cutOff {
			f.t.Errorf("%s: %s had no acknowledged write for %v (recovered: %v)", l.name, p.member.name, gap, recovered)
			gaps[i] += " +"
		}
	}
	if !l.cutOff {
		l.end(f, leader, f.nats.all[(at+1)%fleetSize])
	}
	f.healAll(f.t)
	others := probes[1].told() + " / " + probes[2].told()
	fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", l.name, gaps[0], gaps[1], gaps[2], probes[0].told(), others)
	for _, p := range probes { // all is well again
		p.begin()
		if _, ok := p.recovered(time.Now()); !ok {
			f.t.Errorf("%s: %s does not write although it is over", l.name, p.member.name)
		}
	}
	eventually(f.t, "three servers with the whole log", func() error { return f.wholeLog(through[0]) })
}

// wholeLog tells whether every server has the stream.
func (f *fleet) wholeLog(by jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
	defer cancel()
	about, err := by.Stream(ctx, stream)
	if err != nil {
		return err
	}
	for _, r := range about.CachedInfo().Cluster.Replicas {
		if r.Offline || !r.Current || r.Lag > 100 {
			return fmt.Errorf("%s: %+v", r.Name, r)
		}
	}
	return nil
}

// attach has a daemon connect to a server.
func (f *fleet) attach(daemon, server int) {
	f.t.Helper()
	m := f.members[daemon]
	for i, l := range m.links {
		if i != server {
			l.cut(broken)
		}
	}
	c := m.Dial()
	defer c.Close()
	eventually(f.t, m.name+" at its server", func() error {
		_, err := c.Create(f.t.Context(), schema.Draft{Title: "attached"})
		return err
	})
	for _, l := range m.links {
		l.heal()
	}
}

// probe writes through one daemon all the time.
type probe struct {
	member *member

	mu    sync.Mutex
	from  time.Time     // of what is measured
	last  time.Time     // acknowledged write
	gap   time.Duration // longest since from
	codes map[string]int
	more  chan struct{} // closed at the next acknowledged write
}

// begin forgets what was.
func (p *probe) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from, p.gap = time.Now(), 0
	p.last = p.from
	clear(p.codes)
}

func (p *probe) run(ctx context.Context) {
	var c *client.Client
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for ctx.Err() == nil {
		var err error
		if c == nil {
			c, err = client.Dial(ctx, p.member.URL(), kit.Reconnecting())
		}
		if err == nil {
			_, err = c.Create(ctx, schema.Draft{Title: "probe"})
		}
		p.answered(err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *probe) answered(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.codes[wordFor(err)]++
		return
	}
	now := time.Now()
	p.gap = max(p.gap, now.Sub(p.last))
	if p.last = now; p.more != nil {
		close(p.more)
		p.more = nil
	}
}

// wordFor gives the error of a caller in a word.
func wordFor(err error) string {
	if coded, ok := errors.AsType[*schema.Error](err); ok {
		return coded.Data.Reason
	}
	if errors.Is(err, client.ErrDisconnected) {
		return "connection lost"
	}
	return "unreachable"
}

// recovered waits until the daemon has acknowledged writes a second after a moment, and
// gives the longest time without since then; not ok: it was in vain.
func (p *probe) recovered(lost time.Time) (gap time.Duration, ok bool) {
	late := time.After(2 * recoveryLimit)
	for {
		p.mu.Lock()
		if p.from.Before(lost) && p.last.Before(lost) { // it was cut off until now
			p.from, p.last, p.gap = lost, lost, 0
		}
		if p.last.Sub(lost) > time.Second {
			gap = p.gap
			p.mu.Unlock()
			return gap, true
		}
		if p.more == nil {
			p.more = make(chan struct{})
		}
		more, since := p.more, p.last
		p.mu.Unlock()
		select {
		case <-more:
		case <-late:
			return time.Since(since), false
		}
	}
}

// told gives the errors that its caller has got, the most frequent first.
func (p *probe) told() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	words := slices.SortedFunc(maps.Keys(p.codes), func(a, b string) int { return cmp.Compare(p.codes[b], p.codes[a]) })
	for i, word := range words {
		words[i] = fmt.Sprintf("%s %d", word, p.codes[word])
	}
	return cmp.Or(strings.Join(words, ", "), "no error")
}
