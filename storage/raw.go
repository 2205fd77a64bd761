package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"unsafe"
)

// rawStatement is a statement of every write, or every commit, on the writer's
// connection, past database/sql: what that does for fifteen values costs a tenth of a
// write. The connection is never given back (DB.writer), and has one user at a time
// (DB.writing), which is what a driver asks for.
type rawStatement struct {
	statement preparedStatement   // nil: closed
	row       []driver.Value      // of the present call, used again
	args      []driver.NamedValue // used again
}

// preparedStatement is what the driver gives.
type preparedStatement interface {
	driver.Stmt
	driver.StmtExecContext
}

// rawText is where a rawStatement goes, and its text.
type rawText struct {
	at   **rawStatement
	text string
}

func prepareRaw(ctx context.Context, on *sql.Conn, table []rawText) error {
	return on.Raw(func(c any) error {
		for _, s := range table {
			prepared, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, s.text)
			if err != nil {
				return fmt.Errorf("prepare %q: %w", s.text, err)
			}
			*s.at = &rawStatement{statement: prepared.(preparedStatement)}
		}
		return nil
	})
}

// exec runs the statement with the values of a row.
func (s *rawStatement) exec(row []driver.Value) error {
	if s.statement == nil {
		return sql.ErrConnDone // the driver would read memory that it has given back
	}
	for i := range row {
		if i == len(s.args) {
			s.args = append(s.args, driver.NamedValue{Ordinal: i + 1})
		}
		s.args[i].Value = row[i]
	}
	_, err := s.statement.ExecContext(context.Background(), s.args)
	for i := range row {
		s.args[i].Value = nil // or it would be kept until the next row
	}
	clear(row)
	s.row = row[:0]
	return err
}

// Close closes the statement.
func (s *rawStatement) Close() error {
	defer func() { s.statement = nil }()
	return s.statement.Close()
}

// asText gives bytes as a string without copying them. SQLite makes its own copy when the
// statement runs: they must not change before.
func asText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
