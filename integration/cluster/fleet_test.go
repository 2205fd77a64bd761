package cluster

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
)

// member is one of several daemons.
type member struct {
	*process
	db, socket string
	flags      []string
	ahead      time.Duration // of its clock
	answers    gate          // shut while it does not run
	starting   sync.WaitGroup
	links      []*link // to the NATS servers
}

// ready is what a daemon prints when it answers.
const ready = "ready ws"

// URL is the same after every start.
func (m *member) URL() string { return "ws+unix://" + m.socket }

// Running waits until the daemon answers.
func (m *member) Running() { m.answers.pass(m.t.Context().Done()) }

// Dial connects a client that connects again, without waiting long.
func (m *member) Dial() *client.Client {
	m.t.Helper()
	c, err := kit.Persist(m.t.Context(), func() (*client.Client, error) {
		m.Running()
		return client.Dial(m.t.Context(), m.URL(), kit.Reconnecting())
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c
}

// begin starts the daemon, and returns when it answers.
func (m *member) begin() {
	m.t.Helper()
	m.start()
	m.await(ready)
}

// address is where it can be reached by TCP, until it ends.
func (m *member) address() string {
	m.t.Helper()
	return strings.Fields(m.await(ready))[1]
}

// die ends the daemon with SIGKILL, revive starts it again and does not wait for it.
func (m *member) die() {
	m.answers.shut()
	m.kill()
	m.starting.Wait()
}

func (m *member) revive() {
	m.start()
	from, ended := m.from, m.ended
	m.starting.Go(func() {
		if _, err := m.log.await(from, ready, ended); err == nil {
			m.answers.open()
		}
	})
}

// revived waits until it answers again.
func (m *member) revived() {
	m.t.Helper()
	m.starting.Wait()
	m.await(ready)
}

// fleet is daemons that serve the same tasks.
type fleet struct {
	t       *testing.T
	members []*member
	nats    *natsServers
}

// fleetOptions say of what a fleet is made. The zero value is three daemons and three
// NATS servers as they are by themselves.
type fleetOptions struct {
	servers, daemons int
	nats             natsOptions
	clocks           []time.Duration // of the daemons; those without one are right
	flags            []string        // of every daemon
}

const fleetSize = 3

// oftenSnapshots are flags with which a long run has snapshots, and a log that is
// shortened.
func oftenSnapshots() []string { return []string{"--cluster-snapshot-every", "100"} }

// startFleet starts NATS servers and daemons, all at once.
func startFleet(t *testing.T, options fleetOptions) *fleet {
	t.Helper()
	f := newFleet(t, options)
	for _, m := range f.members {
		m.start()
	}
	for _, m := range f.members {
		m.await(ready)
	}
	return f
}

// newFleet starts NATS servers, and prepares daemons.
func newFleet(t *testing.T, options fleetOptions) *fleet {
	t.Helper()
	servers := cmp.Or(options.servers, fleetSize)
	f := &fleet{t: t, nats: startNATS(t, servers, options.nats)}
	for i := range cmp.Or(options.daemons, fleetSize) {
		m := f.add(filepath.Join(t.TempDir(), "descartes.db"), append([]string{"--cluster-replicas", fmt.Sprint(servers)}, options.flags...)...)
		if i < len(options.clocks) {
			m.ahead = options.clocks[i]
		}
	}
	return f
}

// startOnOne starts daemons whose log of record is on one NATS server: that is enough
// where nothing happens to it.
func startOnOne(t *testing.T, daemons int, flags ...string) *fleet {
	t.Helper()
	return startFleet(t, fleetOptions{servers: 1, daemons: daemons, flags: flags})
}

// add adds a daemon, and does not start it.
func (f *fleet) add(db string, flags ...string) *member {
	name := fmt.Sprint("d", len(f.members))
	m := &member{db: db, socket: filepath.Join(f.t.TempDir(), name), flags: flags}
	m.process = newProcess(f.t, name, binary, m.arguments)
	m.env = func() []string { return []string{clockVariable + "=" + m.ahead.String()} }
	for _, s := range f.nats.all {
		m.links = append(m.links, s.reach(name))
	}
	f.members = append(f.members, m)
	return m
}

func (m *member) arguments() []string {
	arguments := []string{"serve", "--listen", "127.0.0.1:0", "--socket", m.socket, "--db", m.db, "--log-level", "info"}
	if len(m.links) > 0 {
		var urls []string
		for _, l := range m.links {
			urls = append(urls, "nats://"+l.address())
		}
		arguments = append(arguments, "--cluster", strings.Join(urls, ","), "--cluster-daemon", m.name)
	}
	return append(arguments, m.flags...)
}

// dial gives a client of each daemon.
func (f *fleet) dial() (all []*client.Client) {
	f.t.Helper()
	for _, m := range f.members {
		all = append(all, m.Dial())
	}
	return all
}

// daemons are what suites work with.
func (f *fleet) daemons() (all []kit.Daemon) {
	for _, m := range f.members {
		all = append(all, m)
	}
	return all
}
