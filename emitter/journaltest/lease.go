package journaltest

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/descartes-tasks/descartes/schema"
)

// The rules of claims in their plainest form. All of this needs Memory.mu.

var nothing = json.RawMessage("null")

func (m *Memory) claim(c *schema.Change, p *schema.Claim) (json.RawMessage, error) {
	if p.ID != nil && m.tasks[*p.ID] == nil {
		return nil, schema.NotFound(*p.ID)
	}
	wanted := slices.DeleteFunc(slices.Collect(maps.Values(m.tasks)), func(t *schema.Task) bool { return !p.Matches(t) })
	if len(wanted) == 0 {
		return nothing, nil
	}
	old := slices.MinFunc(wanted, func(a, b *schema.Task) int {
		return cmp.Or(cmp.Compare(b.Priority.Rank(), a.Priority.Rank()), cmp.Compare(a.CreatedAt, b.CreatedAt),
			cmp.Compare(m.born[a.ID], m.born[b.ID]))
	})
	task := *old
	task.Status, task.AssignedTo, task.LeasedBy = schema.InProgress, &p.AssignedTo, &p.AssignedTo
	document := m.put(c, old, &task)
	lease := schema.Lease{TaskID: task.ID, Token: p.LeaseToken, Seq: task.Version, LengthMS: *p.LeaseMS, ExpiresAt: c.At + *p.LeaseMS}
	if *p.UntilDisconnect {
		lease.Source = c.Source
	}
	result := schema.ClaimResult{Task: document, LeaseToken: p.LeaseToken, ExpiresAt: m.hold(lease)}
	return result.AppendJSON(nil), nil
}

// hold stores a lease that begins, or begins again, and gives the time of its end.
func (m *Memory) hold(l schema.Lease) int64 {
	m.leased++
	l.Num = m.leased
	m.leases[l.TaskID] = l
	return l.ExpiresAt
}

func (m *Memory) renew(c *schema.Change, p *schema.RenewParams) (json.RawMessage, error) {
	_, lease, err := m.held(p.ID, p.LeaseToken)
	if err != nil {
		return nil, err
	}
	lease.Renew(c.At, p.LeaseMS)
	return json.Marshal(schema.RenewResult{ExpiresAt: m.hold(lease)})
}

func (m *Memory) release(c *schema.Change, p *schema.ReleaseParams) (json.RawMessage, error) {
	old, _, err := m.held(p.ID, p.LeaseToken)
	if err != nil {
		return nil, err
	}
	return m.unclaim(c, old, *p.Status), nil
}

func (m *Memory) expire(c *schema.Change, p *schema.Expire) json.RawMessage {
	old, lease, err := m.held(p.ID, p.LeaseToken)
	if err != nil || p.ExpiresAt != nil && *p.ExpiresAt != lease.ExpiresAt {
		return nothing
	}
	return m.unclaim(c, old, schema.Todo)
}

func (m *Memory) unclaim(c *schema.Change, old *schema.Task, status schema.Status) json.RawMessage {
	task := *old
	if task.Status, task.LeasedBy = status, nil; status == schema.Todo {
		task.AssignedTo = nil
	}
	return m.put(c, old, &task)
}

// held gives a task and its lease to who has its token.
func (m *Memory) held(id, token string) (*schema.Task, schema.Lease, error) {
	task, err := m.find(id, nil)
	lease := m.leases[id]
	if err == nil && (lease.Num == 0 || lease.Token != token) {
		err = schema.LeaseLost(id)
	}
	return task, lease, err
}

// Leases gives the leases after a Num.
func (m *Memory) Leases(_ context.Context, after int64) (leases []schema.Lease, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leases {
		if l.Num > after {
			leases = append(leases, l)
		}
	}
	slices.SortFunc(leases, func(a, b schema.Lease) int { return cmp.Compare(a.Num, b.Num) })
	return leases, nil
}
