package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
)

// trouble is something bad that happens to a fleet, and is put right.
type trouble struct {
	name       string
	begin, end func()
}

// troubles do bad things to a fleet, as chance wants it.
type troubles struct {
	*fleet
	random *rand.Rand
	seed   uint64
	count  int // how many are to happen
}

// newTroubles takes the seed and the number from the environment. Few is the number that
// is enough where nobody asks for more.
func newTroubles(f *fleet, few int64) *troubles {
	x := &troubles{fleet: f}
	x.seed = uint64(kit.FromEnvironment(f.t, "DESCARTES_SEED", time.Now().UnixNano()))
	x.count = int(kit.FromEnvironment(f.t, "DESCARTES_CLUSTER_FAULTS", few))
	f.t.Logf("DESCARTES_SEED=%d DESCARTES_CLUSTER_FAULTS=%d", x.seed, x.count)
	x.random = x.randomness(0)
	return x
}

func (x *troubles) randomness(of int) *rand.Rand { return rand.New(rand.NewPCG(x.seed, uint64(of))) }

// longest is how long a trouble lasts at most: mostly too short for an election among
// NATS servers, which takes up to 9 s, and sometimes not.
func (x *troubles) longest() time.Duration {
	if x.random.IntN(4) == 0 {
		return 12 * time.Second
	}
	return 2 * time.Second
}

// strike lets something bad happen, two things at once now and then, and puts it right.
func (x *troubles) strike() {
	x.t.Helper()
	all := []trouble{x.choose()}
	if x.random.IntN(4) == 0 {
		all = append(all, x.choose())
	}
	for _, one := range all {
		x.tell(one.name)
		one.begin()
		<-time.After(time.Duration(x.random.Int64N(int64(x.longest()))))
	}
	for _, one := range all {
		x.tell("over: " + one.name)
		one.end()
	}
	for _, m := range x.members {
		m.revived()
	}
}

// tell notes in every log what the test does.
func (x *troubles) tell(what string) {
	x.t.Logf("%s %s", time.Now().UTC().Format("15:04:05.000"), what)
	for _, m := range x.members {
		m.log.note("--- TEST: " + what)
	}
	for _, s := range x.nats.all {
		s.log.note("--- TEST: " + what)
	}
}

// choose chooses the next trouble.
func (x *troubles) choose() trouble {
	i := x.random.IntN(len(x.members))
	m := x.members[i]
	s, how := x.nats.all[x.random.IntN(fleetSize)], fault(x.random.IntN(4))
	switch x.random.IntN(12) {
	case 0, 1:
		return x.killed(m)
	case 2:
		return x.heldUp(m.process)
	case 3:
		return x.serverKilled(s)
	case 4:
		return x.heldUp(s.process)
	case 5:
		return x.cut(m.name+" from every NATS server", how, m.links...)
	case 6:
		return x.cut(m.name+" from one NATS server", how, m.links[x.random.IntN(fleetSize)])
	case 7:
		return x.cut(s.name+" from the others", how, x.nats.routesOf(s)...)
	case 8:
		a, b := x.random.IntN(fleetSize), x.random.IntN(fleetSize-1)
		b = (a + 1 + b) % fleetSize
		return x.cut(fmt.Sprintf("n%d from n%d", a, b), how, x.nats.routes[[2]int{a, b}], x.nats.routes[[2]int{b, a}])
	case 9:
		return x.cut(fmt.Sprintf("the machine of d%d and n%d", i, i), how, x.around(i)...)
	case 10:
		return x.wiped(m)
	default:
		return x.allServersKilled()
	}
}

// killed kills a daemon, and starts it with another clock if clocks are set apart.
func (x *troubles) killed(m *member) trouble {
	return trouble{"kill " + m.name, m.die, func() {
		if m.ahead != 0 {
			m.ahead = time.Duration(x.random.Int64N(int64(2*time.Hour))) - time.Hour
		}
		if !m.runs() {
			m.revive()
		}
	}}
}

// wiped takes a daemon's file away: it begins anew, with the log or a snapshot.
func (x *troubles) wiped(m *member) trouble {
	wiped := x.killed(m)
	wiped.name = "wipe " + m.name
	wiped.begin = func() {
		m.die()
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(m.db + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				x.t.Error(err)
			}
		}
	}
	return wiped
}

func (x *troubles) heldUp(p *process) trouble {
	return trouble{"hold up " + p.name, p.pause, p.resume}
}

func (x *troubles) serverKilled(s *natsServer) trouble {
	return trouble{"kill " + s.name, s.kill, func() {
		if !s.runs() {
			s.begin()
		}
	}}
}

func (x *troubles) allServersKilled() trouble {
	return trouble{"kill every NATS server", func() {
		for _, s := range x.nats.all {
			s.kill()
		}
	}, func() {
		for _, s := range x.nats.all {
			if !s.runs() {
				s.begin()
			}
		}
	}}
}

func (x *troubles) cut(what string, how fault, links ...*link) trouble {
	return trouble{fmt.Sprintf("cut %s (%v)", what, how), func() {
		for _, l := range links {
			l.cut(how)
		}
	}, func() {
		for _, l := range links {
			l.heal()
		}
	}}
}

// routesOf gives the links between a server and the others.
func (s *natsServers) routesOf(server *natsServer) (all []*link) {
	for at, l := range s.routes {
		if s.all[at[0]] == server || s.all[at[1]] == server {
			all = append(all, l)
		}
	}
	return all
}

// around gives the links that lead into the machine of a daemon and a server, or out of it.
func (f *fleet) around(machine int) []*link {
	all := f.nats.routesOf(f.nats.all[machine])
	for i, m := range f.members {
		for j, l := range m.links {
			if (i == machine) != (j == machine) {
				all = append(all, l)
			}
		}
	}
	return all
}

// healAll puts everything right, whatever has happened.
func (f *fleet) healAll(t *testing.T) {
	t.Helper()
	f.nats.join()
	for _, s := range f.nats.all {
		s.resume()
		if !s.runs() {
			s.begin()
		}
	}
	for _, m := range f.members {
		for _, l := range m.links {
			l.heal()
		}
		m.resume()
		if !m.runs() {
			m.revive()
		}
		m.revived()
	}
}
