package integration

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // other processes that write to the file

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// binary is the built command.
var binary string

func TestMain(m *testing.M) {
	if setting := os.Getenv(kit.WorkerProcess); setting != "" {
		os.Exit(kit.WorkAsProcess(setting))
	}
	directory, err := os.MkdirTemp("", "descartes-integration")
	if err == nil {
		binary, err = build(directory)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the binary:", err)
		os.Exit(1)
	}
	code := m.Run()
	err = races(directory)
	os.RemoveAll(directory)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// goBuild builds the command.
func goBuild(arguments ...string) error {
	command := exec.Command("go", append(append([]string{"build"}, arguments...), "../cmd/descartes")...)
	command.Stderr = os.Stderr
	return command.Run()
}

// daemon is a running "descartes serve".
type daemon struct {
	t     *testing.T
	db    string
	url   string        // the TCP address
	urls  []string      // every address
	took  time.Duration // from the start to the ready line
	cmd   *exec.Cmd
	out   *bufio.Reader
	began time.Time
	done  bool
}

// serve starts a daemon on a database file and waits until it is ready.
func serve(t *testing.T, db string, flags ...string) *daemon {
	t.Helper()
	d := launch(t, db, exec.Command(binary, serveArguments(db, flags...)...))
	d.awaitReady()
	return d
}

// serveArguments are those of a daemon on a port of its own.
func serveArguments(db string, flags ...string) []string {
	return append([]string{"serve", "--listen", "127.0.0.1:0", "--db", db}, flags...)
}

// launch starts a command that is a daemon, and does not wait for it.
func launch(t *testing.T, db string, command *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{t: t, db: db, cmd: command}
	d.cmd.Stderr = testLog{t}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.out, d.began = bufio.NewReader(stdout), time.Now()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	return d
}

// awaitReady waits until the daemon answers.
func (d *daemon) awaitReady() {
	d.t.Helper()
	line, err := d.out.ReadString('\n')
	d.took = time.Since(d.began)
	words := strings.Fields(line)
	if err != nil || len(words) < 2 || words[0] != "ready" {
		d.t.Fatalf("serve printed %q, %v", line, err)
	}
	d.url, d.urls = words[1], words[1:]
}

// stop ends the daemon cleanly.
func (d *daemon) stop() { d.end(syscall.SIGTERM) }

// kill ends it with SIGKILL, in the middle of what it is doing.
func (d *daemon) kill() { d.end(syscall.SIGKILL) }

func (d *daemon) end(signal syscall.Signal) {
	d.t.Helper()
	if d.done {
		return
	}
	d.done = true
	if err := d.cmd.Process.Signal(signal); err != nil {
		d.t.Error(err)
	}
	if err := d.cmd.Wait(); err != nil && signal == syscall.SIGTERM {
		d.t.Errorf("serve ended with %v", err)
	}
}

// testLog shows the daemon's log with the test that fails.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Logf("serve: %s", line)
	return len(line), nil
}

func (d *daemon) dial() *client.Client {
	d.t.Helper()
	c, err := client.Dial(d.t.Context(), d.url, client.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	return c
}

// page is the address of a page of the daemon.
func (d *daemon) page(path string) string {
	return "http" + strings.TrimSuffix(strings.TrimPrefix(d.url, "ws"), "/rpc") + path
}

func database(t *testing.T) string { return filepath.Join(t.TempDir(), "descartes.db") }

// need gives the path of a tool, or skips the test.
func need(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", tool)
	}
	t.Skipf("%s is not installed", tool)
	return ""
}

// shell runs statements in the sqlite3 shell.
func shell(t *testing.T, db string, statements string) error {
	t.Helper()
	out, err := exec.Command(need(t, "sqlite3"), db, ".timeout 2000", statements).CombinedOutput()
	if err != nil {
		return fmt.Errorf("sqlite3: %w: %s", err, out)
	}
	return nil
}

// next waits for the next event that is no bookmark.
func next(t *testing.T, s *client.Subscription) schema.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		event, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if event.ChangeType != schema.Bookmark {
			return event
		}
	}
}

// subscribe subscribes to every change and waits until it is live.
func subscribe(t *testing.T, c *client.Client, params schema.SubscribeParams) *client.Subscription {
	t.Helper()
	if params.DebounceMS == nil {
		params.DebounceMS = new(int64(0))
	}
	s, err := c.Subscribe(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if params.Since == nil {
		if event, err := s.Next(t.Context()); err != nil || event.ChangeType != schema.Bookmark {
			t.Fatalf("first event %+v, %v", event, err)
		}
	}
	return s
}

func create(t *testing.T, c *client.Client, title string) *schema.Task {
	t.Helper()
	return createWith(t, c, schema.Draft{Title: title})
}

func createWith(t *testing.T, c *client.Client, draft schema.Draft) *schema.Task {
	t.Helper()
	task, err := c.Create(t.Context(), draft)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func setStatus(t *testing.T, c *client.Client, id string, status schema.Status) {
	t.Helper()
	if _, err := c.Update(t.Context(), schema.UpdateParams{ID: id, Patch: schema.Patch{Status: schema.Some(status)}}); err != nil {
		t.Fatal(err)
	}
}
