package storage

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/descartes-tasks/descartes/schema"
)

// unavailable says, for callers, why SQLite could not use the file.
var unavailable = map[int]string{
	sqlite3.SQLITE_BUSY:     "another process has it locked",
	sqlite3.SQLITE_LOCKED:   "another process has it locked",
	sqlite3.SQLITE_READONLY: "it is read-only",
	sqlite3.SQLITE_IOERR:    "the disk does not work",
	sqlite3.SQLITE_FULL:     "the disk is full",
	sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
	sqlite3.SQLITE_CORRUPT:  "it is damaged",
	sqlite3.SQLITE_NOTADB:   "it is damaged",
	sqlite3.SQLITE_PROTOCOL: "another process has it locked",
	sqlite3.SQLITE_NOLFS:    "it is too large for this disk",
}

// storageError makes of an error of SQLite what callers may read, and keeps the
// whole story inside for the log.
func storageError(err error) error {
	why, known := unavailable[primaryCode(err)]
	if !known {
		return err
	}
	return fmt.Errorf("%w (%w)", schema.StorageUnavailable(why), err)
}

// primaryCode gives the result code of SQLite (https://sqlite.org/rescode.html)
// without its extension, 0 for any other error.
func primaryCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func isBusy(err error) bool { return primaryCode(err) == sqlite3.SQLITE_BUSY }
