package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"runtime"

	"modernc.org/sqlite"
)

// openReaders opens the read-only connections, all of them now: later there may be
// no file descriptor left, or another file in the place of this one.
func openReaders(ctx context.Context, path string, opened *files) (*sql.DB, error) {
	// No mmap_size: a file that is cut off under a mapping ends the process (SIGBUS).
	connector, err := sqlite.NewConnector(dsn(path, "busy_timeout(5000)", "query_only(1)",
		"cache_size(-32768)") + "&mode=ro")
	if err != nil {
		return nil, err
	}
	readers := sql.OpenDB(samePlace{connector, opened})
	connections := max(2, runtime.GOMAXPROCS(0))
	readers.SetMaxOpenConns(connections)
	readers.SetMaxIdleConns(connections)
	held := make([]*sql.Conn, connections)
	for i := range held {
		var tables int
		if held[i], err = readers.Conn(ctx); err == nil {
			// SQLite opens the log and its index when it reads for the first time.
			err = held[i].QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables)
		}
		if err != nil {
			break
		}
	}
	for _, conn := range held {
		if conn != nil {
			conn.Close() // back into the pool
		}
	}
	return readers, err
}

// samePlace connects to a file only as long as it is the one that was opened.
type samePlace struct {
	driver.Connector
	opened *files
}

// Connect implements driver.Connector.
func (c samePlace) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.opened.inPlace(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
