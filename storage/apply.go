package storage

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/descartes-tasks/descartes/schema"
)

// transaction is one group of changes on its way into the file.
type transaction struct {
	statements
	conn    *sql.Conn // the writer's
	careful bool      // every change has a savepoint
	follows bool      // the log of a cluster: every machine must do the same
	seq     int64     // newest seq given
	events  []schema.Event
	change  *schema.Change // being applied
	wrote   bool           // the change has written something
	lease   *schema.Lease  // that the change let begin, or last
	renewed bool           // a lease was written: worth a commit without an event
	open    map[string]int // what tasks wait for: see turn
}

// beginWriting tells the triggers, where they are asked, that the daemon writes, and finds
// the newest seq. UPDATE … RETURNING would be both at once, but copies pages like a
// savepoint.
func (t *transaction) beginWriting() error {
	if err := t.start.exec(nil); err != nil {
		return err
	}
	return t.lastSeq.QueryRow().Scan(&t.seq)
}

// apply makes one change, or leaves nothing of it. The error is one of the whole
// group: SQLite could not use the file, and may have given up the transaction, or the
// change failed halfway (errHalfway) and only a rollback takes its half back.
//
// One operation asks for everything that could refuse it before it writes, so it needs
// no savepoint: with one open, SQLite copies every page before it is changed.
func (t *transaction) apply(c *schema.Change) (schema.Outcome, error) {
	t.change, t.lease, t.wrote = c, nil, false
	if c.Transaction || t.careful {
		return t.applyAtomically(c)
	}
	results, err := t.operations(c)
	switch {
	case err == nil:
		return schema.Outcome{Results: results, Last: t.seq, Lease: t.lease}, nil
	case !t.concernsOneChange(err):
		return schema.Outcome{}, err
	case t.wrote:
		return schema.Outcome{}, errHalfway
	}
	return schema.Outcome{Last: t.seq, Err: err}, nil
}

// applyAtomically is apply with a savepoint: for a change of several operations, of which
// a later one may well be refused when an earlier one is written.
func (t *transaction) applyAtomically(c *schema.Change) (schema.Outcome, error) {
	if _, err := t.savepoint.Exec(); err != nil {
		return schema.Outcome{}, err
	}
	first, made, renewed := t.seq, len(t.events), t.renewed
	results, err := t.operations(c)
	if err != nil {
		if !t.concernsOneChange(err) {
			return schema.Outcome{}, err
		}
		if _, err := t.rollbackSavepoint.Exec(); err != nil {
			return schema.Outcome{}, err
		}
		t.seq, t.events, t.renewed, t.open = first, t.events[:made], renewed, nil
		results, t.lease = nil, nil
	}
	if _, err := t.releaseSavepoint.Exec(); err != nil {
		return schema.Outcome{}, err
	}
	return schema.Outcome{Results: results, Last: t.seq, Lease: t.lease, Err: err}, nil
}

// concernsOneChange tells an error that says nothing about the changes beside it: a rule,
// or what is wrong in one row. In a cluster the rows are the same everywhere, but what is
// wrong in one may be wrong in this file alone: then only a rule is a verdict, and anything
// else that one machine refuses would make it differ from the others.
func (t *transaction) concernsOneChange(err error) bool {
	code := primaryCode(err)
	if t.follows && code == 0 {
		_, rule := errors.AsType[*schema.Error](err)
		return rule
	}
	return code == 0 || code == sqlite3.SQLITE_CONSTRAINT
}

// errHalfway is of a change that had written something when it failed.
var errHalfway = errors.New("failed halfway")

// exec runs a statement that writes.
func (t *transaction) exec(statement *sql.Stmt, args ...any) error {
	t.wrote = true
	_, err := statement.Exec(args...)
	return err
}

// write runs a statement that writes a row.
func (t *transaction) write(statement *rawStatement, row []driver.Value) error {
	t.wrote = true
	return statement.exec(row)
}

// operations makes the operations of a change in their order.
func (t *transaction) operations(c *schema.Change) ([]json.RawMessage, error) {
	first, made := t.seq, len(t.events)
	results := make([]json.RawMessage, len(c.Operations))
	var size int64
	for i := range c.Operations {
		var err error
		if results[i], err = t.operation(&c.Operations[i]); err != nil {
			if coded, ok := errors.AsType[*schema.Error](err); ok && c.Transaction {
				err = coded.AtIndex(i)
			}
			return nil, err
		}
		size += int64(len(results[i]))
	}
	if c.Transaction && c.MaxResults > 0 && size > c.MaxResults {
		return nil, schema.LimitExceeded("answer", c.MaxResults)
	}
	if !c.Transaction || t.seq == first {
		return results, nil
	}
	for i := range t.events[made:] {
		t.events[made+i].TxLast = t.seq
	}
	return results, t.exec(t.endTransaction, t.seq, first)
}

func (t *transaction) operation(o *schema.Operation) (json.RawMessage, error) {
	switch o.Op {
	case schema.OpCreate:
		return t.create(o.Create, o.FreshID && !t.follows)
	case schema.OpUpdate:
		return t.update(o.Update)
	case schema.OpDelete:
		return t.delete(o.Delete)
	case schema.OpClaim:
		return t.claim(o.Claim)
	case schema.OpRenew:
		return t.renew(o.Renew)
	case schema.OpRelease:
		return t.release(o.Release)
	case schema.OpExpire:
		return t.expire(o.Expire)
	}
	return nil, fmt.Errorf("unknown operation %q", o.Op)
}

