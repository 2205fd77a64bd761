package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// The chain at a position is what it was made by the newest message up to there, as
// long as that is remembered.
func TestChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c chains
		was := make(map[int64]chain)
		position, now := rapid.Int64Range(0, 5).Draw(t, "begin"), chain{}
		begin := position
		c.add(position, now)
		was[position] = now
		for _, changes := range rapid.SliceOfN(rapid.Bool(), 0, 60).Draw(t, "changes") {
			if position++; changes {
				now[0]++
				now[1] = byte(position)
			}
			c.add(position, now)
			was[position] = now
		}
		for p := begin - 2; p <= position+2; p++ {
			got, ok := c.at(p)
			want, known := was[p]
			if ok != known || got != want {
				t.Fatalf("at %d: %v %v, want %v %v", p, got, ok, want, known)
			}
		}
	})
}

func TestChainsForget(t *testing.T) {
	var c chains
	for p := range int64(5 * remembered) {
		c.add(p, chain{byte(p), byte(p >> 8), byte(p >> 16)})
	}
	if _, ok := c.at(5*remembered - remembered); !ok {
		t.Error("a position is forgotten too early")
	}
	if _, ok := c.at(1); ok || len(c.links) > 2*remembered {
		t.Errorf("%d links, and the first one known", len(c.links))
	}
}

// The time of the log passes, whatever this machine's clock is set to.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := clock{local: time.Now}
		if got := c.now(); !got.Equal(time.Now()) {
			t.Errorf("before the log is known: %s", got)
		}
		asked := time.Now()
		time.Sleep(20 * time.Millisecond)
		c.set(log, asked, time.Now())
		time.Sleep(time.Hour)
		if got := c.now().Sub(log); got != time.Hour+10*time.Millisecond {
			t.Errorf("after an hour: %s", got)
		}
	})
}
