package storage

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/descartes-tasks/descartes/schema"
)

// Why a file is refused.
var (
	errDamaged     = errors.New("the file is damaged")
	errNotDatabase = errors.New("the file is not a database")
	errForeign     = errors.New("the file belongs to another application")
	errNewer       = errors.New("the file was made by a newer version of descartes")
)

// inspect looks whether a file may be opened, without changing anything about it:
// not even its journal mode, and no file is made beside it. A file that does not
// exist, or is empty, may. It gives the cluster that the file belongs to, "" for none.
func inspect(ctx context.Context, path string) (cluster string, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular(): // and to open a pipe would wait for ever
		return "", errNotDatabase
	case info.Size() == 0:
		return "", nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if err := inspectHeader(file, info.Size(), hasLog(path)); err != nil {
		return "", err
	}
	return inspectSchema(ctx, path, info.Size())
}

// refusal says why a file cannot be opened: where it is damaged, what to do next.
func refusal(err error) error {
	if code := primaryCode(err); (code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB) && !errors.Is(err, errDamaged) {
		err = fmt.Errorf("%w (%w)", errDamaged, err)
	}
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("%w: run descartes check", err)
	}
	if why := whyUnavailable(err); why != "" {
		return fmt.Errorf("%s (%w)", why, err)
	}
	return err
}

// inspectHeader checks the first 100 bytes (https://sqlite.org/fileformat.html,
// section 1.3) against what the file is.
func inspectHeader(file io.Reader, size int64, hasLog bool) error {
	var header [100]byte
	if _, err := io.ReadFull(file, header[:]); err != nil || string(header[:16]) != "SQLite format 3\x00" {
		return errNotDatabase
	}
	pageSize := int64(binary.BigEndian.Uint16(header[16:]))
	if pageSize == 1 {
		pageSize = 65536
	}
	pages := int64(binary.BigEndian.Uint32(header[28:]))
	if pageSize < 512 || pageSize&(pageSize-1) != 0 || !hasLog && (size%pageSize != 0 || size < pages*pageSize) {
		return errDamaged
	}
	return nil
}

// hasLog tells whether there is a write-ahead log: it may hold newer pages, and
// somebody may have the file open.
func hasLog(path string) bool {
	_, err := os.Stat(path + "-wal")
	return err == nil
}

// inspectSchema checks who made the file. Without a log it is opened as if nothing
// could change it, which touches nothing; a log can only be read with its index.
func inspectSchema(ctx context.Context, path string, size int64) (cluster string, err error) {
	name := dsn(path, "busy_timeout(5000)", "query_only(1)") + "&mode=ro"
	if !hasLog(path) {
		name += "&immutable=1"
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return "", fmt.Errorf("%w (%w)", errDamaged, err)
	}
	application, version, err := identity(ctx, db)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w (%w)", errDamaged, err)
	case application == 0 && version == 0 && tables == 0:
		return "", nil
	}
	if err := recognize(application, version); err != nil {
		return "", err
	}
	if err := inspectObjects(ctx, db, version); err != nil {
		return "", err
	}
	place, _, err := placeIn(ctx, db, version)
	switch {
	case err != nil && !errors.Is(err, errDamaged):
		err = fmt.Errorf("%w (%w)", errDamaged, err)
	case err == nil && size <= quickCheckUpTo:
		err = quickCheck(ctx, db)
	}
	return place.Cluster, err
}

// inspectObjects refuses a file that lacks something of what its format has: a
// table, or a trigger without which the writes of other processes would be lost.
func inspectObjects(ctx context.Context, db *sql.DB, version int) error {
	missing, _, err := compareObjects(ctx, db, version)
	if err != nil {
		return fmt.Errorf("%w (%w)", errDamaged, err)
	}
	if len(missing) > 0 {
		return damaged(missing[0] + " is missing")
	}
	var facts int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM journal_state`).Scan(&facts); err != nil {
		return fmt.Errorf("%w (%w)", errDamaged, err)
	}
	if facts != 1 {
		return damaged(fmt.Sprintf("table journal_state has %d rows, must have 1", facts))
	}
	return nil
}

// damaged says what is wrong with a file.
func damaged(why string) error {
	return fmt.Errorf("%w (%s)", errDamaged, strings.ReplaceAll(why, "\n", " "))
}

// quickCheckUpTo is the size in bytes of a file that is read as a whole before it
// is opened: more would make a start wait.
const quickCheckUpTo = 4 << 20

func quickCheck(ctx context.Context, db querier) error {
	var found string
	err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found)
	switch {
	case err != nil:
		return fmt.Errorf("%w (%w)", errDamaged, err)
	case found != "ok":
		return damaged(found)
	}
	return nil
}

// querier is a connection, or a pool of them.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func identity(ctx context.Context, db querier) (application, version int, err error) {
	if err = db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&application); err == nil {
		err = db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version)
	}
	return application, version, err
}

// migrations gives the SQL files in their order: the first makes version 1.
func migrations() []string {
	var files []string
	for {
		sql, err := schema.Migrations.ReadFile(fmt.Sprintf("sql/%04d.sql", len(files)+1))
		if err != nil {
			return files // embedded: the first that is missing is the end
		}
		files = append(files, string(sql))
	}
}

// migrate brings the file to the version of this binary, one transaction for each
// step. Another daemon may do the same at the same time: who has the lock looks
// again.
func (d *DB) migrate(ctx context.Context) error {
	if err := d.walMode(ctx); err != nil {
		return err
	}
	// From here on Apply waits for locks in its own way, not SQLite.
	if err := d.exec(`PRAGMA busy_timeout = 0`); err != nil {
		return err
	}
	for i, text := range migrations() {
		if err := d.migrateTo(ctx, i+1, text); err != nil {
			return fmt.Errorf("migrate to version %d: %w", i+1, err)
		}
	}
	return nil
}

// walMode turns the write-ahead log on; it stays on in the file. For this SQLite
// does not wait for locks by itself.
func (d *DB) walMode(ctx context.Context) error {
	var mode string
	err := d.patiently(ctx, func() error {
		return d.writer.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
	})
	if err == nil && mode != "wal" {
		err = errors.New("this disk cannot share memory between processes, which the write-ahead log needs")
	}
	return err
}

func (d *DB) migrateTo(ctx context.Context, version int, text string) error {
	if _, present, err := identity(ctx, d.writer); err != nil || present >= version {
		return err
	}
	if err := d.begin(ctx); err != nil {
		return err
	}
	_, present, err := identity(ctx, d.writer)
	if err == nil && present < version {
		err = d.exec(text)
		if err == nil && version == 1 {
			_, err = d.writer.ExecContext(ctx, `INSERT INTO journal_state (one, epoch) VALUES (1, ?)`, NewEpoch())
		}
		if err == nil {
			err = d.exec(fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d`, schema.ApplicationID, version))
		}
	}
	if err == nil {
		err = d.exec("COMMIT")
	}
	if err != nil {
		d.rollback()
	}
	return err
}

// NewEpoch gives a name that no other journal has: a word, which cursors begin with.
func NewEpoch() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789" // none that look alike
	name := make([]byte, 12)
	for i := range name {
		name[i] = letters[rand.IntN(len(letters))]
	}
	return string(name)
}
