package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// files are those that SQLite has open: the database, its log (-wal) and the index
// of the log (-shm). Nothing keeps another process from removing, replacing or
// overwriting one of them. SQLite would go on with what it has open, where nobody
// will ever find what is written.
//
// The owner holds the writer's lock, so that nothing here changes meanwhile but by
// other processes. A nil files knows nothing, and finds nothing wrong.
type files struct {
	path             string
	database         *os.File // to be closed only when no connection is open any more: see openShm
	main, log, index fs.FileInfo
	state, pageSize  int64 // where the page of the table journal_state is, which every write changes

	// As they were last seen in order.
	written time.Time
	size    int64
	header  []byte
	page    []byte // at state; shorter where the file ends, when it is still in the log
	walking walState
	moving  bool // another process was moving the log into the file

	overwritten bool // for good: what was there is gone
}

// headerSize is the size of the database header
// (https://sqlite.org/fileformat.html, section 1.3).
const headerSize = 100

// walState is what commits and checkpoints change in the WAL index
// (https://sqlite.org/walformat.html, section 2.2): its header, how many pages of
// the log are in the file, and how many a checkpoint was going to move there, which
// it says before it moves the first one.
type walState [104]byte

// moving tells whether a checkpoint has begun and not ended.
func (w *walState) moving() bool { return !bytes.Equal(w[96:100], w[100:]) }

// lostError says, for callers, what has become of a file, and for the log what is
// to be done.
type lostError struct{ why, story string }

// Error implements the error interface.
func (e *lostError) Error() string { return e.story }

// openFiles remembers the files of a database that is open on a connection.
func openFiles(ctx context.Context, path string, on querier) (*files, error) {
	var root, pageSize int64
	err := on.QueryRowContext(ctx, `SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size
		WHERE name = 'journal_state'`).Scan(&root, &pageSize)
	if err != nil {
		return nil, fmt.Errorf("find the journal's state: %w", err)
	}
	f := &files{path: path, state: (root - 1) * pageSize, pageSize: pageSize}
	if f.log, err = os.Stat(path + "-wal"); err != nil {
		return nil, err
	}
	if f.index, err = os.Stat(path + "-shm"); err != nil {
		return nil, err
	}
	// For writing: an overlay file system has another file for who only reads.
	if f.database, err = os.OpenFile(path, os.O_RDWR, 0); err == nil {
		f.main, err = f.database.Stat()
	}
	return f, err
}

// lost tells what has happened to the files, nil if they are where they were. It
// costs four system calls.
func (f *files) lost(shm *shm) error {
	if f == nil {
		return nil
	}
	if err := f.inPlace(); err != nil {
		return err
	}
	open, err := f.database.Stat()
	if err != nil {
		return err
	}
	if !open.ModTime().Equal(f.written) && !f.overwritten {
		f.overwritten = !f.soundSoon(shm, open.Size())
	}
	if f.overwritten {
		return &lostError{
			"its file was overwritten",
			f.path + " was overwritten while it was in use: stop the daemon, put the right file there and start again",
		}
	}
	return nil
}

// inPlace tells whether the files are still where they were. It is safe for
// concurrent use.
func (f *files) inPlace() error {
	for _, file := range []struct {
		suffix string
		open   fs.FileInfo
	}{{"", f.main}, {"-wal", f.log}, {"-shm", f.index}} {
		if there, err := os.Stat(f.path + file.suffix); err != nil || !os.SameFile(there, file.open) {
			return &lostError{
				"its file was removed, moved or replaced",
				f.path + file.suffix + " was removed, moved or replaced: put it back, or stop the daemon, put the right file there and start again",
			}
		}
	}
	return nil
}

// elsewhere tells whether the database alone has gone: its log is still there.
func (f *files) elsewhere() bool {
	there, err := os.Stat(f.path)
	if err == nil && os.SameFile(there, f.main) {
		return false
	}
	there, err = os.Stat(f.path + "-wal")
	return err == nil && os.SameFile(there, f.log)
}

// soundFor is how long a file may look wrong: another process may be in the middle
// of writing what is read here.
const soundFor = time.Second

// soundSoon is sound, with patience: the verdict that it is not is final.
func (f *files) soundSoon(shm *shm, size int64) bool {
	for deadline := time.Now().Add(soundFor); !f.sound(shm, size); time.Sleep(lockRetry) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// sound tells whether a database that has been written to since it was last seen
// can have been written by SQLite: nobody else moves the log into it without a
// trace in the index of the log.
func (f *files) sound(shm *shm, size int64) bool {
	header, page, err := f.read()
	if err != nil {
		return false // cut off
	}
	// The header of a new file comes without the application ID, which is in the log:
	// for as long as the first page is, whatever else was moved.
	sameHeader := bytes.Equal(header, f.header)
	if !sameHeader && (string(header[:16]) != "SQLite format 3\x00" || binary.BigEndian.Uint32(header[68:]) != schema.ApplicationID) {
		return false
	}
	if sameHeader && size == f.size && bytes.Equal(page, f.page) {
		return true // only its time has changed
	}
	return shm == nil || shm.shared() || f.moving || shm.state() != f.walking
}

// seen remembers the files as they are, after a look and whatever was written
// since.
func (f *files) seen(shm *shm) {
	if f == nil || f.overwritten {
		return
	}
	// What is written after this is told by a later state, also when its writer is
	// killed on the way.
	walking := shm.state()
	moving := walking.moving() && shm.shared()
	open, err := f.database.Stat()
	if err != nil {
		return // the next look finds out
	}
	f.walking, f.moving = walking, moving
	if open.ModTime().Equal(f.written) {
		return
	}
	if header, page, err := f.read(); err == nil {
		f.header, f.page, f.size, f.written = header, page, open.Size(), open.ModTime()
	}
}

// read reads what tells one state of the file from another.
func (f *files) read() (header, page []byte, err error) {
	header = make([]byte, headerSize)
	if _, err := f.database.ReadAt(header, 0); err != nil {
		return nil, nil, err
	}
	page = make([]byte, f.pageSize)
	n, err := f.database.ReadAt(page, f.state)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return header, page[:n], err
}

// close is the last of all to be closed.
func (f *files) close() error {
	if f == nil || f.database == nil {
		return nil
	}
	return f.database.Close()
}
