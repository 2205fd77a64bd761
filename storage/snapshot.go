package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"slices"

	"github.com/descartes-tasks/descartes/schema"
)

// TasksAt gives a page of tasks as they were at a journal place, as
// emitter.Journal says: fewer than limit too when they have more than 256 KiB.
// Nothing is held between two pages.
func (d *DB) TasksAt(ctx context.Context, at int64, after string, limit int) ([]json.RawMessage, error) {
	for {
		var p past
		err := d.view(ctx, func(tx *sql.Tx) (err error) {
			p, err = d.pastOf(ctx, tx, at, after, limit)
			return err
		})
		if err != nil || len(p.documents) > 0 || p.complete {
			return p.page(limit), err
		}
		after = p.last // all that is up to there was made since
	}
}

// past is the tasks that there were at a journal place, in a range of ids. A
// state of the past is the present one unless the task has changed since: then it
// is what was before the first of these changes.
type past struct {
	documents map[string]json.RawMessage // by id
	complete  bool                       // the range has no end
	last      string                     // else the last id of the range, whether there is a task or not
}

func (d *DB) pastOf(ctx context.Context, tx *sql.Tx, at int64, after string, limit int) (p past, err error) {
	bounds, err := scanBounds(tx.StmtContext(ctx, d.read.bounds).QueryRowContext(ctx))
	switch {
	case err != nil:
		return p, err
	case at+1 < bounds.Oldest:
		return p, schema.ErrCompacted
	}
	rows, err := tx.StmtContext(ctx, d.read.tasksAfter).QueryContext(ctx, after, limit+1)
	if err == nil {
		err = p.present(rows, limit)
	}
	if err != nil || at >= bounds.Newest {
		return p, err
	}
	through := any(p.last)
	if p.complete {
		through = []byte{} // SQLite orders a blob after every text
	}
	rows, err = tx.StmtContext(ctx, d.read.firstSince).QueryContext(ctx, after, through, at, limit+1)
	changes, more, err := readEvents(rows, err, limit, heldBytes)
	if err != nil {
		return p, err
	}
	return p, p.undo(changes, more)
}

// present fills p with tasks as they are now, and closes rows.
func (p *past) present(rows *sql.Rows, limit int) error {
	defer rows.Close()
	p.documents = make(map[string]json.RawMessage)
	for size := 0; rows.Next(); {
		var id string
		var document []byte
		if err := rows.Scan(&id, &document); err != nil {
			return err
		}
		size += len(document)
		if n := len(p.documents); n == limit || n > 0 && size > heldBytes {
			return nil
		}
		p.documents[id], p.last = validText(document), id
	}
	p.complete = true
	return rows.Err()
}

// undo takes changes back: of each task in the range of p the first one, ordered
// by id. more says that there are others: then the range ends with these.
func (p *past) undo(changes []schema.Event, more bool) (err error) {
	for i := range changes {
		e := &changes[i]
		if e.ChangeType == schema.Created {
			delete(p.documents, e.TaskID)
		} else if p.documents[e.TaskID], err = before(e); err != nil {
			return err
		}
	}
	if more {
		p.complete, p.last = false, changes[len(changes)-1].TaskID
		maps.DeleteFunc(p.documents, func(id string, _ json.RawMessage) bool { return id > p.last })
	}
	return nil
}

// page gives the first tasks of p, ordered by id.
func (p *past) page(limit int) []json.RawMessage {
	ids := slices.Sorted(maps.Keys(p.documents))
	page := make([]json.RawMessage, 0, limit)
	for _, id := range ids[:min(limit, len(ids))] {
		page = append(page, p.documents[id])
	}
	return page
}

// before gives the document of a task before it was updated or deleted.
func before(e *schema.Event) (json.RawMessage, error) {
	if e.ChangeType == schema.Deleted {
		return e.Task, nil // the last state
	}
	task, err := schema.ParseTask(e.Task)
	if err != nil {
		return nil, err
	}
	old, err := task.Before(e.Previous)
	if err != nil {
		return nil, err
	}
	old.Version, old.UpdatedAt = e.PreviousVersion, e.PreviousUpdatedAt
	return old.AppendJSON(nil), nil
}
