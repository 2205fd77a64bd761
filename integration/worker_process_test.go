package integration

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
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
)

// workerProcess names the variable that makes this binary a worker instead of a test:
// its value is the name of the worker and the URL of the daemon.
const workerProcess = "DESCARTES_WORKER"

// workAsProcess is a worker that works until it is killed, or until whoever has started
// it is gone. It prints what it is promised.
func workAsProcess(setting string) (code int) {
	w := &kit.Worker{Running: func() {}, Ledger: kit.NewLedger(), Random: rand.New(rand.NewPCG(rand.Uint64(), 0))}
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

// killProcesses starts workers that are processes of their own, one after the other,
// and kills each with SIGKILL some time after it has begun to work.
func (r *claimRun) killProcesses(ctx context.Context, url, name string, random *rand.Rand) {
	executable, err := os.Executable()
	for n := 0; err == nil && ctx.Err() == nil; n++ {
		command := exec.CommandContext(ctx, executable)
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%s.%d %s", workerProcess, name, n, url))
		err = r.killProcess(ctx, command, time.Duration(random.Int64N(int64(400*time.Millisecond))))
	}
	if err != nil && ctx.Err() == nil {
		r.t.Errorf("%s: %v", name, err)
	}
}

func (r *claimRun) killProcess(ctx context.Context, command *exec.Cmd, after time.Duration) error {
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
	go func() {
		defer close(over)
		r.hear(bufio.NewScanner(stdout), working)
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
		r.ledger.Count(func(l *kit.Ledger) { l.Processes++ })
	}
	<-over
	_ = command.Wait() // it was killed, which is an error
	if complaints.Len() > 0 {
		return fmt.Errorf("the worker complains: %s", &complaints)
	}
	return err
}

// hear notes what a worker prints until it is gone; working is closed at the first line.
func (r *claimRun) hear(lines *bufio.Scanner, working chan<- struct{}) {
	for n := 0; lines.Scan(); n++ {
		var holder string
		var expiresAt int64
		if _, err := fmt.Sscan(lines.Text(), &holder, &expiresAt); err != nil {
			r.t.Errorf("a worker prints %q: %v", lines.Text(), err)
		}
		r.ledger.Promise(holder, expiresAt)
		if n == 0 {
			close(working)
		}
	}
}
