package storage

import (
	"database/sql"
	"fmt"
	"unsafe"

	"github.com/descartes-tasks/descartes/schema"
)

// eventScan reads rows of eventColumns, one after the other. It takes the values as
// the driver gives them: to have each converted by package database/sql would take
// as long again as to read them.
type eventScan struct {
	values [14]any
	into   []any // pointers to values
	column int   // that is next
	err    error // of a value of a wrong type
}

// event gives the event of the row that rows is at.
func (s *eventScan) event(rows *sql.Rows) (e schema.Event, err error) {
	if s.into == nil {
		for i := range s.values {
			s.into = append(s.into, &s.values[i])
		}
	}
	if err := rows.Scan(s.into...); err != nil {
		return e, err
	}
	s.column, s.err = 0, nil
	e.Seq = s.integer()
	e.TaskID = s.text()
	e.ChangeType = schema.ChangeType(s.text())
	e.Task = validText(bytesOf(s.text()))
	e.PreviousStatus = schema.Status(s.text())
	e.NewStatus = schema.Status(s.text())
	e.Previous = validText(bytesOf(s.text()))
	e.PreviousVersion = s.integer()
	e.PreviousUpdatedAt = s.integer()
	e.Origin = schema.Origin(s.text())
	e.Actor = s.text()
	e.Source = s.integer()
	e.TxLast = s.integer()
	e.Timestamp = s.integer()
	return e, s.err
}

// next gives the next value, and forgets it.
func (s *eventScan) next() (value any) {
	value, s.values[s.column] = s.values[s.column], nil
	s.column++
	return value
}

// text gives the next column, "" for NULL.
func (s *eventScan) text() string {
	switch value := s.next().(type) {
	case string:
		return value
	case []byte:
		return string(value)
	case nil:
		return ""
	default:
		return s.wrong(value)
	}
}

// integer gives the next column, 0 for NULL.
func (s *eventScan) integer() int64 {
	switch value := s.next().(type) {
	case int64:
		return value
	case nil:
		return 0
	default:
		s.wrong(value)
		return 0
	}
}

// wrong notes a value that another program has stored.
func (s *eventScan) wrong(value any) string {
	s.err = fmt.Errorf("column %d of a row of the journal has a value of type %T", s.column, value)
	return ""
}

// bytesOf gives text as bytes without a copy, nil if it is empty. They must not be
// changed.
func bytesOf(text string) []byte {
	if text == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(text), len(text))
}
