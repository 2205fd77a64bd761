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
	log   time.Time     // what the leader's clock showed
	at    time.Time     // when, by the local clock, with its monotonic reading
	took  time.Duration // the answer that told it: the less, the better it is known
	known bool
}

const (
	// asGood is how much longer an answer may take that is believed in place of another.
	asGood = 10 * time.Millisecond
	// believed is for how long an answer is better than one that took longer.
	believed = 10 * time.Minute
	// onTheWay is how long a message takes at most; an answer that took longer than there
	// and back was waited for at the server, before it looked at its clock.
	onTheWay = 50 * time.Millisecond
)

// set takes what the leader's clock showed between two moments here, unless that is
// known better.
func (c *clock) set(log, asked, answered time.Time) {
	took := answered.Sub(asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && took > c.took+asGood && answered.Sub(c.at) < believed {
		return
	}
	c.log, c.at, c.took, c.known = log.Add(min(took/2, onTheWay)), answered, took, true
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
