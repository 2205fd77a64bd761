package storage

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"modernc.org/sqlite"
)

// Config configures a DB.
type Config struct {
	Path         string           // of the database file, which is made if there is none; required
	RetainEvents int64            // events that the journal keeps at most; default 1,000,000
	RetainFor    time.Duration    // how long it keeps them at most; default 168 h
	Now          func() time.Time // decides which events are too old; default time.Now

	// Watch has the kernel tell when the log is written to, where it can (Linux), instead
	// of looking for others' commits 25 times a second while nothing happens. Not where
	// time is virtual (testing/synctest).
	Watch bool

	// Cluster, if set, is the name of the cluster whose log the file follows (see [Enter]):
	// changes come in with Follow instead of Apply. A file of another cluster, or of none,
	// is refused, and without a name one of any cluster.
	Cluster string

	// Incarnation, in a cluster, is the upper half (Source >> 32) of the sources of all
	// connections of this daemon, new at each start; 0 for none. Claims that were to end
	// with a connection of the incarnation before have lost it.
	Incarnation uint32

	// Failed, if set, is told when something begins to fail ("write", "read", "index",
	// "prune", "checkpoint"), when the reason changes, and with a nil error when it
	// works again; "damage", a damaged page, stays. It must be quick and safe for
	// concurrent use.
	Failed func(what string, err error)
}

// DB is an open database file. Its methods are safe for concurrent use.
type DB struct {
	config   Config
	epoch    string
	orphans  int64         // leases up to this number that end with a connection have lost it
	before   uint32        // incarnation of which all leases that end with a connection have lost it; 0 for none
	moved    chan struct{} // one slot: others have committed
	stop     chan struct{}
	done     chan struct{} // closed when housekeeping has ended
	patience time.Duration // how long a write waits for the lock of another process
	closes   sync.Once
	closed   error
	place    atomic.Pointer[Place] // changed under writing

	pool    *sql.DB // of the writer's one connection
	writing writeLock
	writer  *sql.Conn  // under writing
	write   statements // under writing
	seen    int64      // under writing: data_version when others' commits were last looked for
	pace    pace       // under writing
	shm     *shm       // under writing
	files   *files     // under writing
	locked  lockWait   // under writing
	durable int64      // under writing: position of the place that is in the file
	clock   clock      // under writing
	health  health

	readers *sql.DB
	read    queries
	shapes  shapes
	watch   *watch // nil without Config.Watch, and where there is none

	commits atomic.Int64 // made by this DB
}

