package kit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Connection is a connection that can be cut without a word.
type Connection interface {
	Call(method string, params any) (json.RawMessage, error)
	Cut()
}

// Worker claims one task after the other and finishes it, unless something comes in
// between: it dozes off, goes away, gives up, or tries to write with a token that was
// good once. Each claim is made under a name of its own, and each write signed with it:
// so the journal alone tells under which claim something was written.
type Worker struct {
	Name    string
	URL     string
	Running func()                     // waits until a daemon answers
	Connect func() (Connection, error) // nil: there is none that can be cut
	Random  *rand.Rand
	Ledger  *Ledger
	c       *client.Client
	n       int
	last    *hold // the last one that has ended for sure
}

// hold is a claim that a worker has, or had.
type hold struct {
	holder string
	*client.Claimed
}

// Bound marks the holders whose claims end with their connection.
const Bound = "-Bound"

// Work works until ctx ends. The error is one that no killed daemon explains.
func (w *Worker) Work(ctx context.Context) error {
	defer w.leave()
	for ctx.Err() == nil {
		w.Running()
		err := w.once(ctx)
		if again, _ := Unanswered(err); again {
			w.Ledger.Count(func(l *Ledger) { l.Unanswered++ })
			w.pause(ctx, tryAgain)
		} else if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s, claim %d: %w", w.Name, w.n, err)
		}
	}
	return nil
}

// leave ends the connection.
func (w *Worker) leave() {
	if w.c != nil {
		w.c.Close()
		w.c = nil
	}
}

func (w *Worker) once(ctx context.Context) (err error) {
	if w.c == nil {
		if w.c, err = client.Dial(ctx, w.URL, Reconnecting()); err != nil {
			return err
		}
	}
	params := w.params()
	if w.Connect != nil && w.Random.IntN(10) == 0 {
		return w.vanish(params)
	}
	claimed, err := w.c.Claim(ctx, params)
	if err != nil || claimed == nil {
		return err
	}
	h := &hold{params.AssignedTo, claimed}
	w.Ledger.Promise(h.holder, claimed.ExpiresAt)
	switch p := w.Random.IntN(12); {
	case p == 0:
		w.pause(ctx, time.Until(time.UnixMilli(claimed.ExpiresAt))+w.upTo(1200*time.Millisecond))
	case p == 1:
		w.leave()
		w.Ledger.Count(func(l *Ledger) { l.Left++ })
		return nil
	case p == 2:
		_, err = w.c.Release(ctx, schema.ReleaseParams{ID: claimed.Task.ID, LeaseToken: claimed.LeaseToken})
		return w.over(h, err, func(l *Ledger) { l.Released++ })
	}
	return w.finish(ctx, h)
}

// params are those of the next claim.
func (w *Worker) params() schema.ClaimParams {
	w.n++
	holder, untilDisconnect := fmt.Sprintf("%s.%d", w.Name, w.n), w.Random.IntN(4) == 0
	if untilDisconnect {
		holder += Bound
	}
	return schema.ClaimParams{
		AssignedTo: holder, LeaseMS: new(int64(schema.MinLeaseMS)), WaitMS: new(int64(500)), UntilDisconnect: &untilDisconnect,
	}
}

// vanish claims over a connection that is then cut without a word.
func (w *Worker) vanish(params schema.ClaimParams) error {
	p, err := w.Connect()
	if err != nil {
		return client.ErrUnreachable
	}
	result, err := p.Call(schema.MethodClaim, params)
	var claimed *client.Claimed
	if err == nil && json.Unmarshal(result, &claimed) == nil && claimed != nil {
		w.Ledger.Promise(params.AssignedTo, claimed.ExpiresAt)
	}
	w.Ledger.Count(func(l *Ledger) { l.Left++ })
	p.Cut()
	if _, answered := errors.AsType[*schema.Error](err); answered {
		return err
	}
	return nil
}

// finish works on a task for a while, renewing the claim, and finishes it.
func (w *Worker) finish(ctx context.Context, h *hold) error {
	id, token := h.Task.ID, h.LeaseToken
	for range w.Random.IntN(3) {
		w.pause(ctx, w.upTo(200*time.Millisecond))
		renewed, err := w.c.Renew(ctx, schema.RenewParams{ID: id, LeaseToken: token})
		if err != nil {
			return w.over(h, err, nil)
		}
		w.Ledger.Promise(h.holder, renewed.ExpiresAt)
		w.Ledger.Count(func(l *Ledger) { l.Renewed++ })
		if err := w.forge(ctx); err != nil {
			return err
		}
		if _, err := w.c.Update(ctx, schema.UpdateParams{
			ID: id, LeaseToken: &token, Patch: schema.Patch{Metadata: schema.Some(Signed(h.holder))},
		}); err != nil {
			return w.over(h, err, nil)
		}
	}
	_, err := w.c.Update(ctx, schema.UpdateParams{ID: id, LeaseToken: &token, Patch: schema.Patch{
		Status: schema.Some(schema.Done), Metadata: schema.Some(Signed(h.holder)),
	}})
	return w.over(h, err, func(l *Ledger) { l.Finished[h.holder] = true })
}

// over notes how a claim ended: that it was lost is an answer, too.
func (w *Worker) over(h *hold, err error, ended func(*Ledger)) error {
	if schema.CodeOf(err) == schema.CodeLeaseLost {
		ended, err = func(l *Ledger) { l.Lost[h.holder] = true }, nil
	}
	if err == nil {
		w.last = h
		w.Ledger.Count(ended)
	}
	return err
}

// forge tries everything with a token that is not the present one.
func (w *Worker) forge(ctx context.Context) error {
	if w.last == nil || w.Random.IntN(3) > 0 {
		return nil
	}
	id, token := w.last.Task.ID, w.last.LeaseToken
	_, renewed := w.c.Renew(ctx, schema.RenewParams{ID: id, LeaseToken: token})
	_, released := w.c.Release(ctx, schema.ReleaseParams{ID: id, LeaseToken: token, Status: new(schema.Blocked)})
	_, updated := w.c.Update(ctx, schema.UpdateParams{
		ID: id, LeaseToken: &token, Patch: schema.Patch{Metadata: schema.Some(Signed(w.last.holder + " too late"))},
	})
	for _, err := range []error{renewed, released, updated} {
		if again, _ := Unanswered(err); again {
			return err
		}
		if schema.CodeOf(err) != schema.CodeLeaseLost {
			return fmt.Errorf("%s had lost its claim of %s, and was answered: %w", w.last.holder, id, cmp.Or(err, errAccepted))
		}
		w.Ledger.Count(func(l *Ledger) { l.Forged++ })
	}
	return nil
}

var errAccepted = errors.New("accepted")

// pause is the time that work takes.
func (w *Worker) pause(ctx context.Context, long time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(long):
	}
}

func (w *Worker) upTo(longest time.Duration) time.Duration {
	return time.Duration(w.Random.Int64N(int64(longest)))
}
