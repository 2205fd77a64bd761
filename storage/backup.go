package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/descartes-tasks/descartes/schema"
)

// Progress is told how far a long piece of work is: done steps of so many. It is
// called by the goroutine that works, and may be nil.
type Progress func(done, total int64)

func (p Progress) tell(done, total int64) {
	if p != nil {
		p(done, total)
	}
}

// Copy is a database file that was written: by [Backup], or in the place of
// another by [Restore].
type Copy struct {
	Path  string
	Tasks int64
	Seq   int64  // of the newest event that it knows of
	Bytes int64  // its size
	Kept  string // where Restore keeps the file that was there; "" if nothing was
}

// pagesAtOnce is how many pages are copied between two looks at the context: some
// milliseconds.
const pagesAtOnce = 1000

// Backup writes a copy of the database at path to target, as it is at one moment,
// while daemons go on writing. target is a whole database in one file, readable by
// its owner only: it appears when everything is in it, checked and on the disk, and
// an error leaves nothing behind. A file that is there is refused unless replace is
// set; the database itself, and what is beside it, always.
//
// The pages are copied by SQLite's online backup (https://sqlite.org/backup.html)
// within one read transaction, so that no commit makes it start over. Until it ends
// the write-ahead log of the database cannot be emptied, and grows by what is
// written meanwhile.
func Backup(ctx context.Context, path, target string, replace bool, progress Progress) (Copy, error) {
	if err := checkTarget(path, target, replace); err != nil {
		return Copy{}, err
	}
	part, err := copyBeside(ctx, path, target, progress)
	if err != nil {
		return Copy{}, fmt.Errorf("back up %s: %w", path, plain(err))
	}
	defer os.Remove(part) // of no use after an error; gone after the rename
	written, err := publish(ctx, part, target)
	if err != nil {
		return Copy{}, fmt.Errorf("back up to %s: %w", target, plain(err))
	}
	return written, nil
}

// publish checks a copy and gives it its name.
func publish(ctx context.Context, part, target string) (Copy, error) {
	written, err := finishCopy(ctx, part)
	if err == nil {
		err = os.Rename(part, target)
	}
	if err == nil {
		err = syncFolder(target)
	}
	written.Path = target
	return written, err
}

// checkTarget refuses to write a backup where it would destroy something.
func checkTarget(path, target string, replace bool) error {
	there, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		there, err = os.Lstat(target) // a link to nothing is something
	}
	if errors.Is(err, fs.ErrNotExist) {
		there = nil
	} else if err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		own, err := os.Stat(path + suffix)
		if samePath(target, path+suffix) || err == nil && there != nil && os.SameFile(there, own) {
			return fmt.Errorf("%s is part of the database itself: choose another name", target)
		}
	}
	switch {
	case there != nil && !there.Mode().IsRegular():
		return fmt.Errorf("%s is not a file that can be replaced", target)
	case there != nil && !replace:
		return fmt.Errorf("%s exists: choose another name, or replace it with --force", target)
	}
	// SQLite would take them for logs of the new file.
	if log := leftLog(target); log != "" {
		return fmt.Errorf("%s is there: %s is a database in use, choose another name", log, target)
	}
	return nil
}

func samePath(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// leftLog gives the name of a log beside path, "" if there is none: the
// write-ahead log, or a rollback journal.
func leftLog(path string) string {
	for _, suffix := range []string{"-wal", "-journal"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			return path + suffix
		}
	}
	return ""
}

