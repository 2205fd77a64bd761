package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

// nothing is the result of a claim that finds no task, and of an expiry that came too
// late.
var nothing = json.RawMessage("null")

// claim takes the ready task that matches, highest priority first, then oldest.
func (t *transaction) claim(c *schema.Claim) (json.RawMessage, error) {
	document, old, err := t.claimable(&c.ClaimParams)
	if err != nil || old == nil {
		return nothing, err
	}
	task := *old
	task.Status, task.AssignedTo, task.LeasedBy = schema.InProgress, &c.AssignedTo, &c.AssignedTo
	if document, err = t.move(document, old, &task); err != nil {
		return nil, err
	}
	lease := schema.Lease{TaskID: task.ID, Token: c.LeaseToken, Seq: task.Version, LengthMS: *c.LeaseMS, ExpiresAt: t.change.At + *c.LeaseMS}
	if *c.UntilDisconnect {
		lease.Source = t.change.Source
	}
	if err := t.hold(&lease); err != nil {
		return nil, err
	}
	result := schema.ClaimResult{Task: document, LeaseToken: lease.Token, ExpiresAt: lease.ExpiresAt}
	return result.AppendJSON(nil), nil
}

// claimable gives the task that a claim takes, nil if there is none.
func (t *transaction) claimable(p *schema.ClaimParams) (json.RawMessage, *schema.Task, error) {
	if p.ID != nil {
		document, task, err := t.expect(*p.ID, nil)
		if err != nil || !p.Matches(task) {
			return nil, nil, err
		}
		return document, task, nil
	}
	if f := p.Filter; f.Ready != nil && !*f.Ready || f.Status != nil && !slices.Contains(f.Status, schema.Todo) {
		return nil, nil, nil
	}
	rows, err := t.ready(p.Filter)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var document []byte
		if err := rows.Scan(&document); err != nil {
			return nil, nil, err
		}
		document = validText(document)
		task, err := schema.ParseTask(document)
		if err != nil {
			return nil, nil, err
		}
		if p.Matches(task) {
			return document, task, nil
		}
	}
	return nil, nil, rows.Err()
}

// ready gives the documents of ready tasks in the order in which they are claimed:
// those that match, and perhaps others.
func (t *transaction) ready(f *schema.Filter) (*sql.Rows, error) {
	if f.IsZero() {
		return t.nextReady.Query()
	}
	l := listing{filter: f}
	if f.Text != nil {
		var oldest, oldestAt, newest, indexed int64
		if err := t.oldest.QueryRow().Scan(&oldest, &oldestAt, &newest, &indexed); err != nil {
			return nil, err
		}
		gap := oldest > indexed+1 || oldest == 0 && newest > indexed
		if err := l.search(context.Background(), t.candidates, indexed, gap); err != nil {
			return nil, err
		}
	}
	query, args := claimQuery(&l)
	return t.conn.QueryContext(context.Background(), query, args...)
}

// claimQuery gives the SQL that yields ready tasks in the order in which they are
// claimed.
func claimQuery(l *listing) (string, []any) {
	var p parameters
	conditions := append([]string{"ready = 1"}, l.conditions(&p)...)
	if least := l.filter.PriorityAtLeast; least != nil {
		conditions = append(conditions, claimRank+" <= "+p.add(schema.Critical.Rank()-least.Rank())) // where the walk ends
	}
	return `SELECT document FROM tasks WHERE ` + strings.Join(conditions, " AND ") + ` ORDER BY ` + claimOrder, p.values
}

// renew lets a claim hold from now on, as long as before unless it says otherwise.
func (t *transaction) renew(p *schema.RenewParams) (json.RawMessage, error) {
	_, _, lease, err := t.held(p.ID, p.LeaseToken)
	if err != nil {
		return nil, err
	}
	lease.Renew(t.change.At, p.LeaseMS)
	if err := t.hold(lease); err != nil {
		return nil, err
	}
	return append(strconv.AppendInt([]byte(`{"expires_at":`), lease.ExpiresAt, 10), '}'), nil
}

