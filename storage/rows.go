package storage

import (
	"database/sql"

	"github.com/descartes-tasks/descartes/schema"
)

// eventColumns are the columns of journal, in the order of eventRow and scanEvent.
const eventColumns = `seq, task_id, change_type, task, previous_status, new_status, previous,
	previous_version, previous_updated_at, origin, actor, source, tx_last, timestamp`

// taskRow gives the values of taskColumns, and the id.
func taskRow(t *schema.Task, document []byte) []any {
	return []any{
		t.Title, t.Description, string(t.Status), string(t.Priority), string(t.Complexity), t.AssignedTo,
		string(schema.AppendStrings(nil, t.Dependencies)), string(t.Metadata),
		t.UpdatedAt, t.Version, t.Ready, t.LeasedBy, string(document), t.ID,
	}
}

// eventRow gives the values of eventColumns.
func eventRow(e *schema.Event) []any {
	var previous, version, updatedAt any
	if e.ChangeType == schema.Updated {
		previous, version, updatedAt = string(e.Previous), e.PreviousVersion, e.PreviousUpdatedAt
	}
	return []any{
		e.Seq, e.TaskID, string(e.ChangeType), string(e.Task), orNull(string(e.PreviousStatus)), orNull(string(e.NewStatus)),
		previous, version, updatedAt, string(e.Origin), orNull(e.Actor), e.Source, orNull(e.TxLast), e.Timestamp,
	}
}

func orNull[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}

// scanEvent reads eventColumns.
func scanEvent(rows *sql.Rows) (schema.Event, error) {
	var (
		e                          schema.Event
		task, previous             []byte
		before, after, actor       sql.NullString
		version, updatedAt, txLast sql.NullInt64
	)
	err := rows.Scan(&e.Seq, &e.TaskID, &e.ChangeType, &task, &before, &after, &previous,
		&version, &updatedAt, &e.Origin, &actor, &e.Source, &txLast, &e.Timestamp)
	e.Task, e.Previous = validText(task), validText(previous)
	e.PreviousStatus, e.NewStatus, e.Actor = schema.Status(before.String), schema.Status(after.String), actor.String
	e.PreviousVersion, e.PreviousUpdatedAt, e.TxLast = version.Int64, updatedAt.Int64, txLast.Int64
	return e, err
}
