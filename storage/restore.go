package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// RestoreConfig says what [Restore] is to do.
type RestoreConfig struct {
	From     string   // the backup; required
	Path     string   // of the database that it becomes; required
	Replace  bool     // also where there is a database that holds something
	Progress Progress // of the copying

	stepped func(step string) error // tests: a step is done; after an error nothing more is
}

// keptSuffix is what the name of a database gets that was replaced.
const keptSuffix = ".before-restore"

// Restore puts a copy of a backup in the place of a database, and gives it an epoch
// of its own: it goes on from an older state, so that places in the journal mean
// something else from there, and whoever comes with an old cursor is told. Tokens
// are part of the copy. A backup of an older format is brought to the present one, and
// one of a daemon of a cluster becomes the file of a single daemon: with an epoch of its
// own it could not follow the log.
//
// A backup in which [Check] finds anything is refused, and so is a database that a
// process has open, or that belongs to a cluster. One that holds something is replaced only if c.Replace is set
// (but never one of another application), and is kept beside.
//
// # What is there after a crash
//
// A log must never be found beside a file that it does not belong to: SQLite would
// write it in. So the steps are:
//
//  1. check: the backup is looked at. Nothing has changed.
//  2. take: the log of the present database is written back into it and removed, and
//     the file is locked against everybody (SQLite lets no process leave WAL mode
//     while another has the file open). It is whole, in one file, as it was.
//  3. copy: the backup is copied to a file with a name of its own, migrated, given its
//     epoch, made one file without a log, checked, synced.
//  4. keep: the present file gets its second name, as a hard link; the folder is synced.
//  5. replace: the copy is renamed to the database; the folder is synced.
//
// Up to the rename, which is atomic, the database is the old one, and after it the
// new one, and neither has a log. A process that has opened the old file meanwhile
// and waits for its lock cannot go wrong either: to write it would have to enter
// WAL mode, for which SQLite looks whether the file still has its name.
//
// A file that SQLite cannot read cannot be locked, nor can its log be written back.
// It is moved away with its log after asking the system whether any process has a
// lock on it. After a crash between these renames there is no database until Restore
// is called again.
func Restore(ctx context.Context, c RestoreConfig) (restored Copy, err error) {
	if err := c.inspect(ctx); err != nil {
		return Copy{}, err
	}
	present, err := take(ctx, c.Path)
	if err == nil {
		defer func() { err = errors.Join(err, present.release()) }()
		err = present.mayBeReplaced(c)
	}
	if err == nil {
		err = c.step("take")
	}
	if err == nil {
		restored, err = present.replace(ctx, c.From, c.Progress, renew, c.step)
	}
	if err != nil {
		return Copy{}, fmt.Errorf("restore to %s: %w", c.Path, plain(err))
	}
	return restored, nil
}

func (c *RestoreConfig) step(name string) error {
	if c.stepped == nil {
		return nil
	}
	return c.stepped(name)
}

// inspect refuses a backup that should not become a database.
func (c *RestoreConfig) inspect(ctx context.Context) error {
	if sameFile(c.From, c.Path) {
		return fmt.Errorf("%s is the database itself", c.From)
	}
	report, err := Check(ctx, c.From, nil)
	if err != nil {
		return err
	}
	if n := len(report.Findings); n > 0 {
		return fmt.Errorf("%s is not sound (%s): descartes check --db %s tells everything", c.From, report.Findings[0], c.From)
	}
	return c.step("check")
}

// replace makes a copy of from, prepares it and puts it in the place of the file. A step
// that is done is told to step, after whose error nothing more is.
func (p *present) replace(
	ctx context.Context, from string, progress Progress, prepare func(ctx context.Context, part string) error, step func(string) error,
) (Copy, error) {
	part, err := copyBeside(ctx, from, p.path, progress)
	if err != nil {
		return Copy{}, err
	}
	defer removeFiles(part) // of no use after an error; gone after the rename
	if err := prepare(ctx, part); err != nil {
		return Copy{}, err
	}
	made, err := finishCopy(ctx, part)
	if err == nil {
		err = step("copy")
	}
	if err == nil {
		made.Kept, err = p.keep()
	}
	if err == nil {
		err = syncFolder(p.path)
	}
	if err == nil {
		err = step("keep")
	}
	if err == nil {
		err = os.Rename(part, p.path)
	}
	if err == nil {
		err = syncFolder(p.path)
	}
	if err == nil {
		err = step("replace")
	}
	made.Path = p.path
	return made, err
}

// removeFiles removes databases with what SQLite has beside them.
func removeFiles(paths ...string) {
	for _, path := range paths {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			os.Remove(path + suffix)
		}
	}
}

// renew brings a file to the present format, gives it a new epoch, and makes it one of a
// single daemon.
func renew(ctx context.Context, path string) error {
	d := &DB{config: Config{Path: path}, writing: make(writeLock, 1), patience: lockPatience}
	err := d.openWriter(ctx)
	if err == nil {
		err = leave(ctx, d.writer)
	}
	return errors.Join(err, d.release())
}