// release ends a claim for its holder.
func (t *transaction) release(p *schema.ReleaseParams) (json.RawMessage, error) {
	document, old, _, err := t.held(p.ID, p.LeaseToken)
	if err != nil {
		return nil, err
	}
	return t.unclaim(document, old, *p.Status)
}

// unclaim ends the claim of a task.
func (t *transaction) unclaim(document json.RawMessage, old *schema.Task, status schema.Status) (json.RawMessage, error) {
	task := *old
	if task.Status, task.LeasedBy = status, nil; status == schema.Todo {
		task.AssignedTo = nil
	}
	return t.move(document, old, &task)
}

// expire ends a claim that nobody gave back, unless it has ended, or was renewed.
func (t *transaction) expire(x *schema.Expire) (json.RawMessage, error) {
	lease, err := t.findLease(x.ID)
	if err != nil || lease == nil || lease.Token != x.LeaseToken || x.ExpiresAt != nil && lease.ExpiresAt != *x.ExpiresAt {
		return nothing, err
	}
	document, old, err := t.expect(x.ID, nil)
	if schema.CodeOf(err) == schema.CodeTaskNotFound || err == nil && old.LeasedBy == nil {
		return nothing, t.endLease(x.ID) // another process has ended it
	}
	if err != nil {
		return nil, err
	}
	return t.unclaim(document, old, schema.Todo)
}

// held gives a task, and its lease, to who has the token of it.
func (t *transaction) held(id, token string) (json.RawMessage, *schema.Task, *schema.Lease, error) {
	document, task, err := t.expect(id, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	lease, err := t.findLease(id)
	if err == nil && (task.LeasedBy == nil || lease == nil || lease.Token != token) {
		err = schema.LeaseLost(id)
	}
	return document, task, lease, err
}

// findLease gives the lease of a task, nil if there is none.
func (t *transaction) findLease(id string) (*schema.Lease, error) {
	l, err := scanLease(t.leaseOf.QueryRow(id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &l, err
}

// hold stores a lease that begins, or begins again, now.
func (t *transaction) hold(l *schema.Lease) error {
	t.wrote = true
	result, err := t.setLease.Exec(l.TaskID, l.Token, l.Seq, l.LengthMS, l.ExpiresAt, l.Source)
	if err != nil {
		return err
	}
	t.lease, t.renewed = l, true
	l.Num, err = result.LastInsertId()
	return err
}

func (t *transaction) endLease(id string) error {
	t.renewed = true
	return t.exec(t.dropLease, id)
}

// leaseColumns are the columns of leases, in the order of scanLease.
const leaseColumns = `num, task_id, token, seq, length, expires_at, source`

func scanLease(row interface{ Scan(...any) error }, more ...any) (l schema.Lease, err error) {
	err = row.Scan(append([]any{&l.Num, &l.TaskID, &l.Token, &l.Seq, &l.LengthMS, &l.ExpiresAt, &l.Source}, more...)...)
	return l, err
}

// Leases gives the leases that began or were renewed after the one with the number
// after, as emitter.Journal says.
func (d *DB) Leases(ctx context.Context, after int64) ([]schema.Lease, error) {
	rows, err := d.read.leases.QueryContext(ctx, after)
	if err != nil {
		return nil, d.readError(err)
	}
	defer rows.Close()
	var leases []schema.Lease
	for rows.Next() {
		var held bool // otherwise another process has ended it
		l, err := scanLease(rows, &held)
		if err != nil {
			return nil, d.readError(err)
		}
		l.Orphaned = !held || l.Source != 0 && (l.Num <= d.orphans || d.before != 0 && l.Source>>32 == int64(d.before))
		leases = append(leases, l)
	}
	return leases, d.readError(rows.Err())
}
