package kit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

// WorkerProcess names the variable that makes this binary a worker instead of a test:
// its value is the name of the worker and the URL of the daemon.
const WorkerProcess = "DESCARTES_WORKER"

// WorkAsProcess is a worker that works until it is killed, or until whoever has started
// it is gone. It prints what it is promised.
func WorkAsProcess(setting string) (code int) {
	w := &Worker{Running: func() { <-time.After(time.Millisecond) }, Ledger: NewLedger(), Random: rand.New(rand.NewPCG(rand.Uint64(), 0))}
	w.Ledger.Tell = func(holder string, expiresAt int64) { fmt.Println(holder, expiresAt) }
	if _, err := fmt.Sscan(setting, &w.Name, &w.URL); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := w.Work(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// KillProcesses starts workers that are processes of their own, one after the other,
// and kills each with SIGKILL some time after it has begun to work.
func (l *Ledger) KillProcesses(ctx context.Context, t *testing.T, url, name string, random *rand.Rand) {
	executable, err := os.Executable()
	for n := 0; err == nil && ctx.Err() == nil; n++ {
		command := exec.CommandContext(ctx, executable)
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%s.%d %s", WorkerProcess, name, n, url))
		err = l.killProcess(ctx, command, time.Duration(random.Int64N(int64(400*time.Millisecond))))
	}
	if err != nil && ctx.Err() == nil {
		t.Errorf("%s: %v", name, err)
	}
}

func (l *Ledger) killProcess(ctx context.Context, command *exec.Cmd, after time.Duration) error {
	var complaints bytes.Buffer
	command.Stderr = &complaints
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	working, over := make(chan struct{}), make(chan struct{})
	var heard error
	go func() {
		defer close(over)
		heard = l.hear(bufio.NewScanner(stdout), working)
	}()
	select {
	case <-over:
		err = errors.New("it has ended by itself")
	case <-working:
		select {
		case <-ctx.Done():
		case <-time.After(after):
		}
		err = command.Process.Kill()
		l.Count(func(l *Ledger) { l.Processes++ })
	}
	<-over
	_ = command.Wait() // it was killed, which is an error
	if complaints.Len() > 0 {
		return fmt.Errorf("the worker complains: %s", &complaints)
	}
	return errors.Join(err, heard)
}

// hear notes what a worker prints until it is gone; working is closed at the first line.
func (l *Ledger) hear(lines *bufio.Scanner, working chan<- struct{}) error {
	for n := 0; lines.Scan(); n++ {
		var holder string
		var expiresAt int64
		if _, err := fmt.Sscan(lines.Text(), &holder, &expiresAt); err != nil {
			return fmt.Errorf("a worker prints %q: %w", lines.Text(), err)
		}
		l.Promise(holder, expiresAt)
		if n == 0 {
			close(working)
		}
	}
	return nil
}
