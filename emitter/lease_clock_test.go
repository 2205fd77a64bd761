package emitter_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// A clock that is set ends no lease early and none late, whenever it is set.
func TestClockIsSetUnderLeases(t *testing.T) {
	for _, step := range []time.Duration{time.Second, 30 * time.Second, time.Hour, 10_000 * time.Hour} {
		for _, step := range []time.Duration{step, -step} {
			t.Run(step.String(), func(t *testing.T) {
				var ahead atomic.Int64
				config := emitter.Config{BookmarkEvery: time.Hour, Now: func() time.Time { return time.Now().Round(0).Add(time.Duration(ahead.Load())) }}
				inBubble(t, config, func(f *fixture) {
					applied := watchApply(f.journal)
					f.do(create("a"), create("b"), create("c"))
					r := f.follow(emitter.Spec{})
					f.token(claimOf("a", 100))
					token := f.token(claimOf("b", 100))
					applied.set(func(changes []schema.Change) error {
						if changes[0].Operations[0].TaskID() == "c" {
							ahead.Store(int64(step)) // while the claim is on its way
						}
						return nil
					})
					f.token(claimOf("c", 100))
					after(50 * time.Second)
					f.must(renew("b", token))
					ahead.Add(-2 * int64(step))
					after(100 * time.Second)
					r.start = time.Now()
					lines := r.got()
					want := []string{"0s bookmark", "0s updated a#4", "0s updated b#5", "0s updated c#6", "1m40s updated a#7", "1m40s updated c#8", "2m30s updated b#9"}
					for i, line := range lines[:min(len(lines), len(want))] {
						if len(lines) != len(want) || line[:len(want[i])] != want[i] {
							t.Errorf("got %s", line)
						}
					}
					if len(lines) != len(want) {
						t.Errorf("got %q", lines)
					}
				})
			})
		}
	}
}

// Where nobody was there the clock tells how long that was; a lease has its length at
// most, although the clock was set back meanwhile.
func TestClockIsSetWhileNobodyIsThere(t *testing.T) {
	for _, test := range []struct{ step, left time.Duration }{
		{0, 70 * time.Second},
		{-time.Second, 71 * time.Second},
		{-10 * time.Hour, 100 * time.Second},
		{69 * time.Second, time.Second},
		{70 * time.Second, 0},
		{1000 * time.Hour, 0},
	} {
		var ahead atomic.Int64
		config := emitter.Config{Now: func() time.Time { return time.Now().Round(0).Add(time.Duration(ahead.Load())) }}
		inBubble(t, config, func(f *fixture) {
			f.do(create("a"))
			f.token(claimOf("a", 100))
			f.Close()
			after(30 * time.Second)
			ahead.Store(int64(test.step))
			f = newFixture(f.t, f.journal, config)
			if test.left > 0 {
				after(test.left - time.Millisecond)
				f.expectLeased("a:worker")
				after(time.Millisecond)
			}
			f.expectLeased("a:")
		})
	}
}
