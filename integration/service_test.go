package integration

import (
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
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

// URL, Running and Dial make it a kit.Daemon.
func (s *service) URL() string          { return s.url() }
func (s *service) Running()             { s.running() }
func (s *service) Dial() *client.Client { return s.dial() }

// dial connects a client that connects again, without waiting long.
func (s *service) dial() *client.Client {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), s.url(), kit.Reconnecting())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}
