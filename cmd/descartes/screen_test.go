//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// screen is output that somebody waits for.
type screen struct {
	mu   sync.Mutex
	more *sync.Cond
	text []byte
	over bool
}

func newScreen() *screen {
	s := new(screen)
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	s.more.Broadcast()
	return len(p), nil
}

// end says that nothing more comes.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.more.Broadcast()
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// await waits until the text is there.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	tooLate := time.AfterFunc(30*time.Second, s.end)
	defer tooLate.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(string(s.text), text) {
		if s.over {
			t.Fatalf("%q never came, but\n%s", text, s.text)
		}
		s.more.Wait()
	}
}

// working is "descartes work" while it runs.
type working struct {
	t           *testing.T
	out, errors *screen
	interrupt   func()
	done        chan int
}

// startWork runs "descartes work" in this process.
func startWork(t *testing.T, url string, args ...string) *working {
	t.Helper()
	asSelf(t)
	ctx, cancel := context.WithCancel(context.Background())
	w := &working{t: t, out: newScreen(), errors: newScreen(), interrupt: cancel, done: make(chan int, 1)}
	args = append([]string{"descartes", "work", "--url", url, "--assigned-to", "worker"}, args...)
	go func() {
		code := run(ctx, args, nil, w.out, w.errors)
		w.out.end()
		w.errors.end()
		w.done <- code
	}()
	t.Cleanup(func() {
		cancel()
		<-w.errors.ended()
	})
	return w
}

// ended is closed when nothing more comes.
func (s *screen) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.mu.Lock()
		defer s.mu.Unlock()
		for !s.over {
			s.more.Wait()
		}
	}()
	return ended
}

// ends waits for the end and its exit code.
func (w *working) ends(want int) {
	w.t.Helper()
	if code := <-w.done; code != want {
		w.t.Errorf("work exits with %d, want %d:\n%s%s", code, want, w.errors, w.out)
	}
}

// asSelf lets commands run "$SELF call …".
func asSelf(t *testing.T) {
	t.Setenv(asCommand, "1")
	t.Setenv("SELF", os.Args[0])
}

// worked runs "descartes work" to its end.
func worked(t *testing.T, url string, want int, args ...string) (out, errors string) {
	t.Helper()
	w := startWork(t, url, args...)
	w.ends(want)
	return w.out.String(), w.errors.String()
}

// workProcess runs it in a process of its own, which signals reach. Its output ends
// when no process that it has started is left to write any.
func workProcess(t *testing.T, url string, args ...string) (*exec.Cmd, *working) {
	t.Helper()
	asSelf(t)
	w := &working{t: t, out: newScreen(), errors: newScreen(), done: make(chan int, 1)}
	p := exec.Command(os.Args[0], append([]string{"work", "--url", url, "--assigned-to", "worker"}, args...)...)
	p.Stdout, p.Stderr = w.out, w.errors
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Wait()
		w.out.end()
		w.errors.end()
		w.done <- p.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-w.errors.ended()
	})
	return p, w
}

// gates are files that commands wait at: read x < "$GATES/name".
type gates string

func newGates(t *testing.T, names ...string) gates {
	t.Helper()
	g := gates(t.TempDir())
	t.Setenv("GATES", string(g))
	for _, name := range names {
		if err := syscall.Mkfifo(filepath.Join(string(g), name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// open lets a command pass that has come to a gate, or comes.
func (g gates) open(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(string(g), name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, "\n"); err != nil {
		t.Fatal(err)
	}
}
