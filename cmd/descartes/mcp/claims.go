package mcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// claims are what the session has claimed, each renewed by a goroutine of its own.
type claims struct {
	life   context.Context // renewing ends with it
	daemon *daemon
	lease  time.Duration
	warn   func(string)
	work   sync.WaitGroup // renewals, and claims whose caller has left

	mu   sync.Mutex
	held map[string]*claim   // by task
	lost map[string]struct{} // tasks whose claim has ended without the session's doing
}

// claim is one task that the session holds.
type claim struct {
	task, token string
	version     int64              // of the task, when it was claimed
	end         context.CancelFunc // of its renewal
	renewed     chan time.Duration // the lease of a renewal that the agent asked for
}

func newClaims(life context.Context, d *daemon, o Options) *claims {
	return &claims{
		life: life, daemon: d, lease: o.Lease, warn: o.Warn,
		held: make(map[string]*claim), lost: make(map[string]struct{}),
	}
}

// take claims a task for whoever is named in params. If ctx ends before the daemon
// has answered, nobody waits for the task any more: it is given back when it comes.
func (c *claims) take(ctx context.Context, params schema.ClaimParams) (*client.Claimed, error) {
	type answer struct {
		claimed *client.Claimed
		err     error
	}
	params.LeaseMS = new(c.lease.Milliseconds())
	answers := make(chan answer)
	c.work.Go(func() {
		claimed, err := c.ask(ctx, params)
		if err == nil && claimed != nil {
			c.hold(claimed)
		}
		select {
		case answers <- answer{claimed, err}:
		case <-ctx.Done():
			if k := c.find(taskID(claimed)); k != nil && c.life.Err() == nil {
				c.release(c.life, k)
			}
		}
	})
	select {
	case a := <-answers:
		return a.claimed, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask makes the claim. One that does not wait is answered at once: the end of the
// session waits for it too, so that what it brings can be released.
func (c *claims) ask(ctx context.Context, params schema.ClaimParams) (*client.Claimed, error) {
	if params.WaitMS != nil && *params.WaitMS > 0 {
		return write(c.life, c.daemon, func(*client.Client) (*client.Claimed, error) { return c.await(ctx, params) })
	}
	lasting, cancel := context.WithCancel(context.WithoutCancel(c.life))
	defer cancel()
	defer context.AfterFunc(c.life, func() { time.AfterFunc(releasePatience, cancel) })()
	return write(c.life, c.daemon, func(conn *client.Client) (*client.Claimed, error) { return conn.Claim(lasting, params) })
}

// await makes a claim that waits, over a connection of its own that closes when nobody
// wants the task any more: nothing else ends the wait at the daemon, where a
// connection has a few of them.
func (c *claims) await(ctx context.Context, params schema.ClaimParams) (*client.Claimed, error) {
	conn, err := c.daemon.dial(ctx)
	if err != nil {
		return nil, err
	}
	hangUp := func() { _ = conn.Close() } // it has no error
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	defer context.AfterFunc(c.life, hangUp)()
	return conn.Claim(context.WithoutCancel(c.life), params)
}

func taskID(claimed *client.Claimed) string {
	if claimed == nil {
		return ""
	}
	return claimed.Task.ID
}

// hold keeps a claim and renews it from now on.
func (c *claims) hold(claimed *client.Claimed) {
	ctx, end := context.WithCancel(c.life)
	k := &claim{task: claimed.Task.ID, token: claimed.LeaseToken, version: claimed.Task.Version, end: end, renewed: make(chan time.Duration, 1)}
	c.mu.Lock()
	old := c.held[k.task]
	c.held[k.task] = k
	delete(c.lost, k.task)
	c.mu.Unlock()
	if old != nil {
		old.end() // it was lost, and nobody had noticed
	}
	c.work.Go(func() { c.renew(ctx, k) })
}

// renew renews a claim until ctx ends or the daemon says that it is lost. While the
// daemon is away it tries on: only the daemon can tell.
func (c *claims) renew(ctx context.Context, k *claim) {
	lease, failing := c.lease, false
	timer := time.NewTimer(lease / 3)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case lease = <-k.renewed:
			timer.Reset(lease / 3)
			continue
		case <-timer.C:
		}
		err := c.renewOnce(ctx, k, max(lease/3, time.Second))
		switch {
		case ctx.Err() != nil:
			return
		case isLost(err):
			c.lose(k)
			return
		case err == nil:
			failing = false
			timer.Reset(lease / 3)
			continue
		case !failing:
			failing = true
			c.warn(fmt.Sprintf("the claim of %s cannot be renewed now; trying on: %v", k.task, err))
		}
		timer.Reset(min(lease/3, time.Second))
	}
}

func (c *claims) renewOnce(ctx context.Context, k *claim, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := attempt(ctx, c.daemon, func(conn *client.Client) (*schema.RenewResult, error) {
		return conn.Renew(ctx, schema.RenewParams{ID: k.task, LeaseToken: k.token})
	})
	return err
}

// isLost tells whether the daemon says that a claim has ended.
func isLost(err error) bool {
	code := schema.CodeOf(err)
	return code == schema.CodeLeaseLost || code == schema.CodeTaskNotFound
}

// changeLease tells the renewal how long the claim holds from now on.
func (k *claim) changeLease(lease time.Duration) {
	select {
	case <-k.renewed: // not yet seen, and out of date
	default:
	}
	select {
	case k.renewed <- lease:
	default:
	}
}

// find gives the claim of a task, nil if the session does not hold it.
func (c *claims) find(task string) *claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[task]
}

// holds tells whether the session holds a task, of which it has just read a state. A
// later state than that of the claim in which nobody has one says that it is lost.
func (c *claims) holds(t *schema.Task) bool {
	k := c.find(t.ID)
	if k == nil {
		return false
	}
	if t.LeasedBy == nil && t.Version > k.version {
		c.lose(k)
		return false
	}
	return true
}

// isLost tells whether the session had claimed a task and lost it.
func (c *claims) isLost(task string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, lost := c.lost[task]
	return lost
}

// forget ends the keeping of a claim that the session itself has ended, and of the
// memory that it was lost.
func (c *claims) forget(task string) {
	c.mu.Lock()
	k := c.held[task]
	delete(c.held, task)
	delete(c.lost, task)
	c.mu.Unlock()
	if k != nil {
		k.end()
	}
}

// lose notes that a claim has ended without the session's doing.
func (c *claims) lose(k *claim) {
	c.mu.Lock()
	current := c.held[k.task] == k
	if current {
		delete(c.held, k.task)
		c.lost[k.task] = struct{}{}
	}
	c.mu.Unlock()
	k.end()
	if current {
		c.warn(fmt.Sprintf("the claim of %s is lost", k.task))
	}
}

// release gives a claimed task back.
func (c *claims) release(ctx context.Context, k *claim) {
	c.forget(k.task)
	_, err := attempt(ctx, c.daemon, func(conn *client.Client) (*schema.Task, error) {
		return conn.Release(ctx, schema.ReleaseParams{ID: k.task, LeaseToken: k.token})
	})
	if err != nil && !isLost(err) && !errors.Is(err, context.Canceled) {
		c.warn(fmt.Sprintf("the claim of %s could not be released; it ends when its lease is over: %v", k.task, err))
	}
}

// releaseAll gives everything back, at the end of the session's life.
func (c *claims) releaseAll() {
	c.work.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life), releasePatience)
	defer cancel()
	var releases sync.WaitGroup
	for _, k := range slices.Collect(maps.Values(c.held)) { // nobody else is left
		releases.Go(func() { c.release(ctx, k) })
	}
	releases.Wait()
}
