package cluster

import (
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// leaseGrace is within what a lease has ended whose time is over.
const leaseGrace = 2 * time.Second

// A claim that nobody renews ends when its time is over, neither before nor much later,
// although the clocks of the daemons are up to an hour apart; that of a daemon which is
// killed is ended by the others.
func TestLeasesOfDaemonsWhoseClocksAreApart(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{servers: 1, clocks: []time.Duration{time.Hour, -90 * time.Second, -time.Hour}})
	claims := make(map[string]*client.Claimed)
	began := make(map[string]time.Time)
	for _, m := range f.members {
		c := m.Dial()
		task := create(t, c, "work of "+m.name)
		claimed, err := c.Claim(t.Context(), schema.ClaimParams{AssignedTo: m.name, ID: &task.ID, LeaseMS: new(int64(1500))})
		if err != nil || claimed == nil {
			t.Fatalf("claim: %+v, %v", claimed, err)
		}
		claims[task.ID], began[task.ID] = claimed, time.Now()
		if ahead := time.Until(time.UnixMilli(claimed.ExpiresAt)); ahead > 2*time.Second || ahead < 0 {
			t.Errorf("%s promises a claim of 1.5 s for %v", m.name, ahead)
		}
	}
	f.members[0].die()
	s := follow(t, f.members[1].Dial(), schema.SinceStart)
	for ended := 0; ended < len(claims); {
		event := next(t, s)
		if event.Origin != schema.OriginLease {
			continue
		}
		ended++
		held := time.Since(began[event.TaskID])
		late := time.Duration(event.Timestamp-claims[event.TaskID].ExpiresAt) * time.Millisecond
		if late < -timeTolerance || late > leaseGrace || held < 1500*time.Millisecond-timeTolerance {
			t.Errorf("the claim of %s ends %v after its time, having been held for %v", claims[event.TaskID].Task.Title, late, held)
		}
	}
	f.members[0].revive()
	f.requireEqual()
}