// copyBeside copies the database at path, as it is at one moment, to a new file in
// the folder of target, and gives its name.
func copyBeside(ctx context.Context, path, target string, progress Progress) (part string, err error) {
	source, err := openSource(ctx, path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if err := source.mustBeOurs(ctx); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(filepath.Dir(target), filepath.Base(target)+".*.part")
	if err != nil {
		return "", err
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	if err := source.copyTo(ctx, file.Name(), progress); err != nil {
		os.Remove(file.Name())
		return "", plain(err)
	}
	return file.Name(), nil
}

// finishCopy makes a copy one file that needs no other, checks that it is sound and
// brings it to the disk.
func finishCopy(ctx context.Context, path string) (Copy, error) {
	written := Copy{Path: path}
	// The copy says of itself that it has a write-ahead log, as its original does.
	db, err := sql.Open("sqlite", dsn(path, "locking_mode(EXCLUSIVE)", "journal_mode(DELETE)", "ignore_check_constraints(1)"))
	if err != nil {
		return written, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var found string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return written, err
	}
	if found != "ok" {
		return written, damaged(found)
	}
	err = db.QueryRowContext(ctx, `SELECT count(*), (SELECT last_seq FROM journal_state) FROM tasks`).Scan(&written.Tasks, &written.Seq)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		written.Bytes, err = syncFile(path)
	}
	return written, err
}

// source is a database file that is read as it was at one moment, whoever writes
// it meanwhile.
type source struct {
	db   *sql.DB
	conn *sql.Conn // in a read transaction
}

// openSource opens the file at path and begins to read it. Nothing about it is
// changed: what a daemon that was killed has left in the log stays there. (A
// transaction outside of WAL mode that a kill has cut short is another matter: SQLite
// cannot read a file before it has rolled that back.)
func openSource(ctx context.Context, path string, setup ...string) (*source, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // and to open a pipe would wait for ever
		return nil, errNotDatabase
	}
	s, err := beginSource(ctx, path, sourceMode(path), setup)
	if primaryCode(err) == sqlite3.SQLITE_CANTOPEN && leftLog(path) == "" {
		// Nobody can write in that folder, not even the files that readers share.
		s, err = beginSource(ctx, path, "&mode=ro&immutable=1", setup)
	}
	return s, err
}

// sourceMode tells how to open a file so that it stays as it is. Without anything
// in its log that is for writing: closing then takes away the files that opening
// has made. With a log closing would write it back into the file.
func sourceMode(path string) string {
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		if _, err := os.Stat(path + "-journal"); err != nil {
			return "&mode=ro"
		}
	}
	return "&mode=rw"
}

func beginSource(ctx context.Context, path, mode string, setup []string) (*source, error) {
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(5000)", "ignore_check_constraints(1)")+mode)
	if err != nil {
		return nil, err
	}
	s := &source{db: db}
	if s.conn, err = db.Conn(ctx); err == nil {
		for _, statement := range append(setup, `PRAGMA query_only = 1`, `BEGIN`) {
			if err == nil {
				_, err = s.conn.ExecContext(ctx, statement)
			}
		}
	}
	if err == nil { // the transaction begins with the first look
		var tables int
		err = s.conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *source) close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return s.db.Close()
}

// mustBeOurs refuses a file that another application, or a newer version, has made.
func (s *source) mustBeOurs(ctx context.Context) error {
	application, version, err := identity(ctx, s.conn)
	if err != nil {
		return err
	}
	return recognize(application, version)
}

// recognize tells whether this version knows such a file.
func recognize(application, version int) error {
	switch {
	case application != schema.ApplicationID:
		return errForeign
	case version > len(migrations()):
		return fmt.Errorf("%w (format %d, known up to %d)", errNewer, version, len(migrations()))
	}
	return nil
}

// copyTo copies every page to a file, without a journal or a sync: nobody else
// knows of that file, and it is thrown away when anything goes wrong.
func (s *source) copyTo(ctx context.Context, path string, progress Progress) error {
	return s.conn.Raw(func(raw any) error {
		from, ok := raw.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the SQLite driver %T cannot copy a file", raw)
		}
		backup, err := from.NewBackup(dsn(path, "journal_mode(OFF)", "synchronous(OFF)"))
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if err = ctx.Err(); err == nil {
				more, err = backup.Step(pagesAtOnce)
			}
			if err == nil {
				total := int64(backup.PageCount())
				progress.tell(total-int64(backup.Remaining()), total)
			}
		}
		return errors.Join(err, backup.Finish())
	})
}

// plain says an error of SQLite in the words that callers of the daemon get, too.
func plain(err error) error {
	if why, known := unavailable[primaryCode(err)]; known {
		return fmt.Errorf("%s (%w)", why, err)
	}
	return err
}

// syncFile brings a file to the disk and gives its size.
func syncFile(path string) (size int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), file.Sync()
}

// syncFolder brings to the disk which files there are in the folder of path. On
// Windows a folder cannot be synced: NTFS journals its names itself.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
