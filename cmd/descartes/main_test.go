package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// asCommand makes the test binary be the descartes command.
const asCommand = "DESCARTES_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asCommand) != "" && len(os.Args) > 1 && os.Args[1] == awaitSignal:
		beStopped(os.Args[2])
	case os.Getenv(asCommand) != "":
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// buffer is for output that is read while it is written.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// result is what a command left behind.
type result struct {
	code        int
	out, errors string
}

// descartes runs a command in this process.
func descartes(t *testing.T, args ...string) result { return descartesIn(t, "", args...) }

func descartesIn(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append([]string{"descartes"}, args...), strings.NewReader(stdin), &out, &errs)
	return result{code, out.String(), errs.String()}
}

// daemon is "descartes serve" in this process.
type daemon struct {
	t      *testing.T
	urls   []string
	errors *buffer
	cancel context.CancelFunc
	done   chan int
}

// serveDaemon starts a daemon and waits until it is ready.
func serveDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{t: t, errors: new(buffer), cancel: cancel, done: make(chan int, 1)}
	out, stdout := io.Pipe()
	go func() {
		d.done <- run(ctx, append([]string{"descartes", "serve"}, args...), nil, stdout, d.errors)
		stdout.Close()
	}()
	d.urls = readReady(t, out, d.errors)
	t.Cleanup(func() { d.stop(0) })
	return d
}

func readReady(t *testing.T, out io.Reader, errors *buffer) []string {
	t.Helper()
	line, _ := bufio.NewReader(out).ReadString('\n')
	urls, ready := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "ready ")
	if !ready {
		t.Fatalf("the daemon said %q and %s", line, errors)
	}
	return strings.Fields(urls)
}

// stop ends the daemon and waits for its exit code.
func (d *daemon) stop(want int) {
	d.t.Helper()
	if d.cancel == nil {
		return
	}
	d.cancel()
	d.cancel = nil
	if code := <-d.done; code != want {
		d.t.Errorf("serve exits with %d, want %d: %s", code, want, d.errors)
	}
}

// tempDaemon starts a daemon on a new database.
func tempDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	db := filepath.Join(t.TempDir(), "tasks.db")
	return serveDaemon(t, append([]string{"--db", db, "--listen", "127.0.0.1:0"}, args...)...)
}

// process is the descartes command in a process of its own.
type process struct {
	*exec.Cmd
	out    io.Reader
	errors *buffer
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), errors: new(buffer)}
	p.Env = append(os.Environ(), asCommand+"=1")
	p.Stderr = p.errors
	var err error
	if p.out, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	return p
}
