package storage

import (
	"database/sql/driver"

	"github.com/descartes-tasks/descartes/schema"
)

// eventColumns are the columns of journal, in the order of appendEvent and eventScan.
const eventColumns = `seq, task_id, change_type, task, previous_status, new_status, previous,
	previous_version, previous_updated_at, origin, actor, source, tx_last, timestamp`

// appendTask appends the values of taskColumns, and the id.
func appendTask(row []driver.Value, t *schema.Task, document []byte) []driver.Value {
	return append(row,
		t.Title, nullable(t.Description), string(t.Status), string(t.Priority), string(t.Complexity), nullable(t.AssignedTo),
		string(schema.AppendStrings(nil, t.Dependencies)), asText(t.Metadata),
		t.UpdatedAt, t.Version, t.Ready, nullable(t.LeasedBy), asText(document), t.ID,
	)
}

// appendEvent appends the values of eventColumns.
func appendEvent(row []driver.Value, e *schema.Event) []driver.Value {
	var previous, version, updatedAt any
	if e.ChangeType == schema.Updated {
		previous, version, updatedAt = asText(e.Previous), e.PreviousVersion, e.PreviousUpdatedAt
	}
	return append(row,
		e.Seq, e.TaskID, string(e.ChangeType), asText(e.Task), orNull(string(e.PreviousStatus)), orNull(string(e.NewStatus)),
		previous, version, updatedAt, string(e.Origin), orNull(e.Actor), e.Source, orNull(e.TxLast), e.Timestamp,
	)
}

func nullable(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func orNull[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}
