package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// worker claims tasks, one claim at a time, and has commands work on up to parallel
// of them.
//
// Its claims are not bound to its connection: they outlive a restart of the daemon,
// and commands with them. The price is that the task of a worker which was killed
// waits for the end of the lease.
type worker struct {
	client    *client.Client
	claims    *client.Client // for claims alone: closed as soon as no more are wanted
	params    schema.ClaimParams
	command   []string
	env       []string
	once      bool
	wait      time.Duration // for a task while nothing runs; less than 0: for ever
	parallel  int
	lease     time.Duration
	grace     time.Duration // from SIGTERM to SIGKILL
	onFailure schema.Status
	stdout    io.Writer
	stderr    io.Writer
	killed    context.Context // ends when the commands have to
	pause     func(ctx context.Context, d time.Duration) bool

	mu       sync.Mutex
	failures int     // in a row
	last     outcome // of the attempt that ended last
	away     bool    // the daemon; said once
}

// outcome is what became of an attempt on a task.
type outcome int

const (
	untaken outcome = iota // there was no attempt
	done                   // the task is done
	left                   // the command succeeded, and left the task as it wanted
	again                  // the same, and that was todo
	broken                 // the command failed
	lost                   // somebody else's, or it cannot be known
)

// failed tells whether a script should know.
func (o outcome) failed() bool { return o == broken || o == lost }

// work goes on until it is over: ctx ends, --once or --wait say so, or the daemon
// refuses to give tasks. It waits for the commands.
func (w *worker) work(ctx context.Context) error {
	slots := make(chan struct{}, w.parallel)
	var running sync.WaitGroup
	defer running.Wait()
	// A claim that waits would go on to wait at the daemon while commands end, and take
	// a task, perhaps one that they give back: only the end of its connection ends it.
	stop := context.AfterFunc(ctx, func() { _ = w.claims.Close() })
	defer stop()
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		if !w.pause(ctx, w.holdBack()) {
			return nil
		}
		idle := len(slots) == 1 // no more can begin before the answer
		claimed, err := w.claim(ctx, idle)
		switch {
		case err != nil:
			return err
		case claimed != nil && ctx.Err() != nil:
			w.decline(ctx, claimed)
			return nil
		case claimed != nil:
			running.Go(func() {
				w.settled(w.attempt(ctx, claimed))
				<-slots
			})
			if w.once {
				return nil
			}
		case idle:
			return nil
		default:
			<-slots
		}
	}
}

// claim waits for a task. While commands run it is not over when there is none:
// they may make others ready. It waits a while then, instead of asking on and on.
// The end of ctx closes w.claims; a task that was given before that is not lost.
func (w *worker) claim(ctx context.Context, idle bool) (claimed *schema.ClaimResult, err error) {
	wait := w.wait
	if !idle && wait >= 0 {
		wait = max(wait, time.Second)
	}
	err = w.persist(ctx, func() (err error) {
		claimed, err = awaitClaim(w.params, wait, claimer(context.WithoutCancel(ctx), w.claims))
		return err
	})
	return claimed, err
}

// settled remembers how an attempt went.
func (w *worker) settled(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = o
	switch o {
	case done, left:
		w.failures = 0
	case again, broken:
		w.failures++
	}
}

// holdBack gives the time before the next claim: a command that fails whatever its
// task is shall not go through the queue again and again as fast as it can.
func (w *worker) holdBack() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failures == 0 {
		return 0
	}
	return doubled(time.Second, w.failures-1, time.Minute)
}

// doubled gives d doubled so many times, at most longest.
func doubled(d time.Duration, times int, longest time.Duration) time.Duration {
	for ; times > 0 && d < longest; times-- {
		d *= 2
	}
	return min(d, longest)
}

// persist repeats a call until the daemon has answered it, however long that is
// away: until ctx ends. A claim must not run out for want of another attempt. What may
// have been made is repeated, too: everything that a worker says of a task carries its
// lease token, and a claim that nobody has heard of runs out.
func (w *worker) persist(ctx context.Context, call func() error) error {
	for attempt := 0; ; attempt++ {
		err := call()
		if err != nil && ctx.Err() == nil && (client.IsTemporary(err) || client.IsInDoubt(err)) {
			w.reached(err)
			wait := doubled(100*time.Millisecond, attempt, min(w.lease/4, 5*time.Second))
			pause(ctx, wait-rand.N(wait/2)) // not all workers at once
			continue
		}
		if err == nil {
			w.reached(nil)
		}
		return err
	}
}

// reached says, once, that the daemon is away, and when it is back.
func (w *worker) reached(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil && !w.away:
		w.say("%v; trying again", err)
	case err == nil && w.away:
		w.say("the daemon answers again")
	}
	w.away = err != nil
}

// say prints one line on standard error.
func (w *worker) say(format string, args ...any) {
	fmt.Fprintf(w.stderr, "descartes: %s\n", strings.Map(printable, fmt.Sprintf(format, args...)))
}
