package integration

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
)

// What many clients are told of five tasks, while the daemon is killed again and
// again, is what they would be told if every operation happened at one moment.
//
// DESCARTES_LINEAR=SECONDS makes histories for that long (2), each of which is
// checked by itself.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	checkLinearizable(t, startService(t, database(t), "s"))
}

// Two daemons on one file are no different: a read of the one sees what was
// answered by the other.
func TestTwoDaemonsAreLinearizable(t *testing.T) {
	t.Parallel()
	db := database(t)
	checkLinearizable(t, startService(t, db, "a"), startService(t, db, "b"))
}

// linearKills is how many of a history there are.
const linearKills = 4

func checkLinearizable(t *testing.T, services ...*service) {
	seed := uint64(kit.FromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))
	t.Logf("DESCARTES_SEED=%d", seed)
	l := kit.Linear{Disturbances: linearKills, Disturb: func(random *rand.Rand) {
		services[random.IntN(len(services))].kill()
	}}
	for _, s := range services {
		l.Daemons = append(l.Daemons, s)
	}
	long := time.Duration(kit.FromEnvironment(t, "DESCARTES_LINEAR", 2)) * time.Second
	l.Check(t, rand.New(rand.NewPCG(seed, 0)), long)
}
