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
	sqlite3.SQLITE_IOERR:    "reading or writing it failed",
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
	if _, ok := errors.AsType[*schema.Error](err); ok {
		return err
	}
	if lost, ok := errors.AsType[*lostError](err); ok {
		return fmt.Errorf("%w (%w)", schema.StorageUnavailable(lost.why), err)
	}
	if why := whyUnavailable(err); why != "" {
		return fmt.Errorf("%w (%w)", schema.StorageUnavailable(why), err)
	}
	return err
}

// whyUnavailable is "" for an error that says nothing about the file.
func whyUnavailable(err error) string {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case sqlite3.SQLITE_IOERR_SHMSIZE: // no room for the index of the log
			return unavailable[sqlite3.SQLITE_FULL]
		case sqlite3.SQLITE_READONLY_DIRECTORY:
			return "its folder is read-only"
		}
	}
	return unavailable[primaryCode(err)]
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

// isCorrupt tells whether SQLite found a page that cannot be right.
func isCorrupt(err error) bool {
	code := primaryCode(err)
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}
