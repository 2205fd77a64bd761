package storage

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/descartes-tasks/descartes/schema"
)

// List gives a page of the tasks that match, and the journal place at which that
// is true. params must be normalized. A page ends early rather than that its
// documents have more than maxBytes, but it has at least one task if there is
// any. NextPageToken is nil exactly for the last page. The error is a
// [schema.Error] with code [schema.CodeInvalidParams] if the page token was not
// given for this order.
//
// A page is found by the place where the one before ended: it costs the same
// wherever it is, and what is written between two pages makes no task that was
// there all the time appear twice or not at all, unless it moves in the order.
func (d *DB) List(ctx context.Context, params schema.ListParams, maxBytes int) (schema.ListResult, error) {
	l := listing{
		filter: params.Filter, order: orderingOf(*params.Order),
		limit: int(*params.Limit), maxBytes: maxBytes,
		result: schema.ListResult{Tasks: make([]json.RawMessage, 0, min(*params.Limit, 100))},
	}
	if params.PageToken != nil {
		var err error
		if l.after, err = l.order.place(*params.PageToken); err != nil {
			return schema.ListResult{}, err
		}
	}
	if err := d.prepareList(ctx, &l); err != nil {
		return schema.ListResult{}, d.readError(err)
	}
	err := d.view(ctx, func(tx *sql.Tx) error {
		var cursor schema.Cursor
		var indexed, oldest int64
		err := tx.StmtContext(ctx, d.read.state).QueryRowContext(ctx).Scan(&cursor.Epoch, &cursor.Seq, &indexed, &oldest)
		if err != nil {
			return err
		}
		l.result.Cursor = cursor.String()
		if err := l.search(ctx, tx.StmtContext(ctx, d.read.candidates), indexed, oldest > indexed+1); err != nil {
			return err
		}
		rows, err := l.run(ctx, tx)
		if err != nil {
			return err
		}
		return l.read(rows)
	})
	return l.result, err
}

// prepareList gets the statement of l if it is already known what that looks like. For
// a text that depends on how many tasks can have its words.
func (d *DB) prepareList(ctx context.Context, l *listing) (err error) {
	if l.filter.Text == nil {
		query, _ := l.query()
		l.prepared, err = d.shapes.get(ctx, d.readers, query)
	}
	return err
}

// run begins to read what the page consists of.
func (l *listing) run(ctx context.Context, tx *sql.Tx) (*sql.Rows, error) {
	query, args := l.query()
	if l.prepared == nil {
		return tx.QueryContext(ctx, query, args...)
	}
	return tx.StmtContext(ctx, l.prepared).QueryContext(ctx, args...)
}

// listing is one page of a list in the making.
type listing struct {
	filter   *schema.Filter
	order    ordering
	after    *place // where the page before ended, nil for the first
	limit    int    // tasks
	maxBytes int    // of their documents

	text       bool     // the filter has words: each task is checked in Go
	candidates []string // ids of all tasks that can have the words; nil: there are many

	prepared *sql.Stmt // nil: it is to be prepared for this page alone

	last   place // of the last task in result
	result schema.ListResult
}

// read fills the page, and looks whether there is one more task.
func (l *listing) read(rows *sql.Rows) error {
	defer rows.Close()
	for size := 0; rows.Next(); {
		var at place
		var text string
		if err := rows.Scan(&at.key, &at.id, &text); err != nil {
			return err
		}
		document := validText(bytesOf(text))
		if matches, err := l.matches(document); err != nil {
			return err
		} else if !matches {
			continue
		}
		size += len(document)
		if n := len(l.result.Tasks); n == l.limit || n > 0 && size > l.maxBytes {
			l.result.NextPageToken = new(l.order.token(l.last))
			return nil
		}
		l.result.Tasks, l.last = append(l.result.Tasks, document), at
	}
	return rows.Err()
}

// matches tells whether the text of the filter, the one member that SQL does not
// decide, matches a document.
func (l *listing) matches(document []byte) (bool, error) {
	if !l.text {
		return true, nil
	}
	task, err := schema.ParseTask(document)
	if err != nil {
		return false, err
	}
	return l.filter.Match(task), nil
}
