package storage

import (
	"context"
	"database/sql"

	"github.com/descartes-tasks/descartes/schema"
)

// pageBytes bounds the documents of a page of events that is answered at once;
// each is up to some 130 KiB. heldBytes bounds those of a page of tasks for a
// subscription, which holds it for as long as its peer takes to read, decoded too, and
// eventBytes those of one of events, of which it holds two.
const (
	pageBytes  = 1 << 20
	heldBytes  = 256 << 10
	eventBytes = 128 << 10
)

// Bounds gives the present ends of the journal, all true at one moment.
func (d *DB) Bounds(ctx context.Context) (schema.Bounds, error) {
	b, err := scanBounds(d.read.bounds.QueryRowContext(ctx))
	return b, d.readError(err)
}

func scanBounds(row *sql.Row) (b schema.Bounds, err error) {
	err = row.Scan(&b.Epoch, &b.Newest, &b.Oldest, &b.NewestAt)
	return b, err
}

// Events gives a page of the journal, as emitter.Journal says: fewer than limit
// when their documents have more than 128 KiB.
func (d *DB) Events(ctx context.Context, after, through int64, limit int) ([]schema.Event, error) {
	if through <= after {
		return nil, nil
	}
	limit = int(min(int64(limit), through-after))
	rows, err := d.read.events.QueryContext(ctx, after, through, limit+1)
	events, _, err := readEvents(rows, err, limit, eventBytes)
	switch {
	case err != nil:
		return nil, d.readError(err)
	case len(events) == 0:
		return nil, d.retained(ctx, after)
	case events[0].Seq != after+1: // the journal has no gaps: what is missing was pruned
		return nil, schema.ErrCompacted
	}
	return events, nil
}

// History gives a page of the journal after a place, oldest event first, of one
// task or, for id "", of all: at most limit events, fewer when their documents
// have more than 1 MiB. more says that there are others. The error is
// [schema.ErrCompacted] if the event that follows after was pruned away.
func (d *DB) History(ctx context.Context, id string, after int64, limit int) (events []schema.Event, more bool, err error) {
	var rows *sql.Rows
	if id == "" {
		rows, err = d.read.events.QueryContext(ctx, after, schema.MaxSeq, limit+1)
	} else {
		rows, err = d.read.eventsOf.QueryContext(ctx, id, after, limit+1)
	}
	events, more, err = readEvents(rows, err, limit, pageBytes)
	if err != nil {
		return nil, false, d.readError(err)
	}
	// After reading: what is pruned from now on has been read.
	if err := d.retained(ctx, after); err != nil {
		return nil, false, err
	}
	return events, more, nil
}

// HistoryBefore gives a page of the journal backwards from a place, the event there
// and older ones, newest first, of one task or, for id "", of all: at most limit
// events, fewer when their documents have more than 1 MiB. more says that there are
// older ones.
func (d *DB) HistoryBefore(ctx context.Context, id string, through int64, limit int) (events []schema.Event, more bool, err error) {
	var rows *sql.Rows
	if id == "" {
		rows, err = d.read.before.QueryContext(ctx, through, limit+1)
	} else {
		rows, err = d.read.beforeOf.QueryContext(ctx, id, through, limit+1)
	}
	events, more, err = readEvents(rows, err, limit, pageBytes)
	return events, more, d.readError(err)
}

// retained gives [schema.ErrCompacted] if the event that follows after was pruned
// away.
func (d *DB) retained(ctx context.Context, after int64) error {
	bounds, err := d.Bounds(ctx)
	if err == nil && after+1 < bounds.Oldest {
		err = schema.ErrCompacted
	}
	return err
}

// readEvents reads rows of eventColumns, at most limit of them and about maxBytes,
// and closes them. more says that there are others.
func readEvents(rows *sql.Rows, err error, limit, maxBytes int) (events []schema.Event, more bool, _ error) {
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	var scan eventScan
	events = make([]schema.Event, 0, min(limit, 256))
	for size := 0; rows.Next(); {
		if len(events) == limit || size > maxBytes {
			return events, true, nil
		}
		e, err := scan.event(rows)
		if err != nil {
			return nil, false, err
		}
		size += len(e.Task) + len(e.Previous)
		events = append(events, e)
	}
	return events, false, rows.Err()
}
