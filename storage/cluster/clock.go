package cluster

import (
	"sync"
	"time"
)

// clock is the time of the log: that of the server that leads the stream, as far as
// this daemon knows it. Daemons need not agree on what time it is, and one whose clock
// is set does not notice.
type clock struct {
	local func() time.Time

	mu    sync.Mutex
	log   time.Time // what the leader's clock showed
	at    time.Time // when, by the local clock, with its monotonic reading
	known bool
}

// set takes what the leader's clock showed between two moments here.
func (c *clock) set(log, asked, answered time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log, c.at, c.known = log.Add(answered.Sub(asked)/2), answered, true
}

// now is the leader's time, this machine's as long as that is not known.
func (c *clock) now() time.Time {
	now := c.local()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return now
	}
	return c.log.Add(now.Sub(c.at))
}
