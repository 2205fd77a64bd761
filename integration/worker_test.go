package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// worker claims one task after the other and finishes it, unless something comes in
// between: it dozes off, goes away, gives up, or tries to write with a token that was
// good once. Each claim is made under a name of its own, and each write signed with it:
// so the journal alone tells under which claim something was written.
type worker struct {
	name    string
	url     string
	running func()                // waits until a daemon answers
	connect func() (*peer, error) // a connection that can be cut; nil: there is none
	random  *rand.Rand
	ledger  *claimLedger
	c       *client.Client
	n       int
	last    *hold // the last one that has ended for sure
}

// hold is a claim that a worker has, or had.
type hold struct {
	holder string
	*client.Claimed
}

// bound marks the holders whose claims end with their connection.
const bound = "-bound"

// work works until ctx ends. The error is one that no killed daemon explains.
func (w *worker) work(ctx context.Context) error {
	defer w.leave()
	for ctx.Err() == nil {
		w.running()
		err := w.once(ctx)
		if again, _ := unanswered(err); again {
			w.ledger.count(func(l *claimLedger) { l.unanswered++ })
		} else if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s, claim %d: %w", w.name, w.n, err)
		}
	}
	return nil
}

// leave ends the connection.
func (w *worker) leave() {
	if w.c != nil {
		w.c.Close()
		w.c = nil
	}
}

func (w *worker) once(ctx context.Context) (err error) {
	if w.c == nil {
		if w.c, err = client.Dial(ctx, w.url, reconnecting()); err != nil {
			return err
		}
	}
	params := w.params()
	if w.connect != nil && w.random.IntN(10) == 0 {
		return w.vanish(params)
	}
	claimed, err := w.c.Claim(ctx, params)
	if err != nil || claimed == nil {
		return err
	}
	h := &hold{params.AssignedTo, claimed}
	w.ledger.promise(h.holder, claimed.ExpiresAt)
	switch p := w.random.IntN(12); {
	case p == 0:
		w.pause(ctx, time.Until(time.UnixMilli(claimed.ExpiresAt))+w.upTo(1200*time.Millisecond))
	case p == 1:
		w.leave()
		w.ledger.count(func(l *claimLedger) { l.left++ })
		return nil
	case p == 2:
		_, err = w.c.Release(ctx, schema.ReleaseParams{ID: claimed.Task.ID, LeaseToken: claimed.LeaseToken})
		return w.over(h, err, func(l *claimLedger) { l.released++ })
	}
	return w.finish(ctx, h)
}

// params are those of the next claim.
func (w *worker) params() schema.ClaimParams {
	w.n++
	holder, untilDisconnect := fmt.Sprintf("%s.%d", w.name, w.n), w.random.IntN(4) == 0
	if untilDisconnect {
		holder += bound
	}
	return schema.ClaimParams{
		AssignedTo: holder, LeaseMS: new(int64(schema.MinLeaseMS)), WaitMS: new(int64(500)), UntilDisconnect: &untilDisconnect,
	}
}

// vanish claims over a connection that is then cut without a word.
func (w *worker) vanish(params schema.ClaimParams) error {
	p, err := w.connect()
	if err != nil {
		return client.ErrUnreachable
	}
	result, err := p.call(schema.MethodClaim, params)
	var claimed *client.Claimed
	if err == nil && json.Unmarshal(result, &claimed) == nil && claimed != nil {
		w.ledger.promise(params.AssignedTo, claimed.ExpiresAt)
	}
	w.ledger.count(func(l *claimLedger) { l.left++ })
	_ = reset(p.TCPConn) // the daemon may have been the first
	if _, answered := errors.AsType[*schema.Error](err); answered {
		return err
	}
	return nil
}

