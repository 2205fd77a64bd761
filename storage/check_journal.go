package storage

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/descartes-tasks/descartes/schema"
)

// checkSeqs checks that the journal has no gap, that it ends where journal_state
// says, and that transactions are whole.
func (c *checker) checkSeqs(ctx context.Context) error {
	last := c.oldest - 1
	var open int64 // seq at which the transaction that is being read ends, 0 for none
	err := c.each(ctx, func(row *sql.Rows) error {
		c.step()
		var seq int64
		var txLast sql.NullInt64
		if err := row.Scan(&seq, &txLast); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		switch {
		case seq == last+2:
			c.found("journal", last+1, "the event is missing")
		case seq > last+2:
			c.found("journal", fmt.Sprintf("%d-%d", last+1, seq-1), "the events are missing")
		}
		last = seq
		switch {
		case txLast.Valid && txLast.Int64 < seq:
			c.found("transaction", seq, "it ends at %d, before this event", txLast.Int64)
		case open != 0 && txLast.Int64 != open:
			c.found("transaction", seq, "the one before it ends at %d, this event does not", open)
		}
		if open = txLast.Int64; open <= seq {
			open = 0
		}
		return nil
	}, `SELECT seq, tx_last FROM journal ORDER BY seq`)
	if err != nil {
		return err
	}
	if open != 0 {
		c.found("transaction", last, "it ends at %d, which is not there", open)
	}
	if c.report.Events > 0 && last != c.report.Seq {
		c.found("journal", last, "is the newest event, but journal_state has last_seq %d", c.report.Seq)
	}
	if c.indexed < 0 || c.indexed > c.report.Seq {
		c.found("search", "", "it has read up to %d, of a journal that ends at %d", c.indexed, c.report.Seq)
	}
	return nil
}

// history is what the events of one task have told so far.
type history struct {
	id   string
	last *schema.Event // nil before the first
	task *schema.Task  // after that event
}

// checkHistories checks the events of each task: each can be read, tells of itself
// what its document says, and begins where the one before it has ended.
func (c *checker) checkHistories(ctx context.Context) error {
	present, err := c.conn.PrepareContext(ctx, `SELECT EXISTS (SELECT 1 FROM tasks WHERE id = ?)`)
	if err != nil {
		return err
	}
	defer present.Close()
	var h history
	var scan eventScan
	err = c.each(ctx, func(row *sql.Rows) error {
		c.step()
		e, err := scan.event(row)
		if err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		if e.TaskID != h.id {
			if err := c.endHistory(&h, present); err != nil {
				return err
			}
			h = history{id: e.TaskID}
		}
		c.checkEvent(&h, &e)
		return nil
	}, `SELECT `+eventColumns+` FROM journal ORDER BY task_id, seq`)
	if err != nil {
		return err
	}
	return c.endHistory(&h, present)
}

// endHistory checks that a task whose last event is no deletion is there. Whether
// one that is there fits its last event is checked with the tasks.
func (c *checker) endHistory(h *history, present *sql.Stmt) error {
	if h.last == nil || h.last.ChangeType == schema.Deleted {
		return nil
	}
	var there bool
	if err := present.QueryRow(h.id).Scan(&there); err != nil {
		return err
	}
	if !there {
		c.found("task", h.id, "is missing: its last event, %d, is not a deletion", h.last.Seq)
	}
	return nil
}

// checkEvent checks an event by itself and against the one before it.
func (c *checker) checkEvent(h *history, e *schema.Event) {
	wrong := func(format string, args ...any) {
		c.found("history", e.Seq, "of task "+e.TaskID+": "+format, args...)
	}
	task, err := schema.ParseTask(e.Task)
	before := h.task
	if err == nil {
		h.task = task
	} else {
		wrong("the task cannot be read as JSON")
	}
	last := h.last
	h.last = e
	if err != nil {
		return
	}
	if task.ID != e.TaskID {
		wrong("it holds the task %s", task.ID)
	}
	checkKind(e, task, wrong)
	switch {
	case last == nil && e.ChangeType != schema.Created && c.oldest == 1:
		wrong("the first event is %s", e.ChangeType)
	case last == nil && e.ChangeType == schema.Updated && e.PreviousVersion >= c.oldest:
		wrong("the event before it, %d, is missing", e.PreviousVersion)
	case last == nil:
	case (last.ChangeType == schema.Deleted) != (e.ChangeType == schema.Created):
		wrong("%s comes after %s", e.ChangeType, last.ChangeType)
	case e.ChangeType == schema.Created || before == nil:
	default:
		checkStep(before, task, e, wrong)
	}
}

// checkKind checks what an event tells of itself against its task.
func checkKind(e *schema.Event, task *schema.Task, wrong func(string, ...any)) {
	previous, next := e.PreviousStatus, task.Status
	switch e.ChangeType {
	case schema.Created:
		previous = schema.None
	case schema.Deleted:
		previous, next = task.Status, schema.None
	}
	if e.PreviousStatus != previous || e.NewStatus != next {
		wrong("it goes from status %q to %q, its task from %q to %q", e.PreviousStatus, e.NewStatus, previous, next)
	}
	if e.ChangeType == schema.Deleted {
		return
	}
	if task.Version != e.Seq {
		wrong("its task has version %d", task.Version)
	}
	if task.UpdatedAt != e.Timestamp {
		wrong("its task was updated at %d, the event happened at %d", task.UpdatedAt, e.Timestamp)
	}
}

// checkStep checks that an event begins where the one before it has ended: with the
// old values that it holds, its task is that of the one before.
func checkStep(before, task *schema.Task, e *schema.Event, wrong func(string, ...any)) {
	old := task
	if e.ChangeType == schema.Updated {
		restored, err := task.Before(e.Previous)
		if err != nil {
			wrong("previous cannot be read as JSON")
			return
		}
		restored.Version, restored.UpdatedAt = e.PreviousVersion, e.PreviousUpdatedAt
		old = restored
	}
	if string(old.AppendJSON(nil)) != string(before.AppendJSON(nil)) {
		wrong("it does not begin where event %d has ended", before.Version)
	}
	if e.ChangeType == schema.Updated && e.PreviousStatus != before.Status {
		wrong("previous_status is %q, was %q", e.PreviousStatus, before.Status)
	}
}
