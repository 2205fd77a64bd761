package storage

import "time"

const (
	// clockJump is how far the clock may run ahead of the time that has passed before
	// it counts as set.
	clockJump = time.Minute

	// clockDoubt is how long a clock that was set ahead is not believed. What is
	// pruned because of a wrong clock is gone when the clock is right again.
	clockDoubt = time.Hour
)

// clock decides what time it is when the age of events is judged. It follows the
// system's clock, and compares it with the time that has really passed.
type clock struct {
	origin time.Time // the clock's time less what had passed then
	doubt  time.Duration
	start  time.Time // what passes is counted from here
}

func newClock(now time.Time) clock { return clock{origin: now.Round(0), start: time.Now()} }

// believe gives the time: the clock's, unless that was set ahead in the last hour.
func (c *clock) believe(now time.Time, passed time.Duration) time.Time {
	origin := now.Round(0).Add(-passed) // rounded: without the monotonic reading, which is never set
	switch {
	case origin.Sub(c.origin) <= clockJump:
		c.doubt = 0
	case c.doubt == 0:
		c.doubt = passed + clockDoubt
		return c.origin.Add(passed)
	case passed < c.doubt:
		return c.origin.Add(passed)
	}
	c.origin, c.doubt = origin, 0
	return now
}
