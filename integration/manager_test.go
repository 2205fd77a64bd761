package integration

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// manager is what a daemon takes for its service manager: a datagram socket that
// NOTIFY_SOCKET names, as sd_notify(3) says.
type manager struct {
	t       *testing.T
	socket  *net.UnixConn
	told    chan string // a line each, but for pings
	pinged  chan struct{}
	reading sync.WaitGroup

	mu    sync.Mutex
	pings int
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, socket: socket, told: make(chan string, 1000), pinged: make(chan struct{}, 1)}
	m.reading.Go(m.read)
	t.Cleanup(func() {
		socket.Close()
		m.reading.Wait()
	})
	return m
}

func (m *manager) read() {
	datagram := make([]byte, 4096)
	for {
		n, err := m.socket.Read(datagram)
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(datagram[:n]), "\n") {
			if line != "WATCHDOG=1" {
				m.told <- line
				continue
			}
			m.mu.Lock()
			m.pings++
			m.mu.Unlock()
			select {
			case m.pinged <- struct{}{}:
			default:
			}
		}
	}
}

// environment is that of a process whose manager wants a ping within watch.
func (m *manager) environment(watch time.Duration) []string {
	return append(os.Environ(), "NOTIFY_SOCKET="+m.socket.LocalAddr().String(), "WATCHDOG_USEC="+strconv.FormatInt(watch.Microseconds(), 10))
}

// await waits for a line that begins like this, and gives the rest of it.
func (m *manager) await(begin string) string {
	m.t.Helper()
	for patience := time.After(20 * time.Second); ; {
		select {
		case line := <-m.told:
			if rest, is := strings.CutPrefix(line, begin); is {
				return rest
			}
		case <-patience:
			m.t.Fatalf("nobody says %q", begin)
		}
	}
}

// awaitPings waits until there were n more pings.
func (m *manager) awaitPings(n int) {
	m.t.Helper()
	patience := time.After(20 * time.Second)
	for want := m.count() + n; m.count() < want; {
		select {
		case <-m.pinged:
		case <-patience:
			m.t.Fatalf("no more pings than %d", m.count())
		}
	}
}

func (m *manager) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pings
}

// serveManaged starts a daemon that has a manager.
func serveManaged(t *testing.T, m *manager, watch time.Duration) *daemon {
	t.Helper()
	db := filepath.Join(t.TempDir(), "data", "descartes.db")
	if err := os.Mkdir(filepath.Dir(db), 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, serveArguments(db)...)
	command.Env = m.environment(watch)
	d := launch(t, db, command)
	d.awaitReady()
	return d
}

// A daemon tells its manager when it answers, that it goes on, what fails, and that it
// ends. A database that was lost is no reason to stop its pings.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	d := serveManaged(t, m, 200*time.Millisecond)
	m.await("READY=1")
	answer, err := http.Get(d.page("/readyz"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("ready, but answers %s", answer.Status)
	}
	if status := m.await("STATUS="); status != "Answering at "+d.url+"; 0 connections, 0 subscriptions" {
		t.Errorf("status %q", status)
	}
	c := d.dial()
	if err := os.Rename(filepath.Dir(d.db), filepath.Dir(d.db)+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), schema.Draft{Title: "lost"}); schema.CodeOf(err) != schema.CodeStorageUnavailable {
		t.Errorf("create: %v", err)
	}
	if why := m.await("STATUS=The database fails (write): "); !strings.Contains(why, "moved") {
		t.Errorf("it fails because of %q", why)
	}
	m.awaitPings(3)
	c.Close()
	d.stop()
	m.await("STOPPING=1")
}

// A disk that hangs is a daemon that hangs: while a write waits for it there are no
// pings, and they come back with the disk.
func TestHangingDiskEndsThePings(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	d := serveManaged(t, m, 100*time.Millisecond)
	c := d.dial()
	m.awaitPings(2)
	const hang = time.Second
	detach := d.inject("fdatasync,fsync", "delay_enter="+strconv.FormatInt(hang.Microseconds(), 10))
	pings := hangingWrite(t, c, m, hang)
	if pings > 5 {
		t.Errorf("%d pings while a write hung for %v, of 20 at rest", pings, hang)
	}
	detach()
	m.awaitPings(3)
}

// hangingWrite writes until a write hangs, and counts the pings meanwhile.
func hangingWrite(t *testing.T, c *client.Client, m *manager, hang time.Duration) (pings int) {
	t.Helper()
	for range 5000 {
		before, began := m.count(), time.Now()
		create(t, c, "hangs")
		if time.Since(began) >= hang {
			return m.count() - before
		}
	}
	t.Fatal("no write hangs")
	return 0
}
