package cluster

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// local gives a journal over a file of a cluster that has no connection.
func local(t *testing.T) *Journal {
	t.Helper()
	path := filepath.Join(t.TempDir(), "descartes.db")
	if err := storage.Enter(t.Context(), path, storage.Place{Cluster: "c", Epoch: storage.NewEpoch()}); err != nil {
		t.Fatal(err)
	}
	db, err := storage.Open(t.Context(), storage.Config{Path: path, Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	stopped, stop := context.WithCancel(t.Context())
	config := Config{Name: "c", Storage: storage.Config{Path: path}}
	return &Journal{
		DB: db, config: config, stopped: stopped, stop: stop,
		moved: make(chan struct{}, 1), done: make(chan struct{}), pending: make(map[string]*pending),
	}
}

// suspended is a log that does not answer, and the machine is suspended meanwhile.
type suspended struct {
	jetstream.JetStream
	asked int
	pass  func()
}

func (s *suspended) PublishMsg(context.Context, *nats.Msg, ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	s.asked++
	s.pass()
	return nil, context.DeadlineExceeded
}

// A message is not sent again when the log may have forgotten its id, which the time that
// this process measures does not tell.
func TestNotSentAgainAfterLong(t *testing.T) {
	j := local(t)
	now := time.Unix(0, 0)
	j.config.Now = func() time.Time { return now }
	log := &suspended{pass: func() { now = now.Add(40 * time.Second) }}
	j.js, j.state.connected = log, true
	if _, err := j.send(t.Context(), "id", fence); !errors.Is(err, errUncertain) || log.asked != 2 {
		t.Errorf("it was sent %d times: %v", log.asked, err)
	}
}

// A write is given up at the moment at which it is acknowledged: it is in the log, so
// nobody may say that it was not made.
func TestGivenUpWhenAcknowledged(t *testing.T) {
	j := local(t)
	sent := make(chan error, 1)
	sent <- nil
	_, _, err := j.giveUp("id", j.expect("id"), outcome(sent))
	if schema.CodeOf(err) != schema.CodeOutcomeUnknown {
		t.Errorf("it is answered %v", err)
	}
}

// A write is given up at the moment at which it is applied: then it is answered with what
// became of it, or the emitter learns of it as of one of others.
func TestGivenUpWhenApplied(t *testing.T) {
	j := local(t)
	early, late := j.expect("early"), j.expect("late")
	made := []schema.Outcome{{Last: 7}}
	j.applied(1, 1, "early", made, nil, true)
	if got, _, err := j.giveUp("early", early, errUncertain); err != nil || len(got) != 1 || got[0].Last != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if _, _, err := j.giveUp("late", late, errUncertain); schema.CodeOf(err) != schema.CodeOutcomeUnknown {
		t.Errorf("it is answered %v", err)
	}
	j.applied(2, 2, "late", made, nil, true)
	select {
	case <-j.Moved():
	default:
		t.Error("nobody learns of it")
	}
}
