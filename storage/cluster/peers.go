package cluster

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/descartes-tasks/descartes/schema"
)

const (
	greetEvery = 2 * time.Second
	// forgotten is after how long a daemon that is not heard of is not told of any more.
	forgotten = 10 * time.Minute
)

// peers are the daemons that this one has heard of.
type peers struct {
	mu       sync.Mutex
	heard    map[string]*peer
	namesake uint32    // the incarnation of another daemon with this one's name
	doubted  time.Time // when nobody was heard the last time
}

// peer is what a daemon last said.
type peer struct {
	greeting
	at       time.Time // when, by the local clock
	compared bool
}

// greeting is what each daemon tells the others every greetEvery.
type greeting struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Incarnation uint32 `json:"incarnation"`
	Position    int64  `json:"position"`
	Chain       string `json:"chain"` // hexadecimal
	Current     bool   `json:"current"`
	Making      bool   `json:"making,omitempty"` // a snapshot
}

// talk tells the others where this daemon is, and compares what they tell.
func (j *Journal) talk(ctx context.Context) {
	for subject, hear := range map[string]nats.MsgHandler{
		j.config.peerSubject(): j.hear, j.config.chainSubject(): j.answer,
	} {
		subscription, err := j.conn.Subscribe(subject, hear)
		if err != nil {
			j.report("listening to the other daemons", err)
			return
		}
		defer func() { _ = subscription.Unsubscribe() }()
	}
	if !j.await(ctx, func(s *state) bool { return s.connected }) {
		return
	}
	j.judge(ctx, j.position()) // before anybody relies on what the file has
	j.change(func(s *state) {
		s.judged = true
		s.reach()
	})
	tick := time.NewTicker(greetEvery)
	defer tick.Stop()
	for {
		j.greet()
		j.compare(ctx)
		if j.alone() {
			j.running.Go(j.doubt)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

const (
	// lonely is after how long a daemon doubts that it is connected which hears nobody
	// any more.
	lonely = 3 * greetEvery
	// doubtEvery is how often it does something about that.
	doubtEvery = 10 * time.Second
)

// alone tells, now and then, that nobody is heard of those who were.
func (j *Journal) alone() bool {
	j.peers.mu.Lock()
	defer j.peers.mu.Unlock()
	for _, p := range j.peers.heard {
		if time.Since(p.at) < lonely {
			return false
		}
	}
	if len(j.peers.heard) == 0 || time.Since(j.peers.doubted) < doubtEvery {
		return false
	}
	j.peers.doubted = time.Now()
	return true
}

// doubt finds out whether the log can be written to. A server that is cut off from the
// others may send heartbeats for long.
func (j *Journal) doubt() {
	if err := j.passFence(); err != nil && j.stopped.Err() == nil {
		j.troubled(fmt.Errorf("no other daemon is heard, and it takes no message: %w", err))
	}
}

// greet tells the others where this daemon is.
func (j *Journal) greet() {
	data, err := json.Marshal(j.greeting())
	if err == nil {
		_ = j.conn.Publish(j.config.peerSubject(), data) // the next one may arrive
	}
}

func (j *Journal) greeting() greeting {
	j.mu.Lock()
	defer j.mu.Unlock()
	now, _ := j.state.chains.at(j.state.position)
	return greeting{
		Name: j.config.Daemon, Version: j.config.Version, Incarnation: j.incarnation,
		Position: j.state.position, Chain: now.String(), Current: j.state.follows(), Making: j.snapshots.making.Load(),
	}
}

// hear takes a greeting of another daemon.
func (j *Journal) hear(m *nats.Msg) {
	var g greeting
	if json.Unmarshal(m.Data, &g) != nil || !daemons.MatchString(g.Name) || g.Incarnation == j.incarnation {
		return
	}
	j.peers.mu.Lock()
	defer j.peers.mu.Unlock()
	if g.Name == j.config.Daemon {
		if j.peers.namesake != g.Incarnation {
			j.peers.namesake = g.Incarnation
			j.report("two daemons of one name", fmt.Errorf("another one is called %s, too: give each a name of its own (--cluster-daemon)", g.Name))
		}
		return
	}
	if j.peers.heard == nil {
		j.peers.heard = make(map[string]*peer)
	}
	j.peers.heard[g.Name] = &peer{greeting: g, at: time.Now()}
}

// othersMake tells whether another daemon makes a snapshot.
func (j *Journal) othersMake() bool {
	j.peers.mu.Lock()
	defer j.peers.mu.Unlock()
	for _, p := range j.peers.heard {
		if p.Making && time.Since(p.at) < there {
			return true
		}
	}
	return false
}

// compare looks whether the others had the same chain where they were. That is a
// tick after they said so, when this daemon has got there, too.
func (j *Journal) compare(ctx context.Context) {
	var doubted []*peer
	j.peers.mu.Lock()
	for name, p := range j.peers.heard {
		if time.Since(p.at) > forgotten {
			delete(j.peers.heard, name)
		}
		if mine, ok := j.chainAt(p.Position); ok && !p.compared {
			if p.compared = true; mine.String() != p.Chain {
				doubted = append(doubted, p)
			}
		}
	}
	j.peers.mu.Unlock()
	for _, p := range doubted {
		j.judge(ctx, p.Position)
	}
}

func (j *Journal) chainAt(position int64) (chain, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.chains.at(position)
}

// daemons lists this daemon and those that were heard of, by name.
func (j *Journal) daemons() []schema.ClusterDaemon {
	now := j.Now()
	own := j.greeting()
	list := []schema.ClusterDaemon{own.stats(now)}
	j.peers.mu.Lock()
	defer j.peers.mu.Unlock()
	for _, p := range j.peers.heard {
		list = append(list, p.stats(now.Add(-time.Since(p.at))))
	}
	slices.SortFunc(list, func(a, b schema.ClusterDaemon) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (g *greeting) stats(heard time.Time) schema.ClusterDaemon {
	return schema.ClusterDaemon{Name: g.Name, Version: g.Version, Position: g.Position, HeardAt: heard.UnixMilli(), Current: g.Current}
}

// String gives the chain in hexadecimal.
func (c chain) String() string { return hex.EncodeToString(c[:]) }
