package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// attempt is one claim and the command that works on its task.
type attempt struct {
	*worker
	id, token string
	task      []byte    // JSON
	until     time.Time // the claim holds about that long, by the clock of this process
}

// attempt works on a task that was claimed, and tells what became of it. The end of
// ctx interrupts the command, but not the renewals until it has ended.
func (w *worker) attempt(ctx context.Context, claimed *schema.ClaimResult) outcome {
	task, err := schema.ParseTask(claimed.Task)
	if err != nil {
		w.say("a task was claimed that cannot be read, it goes back when its time is over: %v", err)
		return broken
	}
	a := &attempt{
		worker: w, id: task.ID, token: claimed.LeaseToken, task: claimed.Task,
		until: time.Now().Add(w.lease),
	}
	w.say("claimed %s  %s", a.id, task.Title)
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	lostBy := make(chan error, 1)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		a.keep(keeping, lostBy)
	}()
	began := time.Now()
	failure, loss := a.run(ctx, lostBy)
	stop()
	<-kept
	if loss != nil {
		w.say("lost %s: %v; its command was stopped", a.id, loss)
		return lost
	}
	settling, stop := w.settling(ctx)
	defer stop()
	if failure == nil {
		return a.finish(settling, time.Since(began))
	}
	status := w.onFailure
	if ctx.Err() != nil {
		status = schema.Todo // interrupted: nobody knows what would have become of it
	}
	return a.giveBack(settling, status, failure)
}

// keep renews the claim until ctx ends. When the claim is lost it tells why. A task
// that is done is not lost: its command may end in peace.
func (a *attempt) keep(ctx context.Context, lostBy chan<- error) {
	for pause(ctx, a.lease/3) {
		var asked time.Time
		err := a.persist(ctx, func() error {
			asked = time.Now()
			_, err := a.client.Renew(ctx, schema.RenewParams{ID: a.id, LeaseToken: a.token, LeaseMS: a.params.LeaseMS})
			return err
		})
		if err == nil {
			a.until = asked.Add(a.lease)
			continue
		}
		if ctx.Err() == nil && !(isOver(err) && a.status(ctx) == schema.Done) {
			lostBy <- err
		}
		return
	}
}

// isOver tells whether the daemon says that a claim has ended.
func isOver(err error) bool {
	code := schema.CodeOf(err)
	return code == schema.CodeLeaseLost || code == schema.CodeTaskNotFound
}

// status gives the status of the task, "" if it is deleted or the daemon is away.
func (a *attempt) status(ctx context.Context) schema.Status {
	task, err := a.client.Get(ctx, a.id)
	if err != nil {
		return ""
	}
	return task.Status
}

// run runs the command to its end. failure is nil if its exit code is 0; loss says
// why it was stopped because the claim is lost.
func (a *attempt) run(ctx context.Context, lostBy <-chan error) (failure, loss error) {
	c := exec.Command(a.command[0], a.command[1:]...)
	c.Stdin = bytes.NewReader(append(bytes.Clone(a.task), '\n'))
	c.Stdout, c.Stderr = a.stdout, a.stderr
	c.Env = append(a.env[:len(a.env):len(a.env)], taskVariable+"="+a.id, leaseVariable+"="+a.token)
	c.WaitDelay = time.Second // what it leaves in the background may hold its input for ever
	ownGroup(c)
	if err := c.Start(); err != nil {
		return err, nil
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	interrupted, killed := ctx.Done(), a.killed.Done()
	var graceOver <-chan time.Time
	for {
		select {
		case failure = <-ended:
			if loss != nil {
				signalGroup(c.Process, os.Kill) // what it has started must not go on either
			}
			if errors.Is(failure, exec.ErrWaitDelay) {
				failure = nil
			}
			return failure, loss
		case <-interrupted:
			interrupted = nil
			signalGroup(c.Process, signalOf(ctx))
		case loss = <-lostBy:
			signalGroup(c.Process, syscall.SIGTERM)
			graceOver = time.After(a.grace)
		case <-graceOver:
			signalGroup(c.Process, os.Kill)
		case <-killed:
			killed = nil
			signalGroup(c.Process, os.Kill)
		}
	}
}

// signalOf gives the signal that ended ctx.
func signalOf(ctx context.Context) os.Signal {
	if s, ok := errors.AsType[signaled](context.Cause(ctx)); ok {
		return s.Signal
	}
	return syscall.SIGTERM
}
