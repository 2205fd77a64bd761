package main

import (
	"context"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// settleTime is how long a worker that was interrupted tries to tell the daemon what
// became of its tasks, hasteTime how long after the second signal.
const (
	settleTime = 5 * time.Second
	hasteTime  = time.Second
)

// settling gives a context that ends that long after ctx or w.killed does.
func (w *worker) settling(ctx context.Context) (context.Context, context.CancelFunc) {
	after, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopSettling := context.AfterFunc(ctx, func() { time.AfterFunc(settleTime, cancel) })
	stopHaste := context.AfterFunc(w.killed, func() { time.AfterFunc(hasteTime, cancel) })
	return after, func() { stopSettling(); stopHaste(); cancel() }
}

// finish marks the task done, whose command has succeeded.
func (a *attempt) finish(ctx context.Context, took time.Duration) outcome {
	err := a.persist(ctx, func() error {
		p := schema.UpdateParams{ID: a.id, LeaseToken: &a.token}
		p.Status = schema.Some(schema.Done)
		_, err := a.client.Update(ctx, p)
		return err
	})
	switch {
	case err == nil:
		a.say("done %s  in %s", a.id, took.Round(time.Millisecond))
		return done
	case isOver(err):
		return a.over(ctx, err, nil)
	}
	a.say("%s could not be marked done, its claim runs out: %v", a.id, err)
	return lost
}

// decline gives back a task that came when no more were wanted: no command has begun.
func (w *worker) decline(ctx context.Context, claimed *schema.ClaimResult) {
	task, err := schema.ParseTask(claimed.Task)
	if err != nil {
		w.say("a task was claimed that cannot be read, it goes back when its time is over: %v", err)
		return
	}
	settling, stop := w.settling(ctx)
	defer stop()
	a := &attempt{worker: w, id: task.ID, token: claimed.LeaseToken}
	a.giveBack(settling, schema.Todo, context.Cause(ctx))
}

// giveBack releases the task of a command that has failed.
func (a *attempt) giveBack(ctx context.Context, status schema.Status, failure error) outcome {
	err := a.persist(ctx, func() error {
		_, err := a.client.Release(ctx, schema.ReleaseParams{ID: a.id, LeaseToken: a.token, Status: &status})
		return err
	})
	switch {
	case err == nil:
		a.say("released %s to %s: %v", a.id, status, failure)
	case isOver(err):
		return a.over(ctx, err, failure)
	default:
		a.say("%s could not be released, its claim runs out: %v", a.id, err)
	}
	return broken
}

// over tells what became of a task whose claim had ended before its command had: by
// the command itself, if it can have been in time.
func (a *attempt) over(ctx context.Context, err, failure error) outcome {
	status := a.status(ctx)
	result := left
	switch {
	case failure != nil:
		a.say("ended %s, which is %s: %v", a.id, orGone(status), failure)
		return broken
	case status == schema.Done:
		result = done
	case time.Now().After(a.until):
		a.say("lost %s before its command had ended: %v", a.id, err)
		return lost
	case status == schema.Todo:
		result = again
	}
	a.say("ended %s, which is %s", a.id, orGone(status))
	return result
}

// orGone names a status for people.
func orGone(status schema.Status) string {
	if status == "" {
		return "gone"
	}
	return string(status)
}
