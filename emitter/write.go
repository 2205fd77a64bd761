package emitter

import (
	"container/list"
	"context"

	"github.com/descartes-tasks/descartes/schema"
)

// Write is a change on its way into the journal.
type Write struct {
	change  schema.Change
	done    chan struct{}
	outcome schema.Outcome // written before done is closed

	patient bool          // a claim that waits where it finds nothing
	tried   chan struct{} // of a patient one: closed when it has found nothing

	// Owned by the writing goroutine.
	withdrawn bool          // waits no longer
	waits     *list.Element // its place among those who wait
	offered   *item         // what it was woken for
}

func newWrite(change schema.Change) *Write { return &Write{change: change, done: make(chan struct{})} }

// Done is closed when the outcome is known.
func (w *Write) Done() <-chan struct{} { return w.done }

// Outcome waits for what became of the write. An Err in it means that the change
// was not made, unless it has the code schema.CodeOutcomeUnknown.
func (w *Write) Outcome() schema.Outcome {
	<-w.done
	return w.outcome
}

// Tried waits until a patient claim was tried once: it has its outcome, or waits.
func (w *Write) Tried() {
	select {
	case <-w.tried:
	case <-w.done:
	}
}

func (w *Write) answer(o schema.Outcome) {
	w.outcome = o
	close(w.done)
}

// Submit queues a change whose operations are normalized. Changes that one
// goroutine submits are committed in that order. Submit blocks while the queue is
// full; it never waits for a commit otherwise. It fills in ids and the time in
// the change, which the caller must not touch afterwards.
func (e *Emitter) Submit(change schema.Change) *Write {
	return e.submit(newWrite(change))
}

// SubmitPatient is Submit for a claim that waits where there is nothing to claim:
// its outcome is then that of a later try, made when a task that it wants is ready,
// or comes with Withdraw. Those who wait for the same are served in the order in
// which they came.
func (e *Emitter) SubmitPatient(claim schema.Change) *Write {
	w := newWrite(claim)
	w.patient, w.tried = true, make(chan struct{})
	return e.submit(w)
}

func (e *Emitter) submit(w *Write) *Write {
	e.admission.RLock()
	defer e.admission.RUnlock()
	if e.closed {
		w.answer(schema.Outcome{Err: schema.ShuttingDown()})
		return w
	}
	e.queue <- w
	return w
}

// Withdraw lets a patient claim wait no longer: its outcome is known soon. It is a task
// if there was one before. Withdrawing what has its outcome is harmless.
func (e *Emitter) Withdraw(w *Write) {
	select {
	case e.withdrawals <- w:
	case <-w.done:
	case <-e.done:
	}
}

// Abandon ends the leases that end with the connection source, which is gone. If that
// cannot be written now it is tried again, until they end by themselves.
func (e *Emitter) Abandon(source int64) {
	select {
	case e.abandoned <- source:
	case <-e.done:
	}
}

// Ping waits for a turn of the writing goroutine, as a write does, and leaves nothing
// behind: it returns nil when that goroutine goes on, whether or not its commits
// succeed, or has ended. The error is that of ctx.
func (e *Emitter) Ping(ctx context.Context) error {
	select {
	case e.pings <- struct{}{}:
		return nil
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