func (t *transaction) create(draft *schema.Draft, fresh bool) (json.RawMessage, error) {
	task := draft.Task(t.change.At)
	awaited := false // others depend on it already: an edge outlives what another process deletes
	if !fresh {
		var err error
		if awaited, err = t.mustNotExist(task.ID); err != nil {
			return nil, err
		}
	}
	if err := t.depend(&task, nil); err != nil {
		return nil, err
	}
	var err error
	if task.Ready, err = t.isReady(&task); err != nil {
		return nil, err
	}
	t.seq++
	task.Version = t.seq
	document := task.Document()
	if err := t.write(t.insertTask, append(appendTask(t.insertTask.row, &task, document), task.CreatedAt)); err != nil {
		return nil, err
	}
	if err := t.journal(schema.Event{
		ChangeType: schema.Created, TaskID: task.ID, Task: document, NewStatus: task.Status, Source: t.change.Source,
	}); err != nil {
		return nil, err
	}
	if !awaited || task.Status == schema.Done {
		return document, nil
	}
	return document, t.turn(task.ID, +1)
}

func (t *transaction) update(p *schema.UpdateParams) (json.RawMessage, error) {
	if p.LeaseToken != nil {
		if _, _, _, err := t.held(p.ID, *p.LeaseToken); err != nil {
			return nil, err
		}
	}
	document, old, err := t.expect(p.ID, p.ExpectedVersion)
	if err != nil {
		return nil, err
	}
	task, err := p.Patch.Apply(old)
	if err != nil {
		return nil, err
	}
	return t.move(document, old, task)
}

// move brings a task from its old state to a new one, whose rules that need other
// tasks are checked, and gives the new document.
func (t *transaction) move(document json.RawMessage, old, task *schema.Task) (json.RawMessage, error) {
	err := t.depend(task, old)
	if err != nil {
		return nil, err
	}
	if task.Status != schema.InProgress {
		task.LeasedBy = nil // a claim ends with the work
	}
	if task.Ready, err = t.isReady(task); err != nil {
		return nil, err
	}
	if document, err = t.store(document, old, task, t.change.Source); err != nil {
		return nil, err
	}
	if old.LeasedBy != nil && task.LeasedBy == nil {
		if err := t.endLease(task.ID); err != nil {
			return nil, err
		}
	}
	switch was, is := old.Status == schema.Done, task.Status == schema.Done; {
	case !was && is:
		err = t.turn(task.ID, -1)
	case was && !is:
		err = t.turn(task.ID, +1)
	}
	return document, err
}

func (t *transaction) delete(p *schema.DeleteParams) (json.RawMessage, error) {
	document, old, err := t.expect(p.ID, p.ExpectedVersion)
	if err != nil {
		return nil, err
	}
	dependents, err := texts(t.dependentsOf.Query(p.ID))
	if err != nil {
		return nil, err
	}
	if len(dependents) > 0 {
		return nil, schema.HasDependents(p.ID, dependents)
	}
	if err := t.exec(t.deleteTask, p.ID); err != nil {
		return nil, err
	}
	if err := t.exec(t.deleteEdges, p.ID); err != nil {
		return nil, err
	}
	if old.LeasedBy != nil {
		if err := t.endLease(p.ID); err != nil {
			return nil, err
		}
	}
	delete(t.open, p.ID)
	t.seq++
	result := strconv.AppendInt(append(append([]byte(`{"id":"`), p.ID...), `","version":`...), t.seq, 10)
	return append(result, '}'), t.journal(schema.Event{
		ChangeType: schema.Deleted, TaskID: p.ID, Task: document, PreviousStatus: old.Status, Source: t.change.Source,
	})
}

// store writes the new state of a task, and its event, in place of the old one. It
// gives the new document, or the old one where nothing differs.
func (t *transaction) store(document json.RawMessage, old, task *schema.Task, source int64) (json.RawMessage, error) {
	previous, changed := schema.AppendPrevious(nil, old, task)
	if !changed {
		return document, nil
	}
	t.seq++
	task.Version, task.UpdatedAt = t.seq, t.change.At
	document = task.Document()
	if err := t.write(t.updateTask, appendTask(t.updateTask.row, task, document)); err != nil {
		return nil, err
	}
	return document, t.journal(schema.Event{
		ChangeType: schema.Updated, TaskID: task.ID, Task: document, Previous: previous,
		PreviousStatus: old.Status, NewStatus: task.Status,
		PreviousVersion: old.Version, PreviousUpdatedAt: old.UpdatedAt, Source: source,
	})
}

// journal writes an event at the newest seq.
func (t *transaction) journal(e schema.Event) error {
	e.Seq, e.Origin, e.Actor, e.Timestamp = t.seq, t.change.Origin, t.change.Actor, t.change.At
	t.events = append(t.events, e)
	return t.write(t.insertEvent, appendEvent(t.insertEvent.row, &e))
}

// find gives the document of a task, nil if there is none.
func (t *transaction) find(id string) (json.RawMessage, error) {
	var document []byte
	err := t.document.QueryRow(id).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return validText(document), err
}

// expect gives a task that must be there, at the expected version if there is one.
func (t *transaction) expect(id string, version *int64) (json.RawMessage, *schema.Task, error) {
	document, err := t.find(id)
	if err != nil {
		return nil, nil, err
	}
	if document == nil {
		return nil, nil, schema.NotFound(id)
	}
	task, err := schema.ParseTask(document)
	if err != nil {
		return nil, nil, err
	}
	if version != nil && *version != task.Version {
		return nil, nil, schema.VersionConflict(*version, task.Version, document)
	}
	return document, task, nil
}
