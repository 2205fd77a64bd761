package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connect gives a connection to one of the servers, which is not among those that are cut.
func (s *natsServer) connect(t *testing.T) jetstream.JetStream {
	t.Helper()
	c, err := nats.Connect("nats://"+s.reach("test").address(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// isolate cuts a server off from the others.
func (s *natsServers) isolate(i int, how fault) {
	for at, l := range s.routes {
		if at[0] == i || at[1] == i {
			l.cut(how)
		}
	}
}

// join heals every link between servers.
func (s *natsServers) join() {
	for _, l := range s.routes {
		l.heal()
	}
}

// leader gives the server that orders the messages of a stream, as one that is there says.
func (s *natsServers) leader(t *testing.T, by jetstream.JetStream, stream string) *natsServer {
	t.Helper()
	var leader *natsServer
	eventually(t, "a leader of "+stream, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		about, err := by.Stream(ctx, stream)
		if err != nil {
			return err
		}
		for _, server := range s.all {
			if about.CachedInfo().Cluster != nil && server.name == about.CachedInfo().Cluster.Leader {
				leader = server
				return nil
			}
		}
		return errors.New("there is none")
	})
	return leader
}

// The harness does to NATS servers what it says: the log of record goes on without one
// that is killed, stopped or cut off, not without two, and again when they are back.
func TestHarness(t *testing.T) {
	t.Parallel()
	s := startNATS(t, fleetSize, natsOptions{})
	var through []jetstream.JetStream
	for _, server := range s.all {
		through = append(through, server.connect(t))
	}
	eventually(t, "a stream", func() error {
		_, err := through[0].CreateStream(t.Context(), jetstream.StreamConfig{Name: "x", Subjects: []string{"x"}, Replicas: fleetSize})
		return err
	})
	writes := func(what string, which int) {
		t.Helper()
		eventually(t, what, func() error { return publish(t, through[which]) })
	}
	leader := slices.Index(s.all, s.leader(t, through[0], "x"))
	one, other := (leader+1)%fleetSize, (leader+2)%fleetSize
	s.all[one].kill()
	writes("a follower is dead", leader)
	s.isolate(other, silent)
	for _, which := range []int{leader, other} {
		if err := publish(t, through[which]); err == nil {
			t.Errorf("one server of three has written alone, asked through n%d", which)
		}
	}
	s.all[one].begin()
	writes("a follower is back", one)
	s.join()
	writes("the other follower is back", other)
	s.all[other].pause()
	writes("a follower is held up", leader)
	s.all[other].resume()
	leader = slices.Index(s.all, s.leader(t, through[one], "x"))
	s.isolate(leader, broken)
	writes("the leader is cut off", (leader+1)%fleetSize)
	if s.leader(t, through[(leader+1)%fleetSize], "x") == s.all[leader] {
		t.Error("the leader was not cut off")
	}
	s.join()
	writes("the old leader is back", leader)
}

func publish(t *testing.T, through jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := through.Publish(ctx, "x", nil, jetstream.WithRetryAttempts(0))
	return err
}
