package cluster

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
)

// What callers of three daemons are told of five tasks, with fresh reads, while daemons
// and NATS servers die, are held up and cut off, is what they would be told if every
// operation happened at one moment.
//
// DESCARTES_LINEAR=SECONDS makes histories for that long (1), at least one.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{flags: oftenSnapshots()})
	x := newTroubles(f, 3)
	l := kit.Linear{
		Daemons: f.daemons(), Disturbances: x.count, Disturb: func(*rand.Rand) { x.strike() }, Fresh: true,
		Pause: 20 * time.Millisecond, // a trouble lasts long, and long histories take long to check
	}
	l.Check(t, x.randomness(1), time.Duration(kit.FromEnvironment(t, "DESCARTES_LINEAR", 1))*time.Second)
	f.requireEqual()
}
