package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// moveLimit is within what a subscriber whose daemon is killed goes on at another one.
const moveLimit = time.Second

// A subscriber whose daemon is killed goes on at the next one that it knows, after its
// cursor: it gets the next event within a second, none twice, and none is missing.
func TestSubscriberMoves(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{})
	var longest time.Duration
	f.keepWriting(func(written *kit.Tally) {
		urls := f.members[0].URL() + "," + f.members[1].URL() + "," + f.members[2].URL()
		c, err := client.Dial(t.Context(), urls, client.Options{Reconnect: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s := follow(t, c, schema.SinceStart)
		var last int64
		for round := range 6 {
			written.Await(t, 50)
			killed := f.subscribed()
			killed.die()
			began := time.Now()
			for {
				event := next(t, s)
				if event.Seq != last+1 {
					t.Fatalf("round %d: event %d comes after %d", round, event.Seq, last)
				}
				// What was on its way when the daemon was killed is no sign of having moved.
				if last = event.Seq; event.Timestamp > began.UnixMilli() {
					longest = max(longest, time.Since(began))
					break
				}
			}
			killed.revive()
			killed.revived()
		}
	})
	t.Logf("from the kill to the first event from after it: %v at most", longest)
	if longest > moveLimit {
		t.Errorf("a subscriber that had to move got the next event after %v, more than %v", longest, moveLimit)
	}
	f.requireEqual()
}

// subscribed gives the daemon that a subscription is at.
func (f *fleet) subscribed() (at *member) {
	f.t.Helper()
	eventually(f.t, "a subscription", func() error {
		for _, m := range f.members {
			stats, err := m.Dial().Stats(f.t.Context())
			if err != nil {
				return err
			}
			if stats.Subscriptions > 0 {
				at = m
				return nil
			}
		}
		return errors.New("there is none")
	})
	return at
}

// keepWriting writes through every daemon while something is done.
func (f *fleet) keepWriting(do func(written *kit.Tally)) {
	f.t.Helper()
	var written kit.Tally
	ctx, stop := context.WithCancel(f.t.Context())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	for _, m := range f.members {
		writing.Go(func() {
			c := m.Dial()
			defer c.Close()
			for ctx.Err() == nil {
				m.Running()
				if _, err := c.Create(ctx, schema.Draft{Title: "by " + m.name}); err == nil {
					written.Add()
				} else if again, _ := kit.Unanswered(err); !again && ctx.Err() == nil {
					f.t.Errorf("%s: %v", m.name, err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
	}
	do(&written)
}
