package integration

import (
	"errors"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// service is a daemon that is started again when it was killed, at the address
// that it had.
type service struct {
	t      *testing.T
	db     string
	socket string
	flags  []string

	down   sync.RWMutex // held for writing while no daemon answers
	daemon *daemon
}

// startService starts the daemon. The name tells it from others in the test.
func startService(t *testing.T, db, name string, flags ...string) *service {
	t.Helper()
	s := &service{t: t, db: db, socket: filepath.Join(filepath.Dir(db), name)}
	s.flags = append([]string{"--socket", s.socket, "--log-level", "error"}, flags...)
	s.daemon = serve(t, db, s.flags...)
	return s
}

// url is the same for every daemon of the service.
func (s *service) url() string { return "ws+unix://" + s.socket }

// running waits until a daemon answers.
func (s *service) running() {
	s.down.RLock()
	defer s.down.RUnlock()
}

// kill kills the daemon and starts another one. Each of the given delays is one
// more daemon in between, which is killed that long after its start.
func (s *service) kill(early ...time.Duration) {
	s.t.Helper()
	s.down.Lock()
	defer s.down.Unlock()
	s.daemon.kill()
	for _, after := range early {
		d := launch(s.t, s.db, exec.Command(binary, serveArguments(s.db, s.flags...)...))
		<-time.After(after)
		d.kill()
	}
	s.daemon = serve(s.t, s.db, s.flags...)
}

// restart ends the daemon cleanly and starts another one.
func (s *service) restart() {
	s.t.Helper()
	s.down.Lock()
	defer s.down.Unlock()
	s.daemon.stop()
	s.daemon = serve(s.t, s.db, s.flags...)
}

// dial connects a client that connects again, without waiting long.
func (s *service) dial() *client.Client {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), s.url(), reconnecting())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func reconnecting() client.Options {
	return client.Options{Reconnect: true, Backoff: func(int) time.Duration { return 5 * time.Millisecond }}
}

// unanswered tells whether a call has no answer that says what became of it: lost
// if it may have been made nevertheless.
func unanswered(err error) (yes, lost bool) {
	if errors.Is(err, client.ErrDisconnected) {
		return true, true
	}
	switch schema.CodeOf(err) {
	case schema.CodeShuttingDown, schema.CodeStorageUnavailable:
		return true, false
	}
	return errors.Is(err, client.ErrUnreachable), false
}

// versionsOf gives the seqs of the operations of a transaction.
func versionsOf(applied *client.Applied) []int64 {
	seqs := make([]int64, len(applied.Results))
	for i, result := range applied.Results {
		if result.Task != nil {
			seqs[i] = result.Task.Version
		} else {
			seqs[i] = result.Deleted.Version
		}
	}
	return seqs
}

// tally counts, and tells when a number is reached.
type tally struct {
	mu      sync.Mutex
	n, want int
	reached chan struct{}
}

func (y *tally) add() {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.n++; y.n == y.want {
		close(y.reached)
	}
}

// await waits until that many more were counted.
func (y *tally) await(t *testing.T, more int) {
	t.Helper()
	y.mu.Lock()
	reached := make(chan struct{})
	y.want, y.reached = y.n+more, reached
	y.mu.Unlock()
	select {
	case <-reached:
	case <-time.After(time.Minute):
		t.Fatalf("there were no %d answers within a minute", more)
	}
}