// Open opens or makes a database file; a new one can be read by its owner only. A
// file that is damaged, of another application or of a newer version is refused
// with an error of one line that says so, and is left as it is.
//
// A process opens a file once at a time: locks on files belong to processes
// (POSIX), so a second DB would take those of the first along when it is closed.
func Open(ctx context.Context, config Config) (*DB, error) {
	if config.RetainEvents == 0 {
		config.RetainEvents = 1_000_000
	}
	if config.RetainFor == 0 {
		config.RetainFor = 168 * time.Hour
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	// Where there is fdatasync, a commit need not wait for the times of the file as well.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	given := config.Path
	config.Path = resolve(given)
	cluster, err := inspect(ctx, config.Path)
	if err == nil {
		err = member(cluster, config.Cluster)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", given, refusal(err))
	}
	d := &DB{
		config:   config,
		moved:    make(chan struct{}, 1),
		writing:  make(writeLock, 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		patience: lockPatience,
		clock:    newClock(config.Now()),
		health:   health{tell: config.Failed},
	}
	if err := d.open(ctx); err != nil {
		d.release()
		return nil, fmt.Errorf("open %s: %w", given, refusal(err))
	}
	go d.keepHouse()
	return d, nil
}

// open connects. What it leaves open after an error is released by the caller.
func (d *DB) open(ctx context.Context) (err error) {
	if err := d.openWriter(ctx); err != nil {
		return err
	}
	if err := prepare(ctx, d.writer, d.write.table()); err != nil {
		return err
	}
	if err := prepareRaw(ctx, d.writer, d.write.rawTable()); err != nil {
		return err
	}
	if err := d.write.dataVersion.QueryRow().Scan(&d.seen); err != nil {
		return err
	}
	if err := d.takePlace(ctx); err != nil {
		return err
	}
	d.config.Path = resolve(d.config.Path) // a link may have led to where no file was
	d.shm = openShm(d.config.Path)
	if d.files, err = openFiles(ctx, d.config.Path, d.writer); err != nil {
		return err
	}
	d.files.seen(d.shm)
	if d.config.Watch && d.shm != nil {
		d.watch = openWatch(d.config.Path + "-wal")
	}
	if d.config.Cluster == "" && !d.shm.shared() {
		err = d.writer.QueryRowContext(ctx, `SELECT coalesce(max(num), 0) FROM leases`).Scan(&d.orphans)
		if err != nil {
			return err
		}
	}
	if d.readers, err = openReaders(ctx, d.config.Path, d.files); err != nil {
		return err
	}
	return prepare(ctx, d.readers, d.read.table())
}

// openWriter makes the file if there is none, opens the connection that writes and
// brings the file to the present format.
func (d *DB) openWriter(ctx context.Context) (err error) {
	if err := makeFile(d.config.Path); err != nil {
		return err
	}
	if d.pool, err = sql.Open("sqlite", dsn(d.config.Path, "busy_timeout(5000)", "synchronous(FULL)",
		"wal_autocheckpoint(2000)", "journal_size_limit(67108864)",
		// The CHECKs are for other processes: Go has checked the same, and doing it again
		// would be a third of the time of a write.
		"ignore_check_constraints(1)")); err != nil {
		return err
	}
	if d.writer, err = d.pool.Conn(ctx); err != nil {
		return err
	}
	if err := prepareRaw(ctx, d.writer, d.write.commitTable()); err != nil {
		return err
	}
	if err := d.migrate(ctx); err != nil {
		return err
	}
	return setTriggers(d.writer, 0)
}

// Close waits for what is under way and closes the file. Closing twice is
// harmless.
func (d *DB) Close() error {
	d.closes.Do(func() {
		close(d.stop)
		<-d.done
		d.closed = d.release()
	})
	return d.closed
}

// release closes what is open.
func (d *DB) release() error {
	d.watch.close()
	d.writing.Lock()
	defer d.writing.Unlock()
	var errs []error
	// A connection that still has a prepared statement when it is closed stays open
	// inside SQLite: the last one could not write the log back and remove it.
	for _, s := range slices.Concat(d.read.table(), d.write.table()) {
		if *s.at != nil {
			errs = append(errs, (*s.at).Close())
		}
	}
	for _, s := range slices.Concat(d.write.commitTable(), d.write.rawTable()) {
		if *s.at != nil {
			errs = append(errs, (*s.at).Close())
		}
	}
	errs = append(errs, d.shapes.close()...)
	if d.readers != nil {
		errs = append(errs, d.readers.Close())
	}
	if d.writer != nil {
		errs = append(errs, d.writer.Close())
	}
	if d.pool != nil {
		errs = append(errs, d.pool.Close())
	}
	errs = append(errs, d.files.close()) // these two last of all: see openShm
	d.shm.close()
	return errors.Join(errs...)
}

// Moved delivers a token after others may have committed.
func (d *DB) Moved() <-chan struct{} { return d.moved }

// makeFile makes an empty file that only its owner can read, if there is none.
// SQLite gives the same mode to the files beside it.
func makeFile(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if refused, ok := errors.AsType[*os.PathError](err); ok {
		return refused.Err // who opens a database tells its path
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// resolve follows symbolic links: SQLite has its other files beside the file itself.
func resolve(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// dsn names a file with pragmas that every connection of a pool gets: set by a
// statement they would reach one of them.
func dsn(path string, pragmas ...string) string {
	name := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	return "file:" + name + "?_pragma=" + strings.Join(pragmas, "&_pragma=")
}

// writeLock is a mutex whose holder may wait for a timer where time is virtual: a
// goroutine that is blocked on a sync.Mutex would stop the clock (testing/synctest).
type writeLock chan struct{}

// Lock waits until nobody else has the lock.
func (l writeLock) Lock() { l <- struct{}{} }

// Unlock gives it back.
func (l writeLock) Unlock() { <-l }

// preparer is a connection, or a pool of them.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// statement is where a prepared statement goes, and its text.
type statement struct {
	at   **sql.Stmt
	text string
}

func prepare(ctx context.Context, on preparer, table []statement) error {
	for _, s := range table {
		prepared, err := on.PrepareContext(ctx, s.text)
		if err != nil {
			return fmt.Errorf("prepare %q: %w", s.text, err)
		}
		*s.at = prepared
	}
	return nil
}

// validText gives text out of the file as valid UTF-8: another process can store
// anything, and one bad byte would break a client's connection.
func validText(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}