// finish works on a task for a while, renewing the claim, and finishes it.
func (w *worker) finish(ctx context.Context, h *hold) error {
	id, token := h.Task.ID, h.LeaseToken
	for range w.random.IntN(3) {
		w.pause(ctx, w.upTo(200*time.Millisecond))
		renewed, err := w.c.Renew(ctx, schema.RenewParams{ID: id, LeaseToken: token})
		if err != nil {
			return w.over(h, err, nil)
		}
		w.ledger.promise(h.holder, renewed.ExpiresAt)
		w.ledger.count(func(l *claimLedger) { l.renewed++ })
		if err := w.forge(ctx); err != nil {
			return err
		}
		if _, err := w.c.Update(ctx, schema.UpdateParams{
			ID: id, LeaseToken: &token, Patch: schema.Patch{Metadata: schema.Some(signed(h.holder))},
		}); err != nil {
			return w.over(h, err, nil)
		}
	}
	_, err := w.c.Update(ctx, schema.UpdateParams{ID: id, LeaseToken: &token, Patch: schema.Patch{
		Status: schema.Some(schema.Done), Metadata: schema.Some(signed(h.holder)),
	}})
	return w.over(h, err, func(l *claimLedger) { l.finished[h.holder] = true })
}

// over notes how a claim ended: that it was lost is an answer, too.
func (w *worker) over(h *hold, err error, ended func(*claimLedger)) error {
	if schema.CodeOf(err) == schema.CodeLeaseLost {
		ended, err = func(l *claimLedger) { l.lost[h.holder] = true }, nil
	}
	if err == nil {
		w.last = h
		w.ledger.count(ended)
	}
	return err
}

// forge tries everything with a token that is not the present one.
func (w *worker) forge(ctx context.Context) error {
	if w.last == nil || w.random.IntN(3) > 0 {
		return nil
	}
	id, token := w.last.Task.ID, w.last.LeaseToken
	_, renewed := w.c.Renew(ctx, schema.RenewParams{ID: id, LeaseToken: token})
	_, released := w.c.Release(ctx, schema.ReleaseParams{ID: id, LeaseToken: token, Status: new(schema.Blocked)})
	_, updated := w.c.Update(ctx, schema.UpdateParams{
		ID: id, LeaseToken: &token, Patch: schema.Patch{Metadata: schema.Some(signed(w.last.holder + " too late"))},
	})
	for _, err := range []error{renewed, released, updated} {
		if again, _ := unanswered(err); again {
			return err
		}
		if schema.CodeOf(err) != schema.CodeLeaseLost {
			return fmt.Errorf("%s had lost its claim of %s, and was answered: %w", w.last.holder, id, cmp.Or(err, errAccepted))
		}
		w.ledger.count(func(l *claimLedger) { l.forged++ })
	}
	return nil
}

var errAccepted = errors.New("accepted")

// pause is the time that work takes.
func (w *worker) pause(ctx context.Context, long time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(long):
	}
}

func (w *worker) upTo(longest time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(longest)))
}

// claimLedger is what workers were told.
type claimLedger struct {
	answers tally                                // that say how a claim went on
	tell    func(holder string, expiresAt int64) // is told of each promise, unless it is nil

	mu                      sync.Mutex
	promised                map[string]int64 // holder -> until when the claim holds: the newest answer
	finished                map[string]bool  // holders that were told that the task is done
	lost                    map[string]bool  // holders that were told that the claim is lost
	renewed, released, left int
	forged                  int // writes with an old token, refused
	unanswered, processes   int
}

func newClaimLedger() *claimLedger {
	return &claimLedger{promised: make(map[string]int64), finished: make(map[string]bool), lost: make(map[string]bool)}
}

// promise notes until when a claim holds.
func (l *claimLedger) promise(holder string, expiresAt int64) {
	l.count(func(l *claimLedger) { l.promised[holder] = expiresAt })
	l.answers.add()
	if l.tell != nil {
		l.tell(holder, expiresAt)
	}
}

// count changes the ledger; nil changes nothing.
func (l *claimLedger) count(change func(*claimLedger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if change != nil {
		change(l)
	}
}
