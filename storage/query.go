package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/descartes-tasks/descartes/schema"
)

// queries are the statements of the read-only connections. Lists have many
// shapes: select.go writes theirs.
type queries struct {
	bounds, events, eventsOf *sql.Stmt
	before, beforeOf         *sql.Stmt
	tasksAfter, firstSince   *sql.Stmt
	document, state          *sql.Stmt
	candidates               *sql.Stmt
	counts                   *sql.Stmt
	tokens, leases           *sql.Stmt
}

// What reads the journal backwards, all of it and that of one task.
const (
	selectBefore   = `SELECT ` + eventColumns + ` FROM journal WHERE seq <= ? ORDER BY seq DESC LIMIT ?`
	selectBeforeOf = `SELECT ` + eventColumns + ` FROM journal WHERE task_id = ? AND seq <= ? ORDER BY seq DESC LIMIT ?`
)

func (q *queries) table() []statement {
	return []statement{
		{&q.bounds, `SELECT epoch, last_seq, coalesce((SELECT min(seq) FROM journal), last_seq + 1),
			coalesce((SELECT timestamp FROM journal WHERE seq = last_seq), 0) FROM journal_state`},
		{&q.events, `SELECT ` + eventColumns + ` FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`},
		{&q.eventsOf, `SELECT ` + eventColumns + ` FROM journal WHERE task_id = ? AND seq > ? ORDER BY seq LIMIT ?`},
		{&q.before, selectBefore},
		{&q.beforeOf, selectBeforeOf},

		{&q.tasksAfter, `SELECT id, document FROM tasks WHERE id > ? ORDER BY id LIMIT ?`},
		// Of each task between two ids the first event after a place. But for these
		// events this reads only the index of the journal by task.
		{&q.firstSince, `SELECT ` + eventColumns + ` FROM journal WHERE seq IN (
			SELECT min(seq) FROM journal WHERE task_id > ? AND task_id <= ? AND +seq > ?
			GROUP BY task_id ORDER BY task_id LIMIT ?) ORDER BY task_id`},

		{&q.document, `SELECT document FROM tasks WHERE id = ?`},
		{&q.state, `SELECT epoch, last_seq, indexed, coalesce((SELECT min(seq) FROM journal), last_seq + 1) FROM journal_state`},
		{&q.candidates, selectCandidates},
		// An index that begins with the status holds all that this reads.
		{&q.counts, `SELECT status, count(*) FROM tasks GROUP BY status`},
		{&q.tokens, selectTokens},
		{&q.leases, `SELECT ` + leaseColumns + `, EXISTS (SELECT 1 FROM tasks WHERE id = task_id AND leased_by IS NOT NULL)
			FROM leases WHERE num > ? ORDER BY num`},
	}
}

// view runs queries that see the file at one place.
func (d *DB) view(ctx context.Context, run func(*sql.Tx) error) error {
	tx, err := d.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return d.readError(err)
	}
	defer func() { _ = tx.Rollback() }() // there is nothing to commit
	return d.readError(run(tx))
}

// Get gives the document of a task. The error is a [schema.Error] with code
// [schema.CodeTaskNotFound] if there is none with this id.
func (d *DB) Get(ctx context.Context, id string) (json.RawMessage, error) {
	var document []byte
	err := d.read.document.QueryRowContext(ctx, id).Scan(&document)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, schema.NotFound(id)
	case err != nil:
		return nil, d.readError(err)
	}
	return validText(document), nil
}

// Stats gives figures of the file.
func (d *DB) Stats(ctx context.Context) (schema.StoreStats, error) {
	stats := schema.StoreStats{Tasks: make(map[schema.Status]int64), Bytes: d.fileBytes()}
	for _, status := range schema.Statuses() {
		stats.Tasks[status] = 0
	}
	bounds, err := d.Bounds(ctx)
	if err != nil {
		return stats, err
	}
	stats.Events = bounds.Newest - bounds.Oldest + 1
	rows, err := d.read.counts.QueryContext(ctx)
	if err != nil {
		return stats, d.readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var status schema.Status
		var count int64
		if err := rows.Scan(&status, &count); err != nil {
			return stats, d.readError(err)
		}
		stats.Tasks[status] = count
	}
	return stats, d.readError(rows.Err())
}
