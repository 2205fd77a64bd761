package cluster

import (
	"testing"
	"time"
)

// The time of the log is what a quick answer said, not what a slow one seems to say: a
// server that had to wait looks at its clock when it answers, not halfway.
func TestClockBelievesQuickAnswers(t *testing.T) {
	here := time.Now()
	there := func(after time.Duration) time.Time { return here.Add(time.Hour + after) } // the leader is an hour ahead
	now := here
	c := clock{local: func() time.Time { return now }}
	requireWithin := func(what string, tolerance time.Duration) {
		t.Helper()
		if wrong := c.now().Sub(there(now.Sub(here))); wrong.Abs() > tolerance {
			t.Errorf("%s: the time is wrong by %v", what, wrong)
		}
	}
	answer := func(waited, back time.Duration) {
		asked := now
		said := there(now.Add(waited).Sub(here))
		now = now.Add(waited + back)
		c.set(said, asked, now)
	}
	answer(time.Second, time.Millisecond)
	requireWithin("only a slow answer", onTheWay)
	answer(time.Millisecond, time.Millisecond)
	requireWithin("a quick answer", time.Millisecond)
	answer(1500*time.Millisecond, 0)
	requireWithin("a slow answer after a quick one", time.Millisecond)
	answer(0, 1500*time.Millisecond)
	requireWithin("one that was slow on its way back", time.Millisecond)
	there = func(after time.Duration) time.Time { return here.Add(after) } // another leader
	now = now.Add(believed)
	answer(200*time.Millisecond, time.Millisecond)
	requireWithin("a slow answer after a long time", onTheWay)
}
