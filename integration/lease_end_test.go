package integration

import (
	"database/sql"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// untilDisconnect is a claim that ends with its connection.
func untilDisconnect(id string) schema.ClaimParams {
	return schema.ClaimParams{AssignedTo: "bound", ID: &id, UntilDisconnect: new(true)}
}

// claimOver claims a task over a connection that can be cut.
func claimOver(t *testing.T, p *peer, params schema.ClaimParams) *client.Claimed {
	t.Helper()
	return decodeClaim(t, mustCall(t, p, schema.MethodClaim, params))
}

// A claim until_disconnect ends within a second of the end of its connection, however
// that ends and however it was renewed, by an event of a lease. An ordinary claim of the
// same connection lasts, and so does a claim that somebody else has made since.
func TestLeaseEndsWithItsConnection(t *testing.T) {
	for _, end := range []struct {
		name string
		cut  func(p *peer) error
	}{
		{"goodbye", (*peer).goodbye},
		{"end of the stream", func(p *peer) error { return p.CloseWrite() }},
		{"reset", func(p *peer) error { return reset(p.TCPConn) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			d := serve(t, database(t), "--log-level", "warn")
			c := d.dial()
			p, err := d.connect()
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			bound := claimOver(t, p, untilDisconnect(create(t, c, "bound").ID))
			mustCall(t, p, schema.MethodRenew, schema.RenewParams{ID: bound.Task.ID, LeaseToken: bound.LeaseToken})
			ordinary := claimOver(t, p, schema.ClaimParams{AssignedTo: "worker", ID: &create(t, c, "ordinary").ID})
			given := claimOver(t, p, untilDisconnect(create(t, c, "given back, and claimed by another").ID))
			mustCall(t, p, schema.MethodRelease, schema.ReleaseParams{ID: given.Task.ID, LeaseToken: given.LeaseToken})
			successor := claim(t, c, schema.ClaimParams{AssignedTo: "successor", ID: &given.Task.ID})

			s := subscribe(t, c, schema.SubscribeParams{})
			now := time.Now().UnixMilli()
			if err := end.cut(p); err != nil {
				t.Fatal(err)
			}
			requireRunsOut(t, s, bound.Task.ID, now)
			requireLost(t, c, bound, schema.CodeLeaseLost)
			requireHeld(t, c, ordinary, successor)
		})
	}
}

// requireHeld checks that claims are valid still.
func requireHeld(t *testing.T, c *client.Client, claims ...*client.Claimed) {
	t.Helper()
	for _, h := range claims {
		if _, err := c.Renew(t.Context(), schema.RenewParams{ID: h.Task.ID, LeaseToken: h.LeaseToken}); err != nil {
			t.Errorf("the claim of %s: %v", h.Task.Title, err)
		}
	}
}

// leasesAtTheEnd are a daemon's leases at the time when it ends.
type leasesAtTheEnd struct{ bound, ordinary, short *client.Claimed }

func (d *daemon) claimThree() leasesAtTheEnd {
	d.t.Helper()
	c := d.dial()
	return leasesAtTheEnd{
		bound:    claim(d.t, c, untilDisconnect(create(d.t, c, "bound").ID)),
		ordinary: claimNew(d.t, c, schema.ClaimParams{AssignedTo: "worker"}),
		short:    claimNew(d.t, c, schema.ClaimParams{AssignedTo: "worker", LeaseMS: new(int64(schema.MinLeaseMS))}),
	}
}

// A daemon that ends by SIGTERM ends the claims until_disconnect before: the file has
// them as events of leases when the process is gone. An ordinary claim outlives it, and
// one whose time is over while no daemon is there ends when the next one starts.
func TestLeasesWhenTheDaemonEnds(t *testing.T) {
	t.Parallel()
	d := serve(t, database(t), "--log-level", "warn")
	leases := d.claimThree()
	d.stop()
	var status string
	var leasedBy sql.NullString
	row := openOutside(t, d.db).QueryRowContext(t.Context(), `SELECT status, leased_by FROM tasks WHERE id = ?`, leases.bound.Task.ID)
	if err := row.Scan(&status, &leasedBy); err != nil || status != "todo" || leasedBy.Valid {
		t.Errorf("after the end: %s, %v, %v", status, leasedBy, err)
	}
	<-time.After(time.Until(time.UnixMilli(leases.short.ExpiresAt))) // while nobody is there
	leases.requireAfterRestart(t, serve(t, d.db, "--log-level", "warn"))
}

// A daemon that was killed with SIGKILL could end nothing: the claims until_disconnect
// end within a second of the next start. An ordinary claim outlives that, too.
func TestLeasesWhenTheDaemonIsKilled(t *testing.T) {
	t.Parallel()
	d := serve(t, database(t), "--log-level", "warn")
	leases := d.claimThree()
	d.kill()
	<-time.After(time.Until(time.UnixMilli(leases.short.ExpiresAt))) // while nobody is there
	leases.requireAfterRestart(t, serve(t, d.db, "--log-level", "warn"))
}

// requireAfterRestart checks what has become of the leases.
func (l leasesAtTheEnd) requireAfterRestart(t *testing.T, d *daemon) {
	t.Helper()
	ready := time.Now().UnixMilli()
	c := d.dial()
	requireHeld(t, c, l.ordinary)
	for _, ended := range []*client.Claimed{l.bound, l.short} {
		s := subscribe(t, c, schema.SubscribeParams{
			Since: new(schema.SinceStart), Filter: &schema.EventFilter{Filter: schema.Filter{IDs: []string{ended.Task.ID}}},
		})
		if e := nextLeaseEvent(t, s); e.NewStatus != schema.Todo || e.Timestamp > ready+leaseGrace.Milliseconds() {
			t.Errorf("the lease of %s ended at %d, the daemon was ready at %d: %+v", ended.Task.Title, e.Timestamp, ready, e)
		}
		requireLost(t, c, ended, schema.CodeLeaseLost)
	}
}
