package journaltest

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/descartes-tasks/descartes/schema"
)

// The rules of a Journal in their plainest form. All of this needs Memory.mu.

func (m *Memory) newest() int64 { return int64(len(m.log)) }

// apply makes one change, all of it or nothing.
func (m *Memory) apply(c *schema.Change) (outcome schema.Outcome) {
	tasks, born, leases, leased, before := maps.Clone(m.tasks), maps.Clone(m.born), maps.Clone(m.leases), m.leased, len(m.log)
	for i := range c.Operations {
		result, err := m.operate(c, &c.Operations[i])
		if err != nil {
			m.tasks, m.born, m.leases, m.leased, m.log = tasks, born, leases, leased, m.log[:before]
			if c.Transaction {
				err = err.(*schema.Error).AtIndex(i)
			}
			return schema.Outcome{Err: err}
		}
		outcome.Results = append(outcome.Results, result)
	}
	outcome.Last = m.newest()
	for _, l := range m.leases {
		if l.Num > leased {
			outcome.Lease = &l
		}
	}
	if c.Transaction {
		for i := range m.log[before:] {
			m.log[before+i].TxLast = outcome.Last
		}
	}
	return outcome
}

// operate makes one operation. Every error is a *schema.Error.
func (m *Memory) operate(c *schema.Change, op *schema.Operation) (json.RawMessage, error) {
	switch op.Op {
	case schema.OpCreate:
		if old := m.tasks[op.Create.ID]; old != nil {
			return nil, schema.Exists(old.ID, old.AppendJSON(nil))
		}
		task := op.Create.Task(c.At)
		if err := m.checkDependencies(&task, nil); err != nil {
			return nil, err
		}
		return m.put(c, nil, &task), nil
	case schema.OpUpdate:
		return m.update(c, op.Update)
	case schema.OpDelete:
		return m.delete(c, op.Delete)
	case schema.OpClaim:
		return m.claim(c, op.Claim)
	case schema.OpRenew:
		return m.renew(c, op.Renew)
	case schema.OpRelease:
		return m.release(c, op.Release)
	default:
		return m.expire(c, op.Expire), nil
	}
}

func (m *Memory) update(c *schema.Change, p *schema.UpdateParams) (json.RawMessage, error) {
	if p.LeaseToken != nil {
		if _, _, err := m.held(p.ID, *p.LeaseToken); err != nil {
			return nil, err
		}
	}
	old, err := m.find(p.ID, p.ExpectedVersion)
	if err != nil {
		return nil, err
	}
	task, err := p.Apply(old)
	if err != nil {
		return nil, err
	}
	if err := m.checkDependencies(task, old.Dependencies); err != nil {
		return nil, err
	}
	return m.put(c, old, task), nil
}

func (m *Memory) delete(c *schema.Change, p *schema.DeleteParams) (json.RawMessage, error) {
	old, err := m.find(p.ID, p.ExpectedVersion)
	if err != nil {
		return nil, err
	}
	if dependents := m.dependents(p.ID); len(dependents) > 0 {
		return nil, schema.HasDependents(p.ID, dependents)
	}
	version := m.newest() + 1
	m.remove(c, old)
	return json.Marshal(schema.DeleteResult{ID: p.ID, Version: version})
}

// find gives a task that must be there and, where expected is given, be at that
// version.
func (m *Memory) find(id string, expected *int64) (*schema.Task, error) {
	task := m.tasks[id]
	switch {
	case task == nil:
		return nil, schema.NotFound(id)
	case expected != nil && *expected != task.Version:
		return nil, schema.VersionConflict(*expected, task.Version, task.AppendJSON(nil))
	}
	return task, nil
}

// put makes task the present state in the place of old, unless nothing differs,
// and gives the document of the present state.
func (m *Memory) put(c *schema.Change, old, task *schema.Task) json.RawMessage {
	event := schema.Event{ChangeType: schema.Created, NewStatus: task.Status}
	if task.Status != schema.InProgress {
		task.LeasedBy = nil
	}
	if task.LeasedBy == nil {
		delete(m.leases, task.ID)
	}
	task.Ready = m.ready(task)
	if old != nil {
		previous, changed := schema.AppendPrevious(nil, old, task)
		if !changed {
			return old.AppendJSON(nil)
		}
		event.ChangeType, event.PreviousStatus, event.Previous = schema.Updated, old.Status, previous
		event.PreviousVersion, event.PreviousUpdatedAt = old.Version, old.UpdatedAt
	}
	task.Version, task.UpdatedAt = m.newest()+1, c.At
	event.TaskID, event.Task = task.ID, task.AppendJSON(nil)
	m.tasks[task.ID] = task
	if event.ChangeType == schema.Created {
		m.born[task.ID] = task.Version
	}
	m.record(c, event)
	return event.Task
}

func (m *Memory) remove(c *schema.Change, old *schema.Task) {
	delete(m.tasks, old.ID)
	delete(m.leases, old.ID)
	m.record(c, schema.Event{
		ChangeType: schema.Deleted, TaskID: old.ID, Task: old.AppendJSON(nil), PreviousStatus: old.Status,
	})
}

// record puts an event into the log and, directly after it, those of the tasks
// that it made ready or not ready, by id. These are nobody's own: whoever made the
// change is not told of them in its answer.
func (m *Memory) record(c *schema.Change, e schema.Event) {
	e.Seq, e.Timestamp = m.newest()+1, c.At
	e.Origin, e.Actor, e.Source = c.Origin, c.Actor, c.Source
	m.log = append(m.log, e)
	turn := *c
	turn.Source = 0
	for _, id := range m.dependents(e.TaskID) {
		task := *m.tasks[id]
		m.put(&turn, m.tasks[id], &task)
	}
}

func (m *Memory) ready(task *schema.Task) bool {
	return task.Status == schema.Todo && task.LeasedBy == nil &&
		!slices.ContainsFunc(task.Dependencies, func(id string) bool {
			dependency := m.tasks[id]
			return dependency != nil && dependency.Status != schema.Done
		})
}

// dependents lists the tasks that depend on id, in order.
func (m *Memory) dependents(id string) (ids []string) {
	for _, task := range m.tasks {
		if slices.Contains(task.Dependencies, id) {
			ids = append(ids, task.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// checkDependencies checks those of task; what it depended on before may be gone.
func (m *Memory) checkDependencies(task *schema.Task, before []string) error {
	for _, id := range task.Dependencies {
		if id != task.ID && m.tasks[id] == nil && !slices.Contains(before, id) {
			return schema.UnknownDependency(id)
		}
	}
	if path := m.pathTo(task.ID, task.Dependencies, map[string]bool{}); path != nil {
		return schema.DependencyCycle(append([]string{task.ID}, path...))
	}
	return nil
}

// pathTo gives the way from one of ids along dependencies to target, nil if
// there is none.
func (m *Memory) pathTo(target string, ids []string, seen map[string]bool) []string {
	for _, id := range ids {
		if id == target {
			return []string{id}
		}
		if seen[id] || m.tasks[id] == nil {
			continue
		}
		seen[id] = true
		if path := m.pathTo(target, m.tasks[id].Dependencies, seen); path != nil {
			return append([]string{id}, path...)
		}
	}
	return nil
}