// present is the file that is to be replaced, locked against everybody else.
type present struct {
	path   string
	kept   string  // the name that keep gives it
	holds  bool    // something that could be missed
	broken error   // why SQLite cannot use it; then it is not locked
	db     *sql.DB // has the lock; nil without one

	format      int
	place       Place
	incarnation uint32
}

// take locks what is at path, and leaves it without a log.
func take(ctx context.Context, path string) (*present, error) {
	p := &present{path: path, kept: path + keptSuffix, holds: true}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if log := leftLog(path); log != "" {
			p.broken = fmt.Errorf("%s is there without its database", log)
		}
		p.holds = p.broken != nil
		return p, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotDatabase
	}
	p.holds = info.Size() > 0
	err = p.lock(ctx)
	if isDamage(err) {
		err = errors.Join(p.release(), unused(path))
		p.broken = errDamaged
	}
	if isBusy(err) {
		err = errors.New("a process has it open: stop it first")
	}
	if err != nil {
		return nil, errors.Join(err, p.release())
	}
	return p, nil
}

// lock opens the file and takes the lock that excludes readers, too: from the change
// of the mode on (locking_mode), and where there is nothing to change (BEGIN).
func (p *present) lock(ctx context.Context) (err error) {
	if p.db, err = sql.Open("sqlite", dsn(p.path, "busy_timeout(0)", "locking_mode(EXCLUSIVE)")+"&mode=rw"); err != nil {
		return err
	}
	p.db.SetMaxOpenConns(1)
	var mode string
	if err := p.db.QueryRowContext(ctx, `PRAGMA journal_mode = DELETE`).Scan(&mode); err != nil {
		return err
	}
	if _, err := p.db.ExecContext(ctx, `BEGIN EXCLUSIVE`); err != nil {
		return err
	}
	var tables int
	if err := p.db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	application, version, err := identity(ctx, p.db)
	if err != nil {
		return err
	}
	switch err := recognize(application, version); {
	case tables == 0 && application == 0: // an empty file, or one of which hardly anything is left
		return nil
	case errors.Is(err, errForeign):
		return err
	case err == nil:
		p.format = version
		if p.place, p.incarnation, err = placeIn(ctx, p.db, version); err != nil {
			return err
		}
		return p.db.QueryRowContext(ctx, holdsAnything(version)).Scan(&p.holds)
	}
	return nil
}

// holdsAnything is the question whether a file of a format holds what somebody put
// there: a task, the memory of one that is gone, a token.
func holdsAnything(version int) string {
	if version < 2 {
		return `SELECT last_seq > 0 OR EXISTS (SELECT 1 FROM tasks) FROM journal_state`
	}
	return `SELECT last_seq > 0 OR EXISTS (SELECT 1 FROM tasks) OR EXISTS (SELECT 1 FROM tokens) FROM journal_state`
}

// mayBeReplaced refuses what the caller has not agreed to.
func (p *present) mayBeReplaced(c RestoreConfig) error {
	if !p.holds && p.place.Cluster == "" {
		return nil
	}
	kept := p.kept
	switch {
	case p.place.Cluster != "":
		return fmt.Errorf("it belongs to the cluster %s, which knows nothing of the backup: descartes cluster leave makes it a file of its own",
			p.place.Cluster)
	case !c.Replace && p.broken != nil:
		return fmt.Errorf("%w: --force replaces it and keeps it as %s", p.broken, kept)
	case !c.Replace:
		return fmt.Errorf("it holds something: --force replaces it and keeps it as %s", kept)
	}
	if sameFile(kept, p.path) {
		return nil // the last restore ended after "keep": the file has its second name already
	}
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if _, err := os.Lstat(kept + suffix); err == nil {
			return fmt.Errorf("%s is there from the last time: move it away first", kept+suffix)
		}
	}
	return nil
}

// sameFile tells whether two names are of one file that exists.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// keep gives the file its second name, "" if there is nothing to keep.
func (p *present) keep() (string, error) {
	kept := p.kept
	switch {
	case !p.holds:
		return "", p.unlockForRename()
	case p.broken != nil:
		return kept, p.moveAway(kept)
	}
	if err := p.unlockForRename(); err != nil {
		return "", err
	}
	if err := os.Link(p.path, kept); err == nil || sameFile(kept, p.path) {
		return kept, nil
	}
	return kept, os.Rename(p.path, kept) // a disk without hard links
}

// moveAway moves a file that cannot be read, and its logs. The index of the
// write-ahead log is made anew from the log itself.
func (p *present) moveAway(kept string) error {
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if err := os.Rename(p.path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(p.path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// unlockForRename gives the lock up where a file that is open cannot be replaced.
// There the system itself refuses the rename if another process has opened it.
func (p *present) unlockForRename() error {
	if runtime.GOOS == "windows" {
		return p.release()
	}
	return nil
}

func (p *present) release() error {
	if p == nil || p.db == nil {
		return nil
	}
	err := p.db.Close()
	p.db = nil
	return err
}
