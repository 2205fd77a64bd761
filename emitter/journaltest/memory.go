package journaltest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

var _ emitter.Journal = (*Memory)(nil)

// Memory is a Journal without a file: a map of tasks and a slice of events. It
// is the model that [Run] compares other Journals with, and a test double for
// whoever works with a Journal. It takes no time and starts no goroutine, so it
// fits into a bubble of testing/synctest.
type Memory struct {
	// BeforeApply, where set, is called first in every Apply, outside of all locks.
	// A test makes Apply wait or fail there. Set before first use.
	BeforeApply func(changes []schema.Change) error

	moved chan struct{}

	mu     sync.Mutex
	tasks  map[string]*schema.Task // as they are now; a Task is replaced, never changed
	log    []schema.Event          // log[i].Seq is i+1; never cut off, see pruned
	pruned int64                   // events up to here are not shown any more
	born   map[string]int64        // Seq of the creation of each task: the order of claims among equals
	leases map[string]schema.Lease // by task; replaced, never changed
	leased int64                   // Num of the newest lease
}

// NewMemory gives an empty journal.
func NewMemory() *Memory {
	return &Memory{
		tasks: map[string]*schema.Task{}, born: map[string]int64{}, leases: map[string]schema.Lease{},
		moved: make(chan struct{}, 1),
	}
}

// Apply makes the changes. When BeforeApply fails or ctx is done, it makes none.
func (m *Memory) Apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	if m.BeforeApply != nil {
		if err := m.BeforeApply(changes); err != nil {
			return nil, nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.log)
	outcomes := make([]schema.Outcome, len(changes))
	for i := range changes {
		outcomes[i] = m.apply(&changes[i])
	}
	return outcomes, slices.Clone(m.log[before:]), nil
}

// Outside makes operations at a time (Unix milliseconds) as another process does
// with plain SQL: rules that need other rows do not hold. Then it gives a token
// to Moved.
func (m *Memory) Outside(at int64, operations ...schema.Operation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change := schema.Change{At: at, Origin: schema.OriginExternal}
	for _, op := range operations {
		old := m.tasks[op.TaskID()]
		switch {
		case op.Op == schema.OpCreate:
			task := op.Create.Task(at)
			m.put(&change, old, &task)
		case old == nil:
		case op.Op == schema.OpUpdate:
			if task, err := op.Update.Apply(old); err == nil {
				m.put(&change, old, task)
			}
		default:
			m.remove(&change, old)
		}
	}
	select {
	case m.moved <- struct{}{}:
	default:
	}
}

// Prune forgets the events with a Seq up to through.
func (m *Memory) Prune(through int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pruned = max(m.pruned, min(through, m.newest()))
}

// Events gives retained events.
func (m *Memory) Events(_ context.Context, after, through int64, limit int) ([]schema.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if after < m.pruned {
		return nil, schema.ErrCompacted
	}
	through = min(through, m.newest(), after+int64(limit))
	if through <= after {
		return nil, nil
	}
	return slices.Clone(m.log[after:through]), nil
}

// TasksAt gives tasks as they were, by playing the log from its beginning.
func (m *Memory) TasksAt(_ context.Context, at int64, after string, limit int) ([]json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at < m.pruned {
		return nil, schema.ErrCompacted
	}
	documents := map[string]json.RawMessage{}
	for _, e := range m.log[:min(at, m.newest())] {
		if e.ChangeType == schema.Deleted {
			delete(documents, e.TaskID)
		} else if e.TaskID > after {
			documents[e.TaskID] = e.Task
		}
	}
	var page []json.RawMessage
	for _, id := range slices.Sorted(maps.Keys(documents)) {
		if len(page) < limit {
			page = append(page, documents[id])
		}
	}
	return page, nil
}

// Bounds gives the present ends. The epoch is always the same.
func (m *Memory) Bounds(context.Context) (schema.Bounds, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	bounds := schema.Bounds{Epoch: "memory", Oldest: m.pruned + 1, Newest: m.newest()}
	if bounds.Oldest <= bounds.Newest {
		bounds.NewestAt = m.log[bounds.Newest-1].Timestamp
	}
	return bounds, nil
}

// Moved gives a token after Outside.
func (m *Memory) Moved() <-chan struct{} { return m.moved }
