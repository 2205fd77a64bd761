package emitter

import (
	"sync"
	"sync/atomic"

	"github.com/descartes-tasks/descartes/schema"
)

// Stats are the counters of an Emitter since its start, and how things stand now.
type Stats struct {
	Commits, Changes          int64 // commits, and the changes that shared them
	Created, Updated, Deleted int64 // events announced
	Delivered                 int64 // events sent to subscribers, each time counted
	Folded                    int64 // changes that were folded into another event instead
	HeldBack                  int64 // changes that wait in a fold now
	Subscriptions             int64
	SlowestLag                int64 // events that the slowest subscription has not taken yet
	Leases                    int64 // claims that have not ended
	LeasesExpired             int64 // claims that this Emitter has ended
	WaitingClaims             int64 // that wait for a task to become ready
}

type counters struct {
	commits, writes           atomic.Int64
	created, updated, deleted atomic.Int64
	delivered, folded, held   atomic.Int64
	leases, expired, waiting  atomic.Int64

	mu            sync.Mutex
	subscriptions map[*Subscription]struct{}
}

func (c *counters) emitted(kind schema.ChangeType) {
	switch kind {
	case schema.Created:
		c.created.Add(1)
	case schema.Updated:
		c.updated.Add(1)
	case schema.Deleted:
		c.deleted.Add(1)
	}
}

func (c *counters) add(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscriptions == nil {
		c.subscriptions = make(map[*Subscription]struct{})
	}
	c.subscriptions[s] = struct{}{}
}

func (c *counters) remove(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subscriptions, s)
}

// Stats reads the counters.
func (e *Emitter) Stats() Stats {
	c := &e.counts
	s := Stats{
		Commits: c.commits.Load(), Changes: c.writes.Load(),
		Created: c.created.Load(), Updated: c.updated.Load(), Deleted: c.deleted.Load(),
		Delivered: c.delivered.Load(), Folded: c.folded.Load(), HeldBack: c.held.Load(),
		Leases: c.leases.Load(), LeasesExpired: c.expired.Load(), WaitingClaims: c.waiting.Load(),
	}
	newest := e.tail.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Subscriptions = int64(len(c.subscriptions))
	for sub := range c.subscriptions {
		s.SlowestLag = max(s.SlowestLag, newest-sub.place.Load())
	}
	return s
}
