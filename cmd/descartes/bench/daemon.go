package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// daemon is a daemon that a row has for itself: a process.
type daemon struct {
	command *exec.Cmd
	stderr  *tail
	url     string
	ready   time.Duration // from its start to the line that says so
	stopped bool
}

// startDaemon starts one on a file and waits until it is ready.
func (b *bench) startDaemon(ctx context.Context, db string) (*daemon, error) {
	d := &daemon{stderr: new(tail)}
	d.command = b.options.Serve("--db", db, "--listen", "127.0.0.1:0", "--log-level", "error", "--log-format", "json")
	d.command.Stderr = d.stderr
	out, err := d.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = d.command.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	stop()
	d.ready = time.Since(began)
	words := strings.Fields(line)
	if err != nil || len(words) < 2 || words[0] != "ready" {
		return nil, errors.Join(d.stop(), ctx.Err(), fmt.Errorf("the daemon did not start: %s", d.stderr))
	}
	d.url = words[1]
	return d, nil
}

// stop ends the daemon, cleanly where it can, and waits for it.
func (d *daemon) stop() error {
	if d == nil || d.stopped {
		return nil
	}
	d.stopped = true
	asked := d.command.Process.Signal(os.Interrupt) == nil
	if !asked { // Windows has no way
		_ = d.command.Process.Kill()
	}
	if err := d.command.Wait(); err != nil && asked {
		return fmt.Errorf("the daemon ended with %w: %s", err, d.stderr)
	}
	return nil
}

// tail keeps the last of what is written to it.
type tail struct{ text []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const most = 2 << 10
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

// String gives it as one line.
func (t *tail) String() string { return strings.Join(strings.Fields(string(t.text)), " ") }

// cpuTime gives the processor time that a process has used, all but its last
// milliseconds; false where the system does not tell it (anywhere but on Linux).
func cpuTime(pid int) (total time.Duration, ok bool) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return cpuTicks(pid)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // a thread that has ended; the runtime ends hardly any
		}
		nanoseconds, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(nanoseconds, 10, 64)
		if err != nil {
			return 0, false
		}
		total += time.Duration(n)
	}
	return total, true
}

// cpuTicks is cpuTime to the next hundredth of a second, for kernels that count no finer.
func cpuTicks(pid int) (total time.Duration, ok bool) {
	const user, tick = 11, time.Second / 100 // user: after the name, which may have spaces; the system's time follows
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < user+2 {
		return 0, false
	}
	for _, field := range fields[user : user+2] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, false
		}
		total += time.Duration(n) * tick
	}
	return total, true
}

// resident gives the resident memory of a process in bytes; false where the system does
// not tell it (anywhere but on Linux).
func resident(pid int) (bytes int64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}
