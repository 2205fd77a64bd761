package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"github.com/descartes-tasks/descartes/schema"
)

// Place is where a file is in the log of record of a cluster. Two daemons whose files are
// at the same Position have the same tasks, events and leases if their chains are equal.
type Place struct {
	Cluster  string   // the name of the cluster, "" for a file of a single daemon
	Epoch    string   // of the journal; "" where there is no file yet
	Position int64    // in the log, of the last message of which everything is in the file
	At       int64    // Unix milliseconds: the time of the last change that had an effect
	Chain    [32]byte // SHA-256 over all events since the cluster began: see [DB.Follow]
	Empty    bool     // there is no task, and there was never an event
}

// ErrFollowed is of a message that was refused as a whole, because the file is not where
// this DB left it: another daemon follows the log in it.
var ErrFollowed = errors.New("another daemon follows the log of the cluster in this file")

// errNoCluster is of a file that is asked for its place in a log that it does not follow.
var errNoCluster = errors.New("it belongs to no cluster")

// selectPlace gives a Place of a file of the present format, and the incarnation. Where
// there is no cluster, At is the time of the newest event that the journal still has.
const selectPlace = `SELECT coalesce(name, ''), epoch, coalesce(position, 0),
	coalesce(at, (SELECT timestamp FROM journal ORDER BY seq DESC LIMIT 1), 0), coalesce(chain, zeroblob(32)),
	last_seq = 0 AND NOT EXISTS (SELECT 1 FROM tasks), coalesce(incarnation, 0) FROM journal_state LEFT JOIN cluster`

// placeIn reads the place of an open file of a format.
func placeIn(ctx context.Context, db querier, format int) (p Place, incarnation uint32, err error) {
	if format == 0 {
		return Place{Empty: true}, 0, nil
	}
	query := selectPlace
	if format < clusterFormat {
		query = `SELECT '', epoch, 0, coalesce((SELECT timestamp FROM journal ORDER BY seq DESC LIMIT 1), 0), zeroblob(32),
			last_seq = 0 AND NOT EXISTS (SELECT 1 FROM tasks), 0 FROM journal_state`
	}
	var chain []byte
	err = db.QueryRowContext(ctx, query).Scan(&p.Cluster, &p.Epoch, &p.Position, &p.At, &chain, &p.Empty, &incarnation)
	if err == nil && copy(p.Chain[:], chain) != len(p.Chain) {
		err = damaged(fmt.Sprintf("the chain of the cluster has %d bytes", len(chain)))
	}
	return p, incarnation, err
}

// clusterFormat is the first format that knows of clusters.
const clusterFormat = 4

// PlaceOf tells where a file is, and changes nothing; any process may have it open. Where
// there is none, or an empty one, the Place is Empty and has no epoch. At is that of the
// newest event for a file of no cluster. A file is refused as by [Backup].
func PlaceOf(ctx context.Context, path string) (p Place, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return Place{Empty: true}, nil
	}
	if err == nil {
		p, err = placeAt(ctx, path)
	}
	if err != nil {
		return Place{}, fmt.Errorf("place of %s: %w", path, plain(err))
	}
	return p, nil
}

// placeAt is PlaceOf for a file that is there.
func placeAt(ctx context.Context, path string) (p Place, err error) {
	s, err := openSource(ctx, path)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	application, format, err := identity(ctx, s.conn)
	if err == nil {
		err = recognize(application, format)
	}
	if err == nil {
		p, _, err = placeIn(ctx, s.conn, format)
	}
	return p, err
}

// Enter brings a file, which is made if there is none, into the cluster of p, at p. From
// then on it is for a daemon of that cluster alone: see [Config].Cluster. An empty file
// gets the epoch of p; one that holds something keeps its own, which must be the same. Its
// newest event must not be after p (see [PlaceOf]), and it must be sound ([Check]): what one
// daemon cannot read, none could. A file of another
// cluster is refused, one of this cluster unless it is at p already, and one that any
// process has open. Claims that were to end with a connection end when their time is over.
func Enter(ctx context.Context, path string, p Place) error {
	if p.Cluster == "" || p.Epoch == "" || p.Position < 0 {
		return fmt.Errorf("enter a cluster: its name, its epoch and a position are required: %+v", p)
	}
	err := bringUp(ctx, path)
	if err == nil {
		err = alone(ctx, path, func(tx *sql.DB, present Place) error { return enter(ctx, tx, present, p) })
	}
	if err != nil {
		return fmt.Errorf("bring %s into the cluster %s: %w", path, p.Cluster, plain(err))
	}
	return nil
}

// bringUp makes the file at path if there is none, brings it to the present format, and
// checks that it is sound.
func bringUp(ctx context.Context, path string) error {
	if _, err := inspect(ctx, path); err != nil {
		return refusal(err)
	}
	d := &DB{config: Config{Path: resolve(path)}, writing: make(writeLock, 1), patience: lockPatience}
	if err := errors.Join(d.openWriter(ctx), d.release()); err != nil {
		return err
	}
	report, err := Check(ctx, path, nil)
	if err == nil && len(report.Findings) > 0 {
		err = fmt.Errorf("it is not sound (%s): descartes check tells everything", report.Findings[0])
	}
	return err
}

// enter does the work of Enter in a transaction that nobody else can see.
func enter(ctx context.Context, tx *sql.DB, present, p Place) error {
	switch {
	case present.Cluster == p.Cluster && present.Epoch == p.Epoch && present.Position == p.Position && present.Chain == p.Chain:
		return nil
	case present.Cluster != "":
		return fmt.Errorf("it belongs to the cluster %s, at position %d of epoch %s", present.Cluster, present.Position, present.Epoch)
	case !present.Empty && present.Epoch != p.Epoch:
		return fmt.Errorf("it holds something of another journal: its epoch is %s, that of the cluster %s", present.Epoch, p.Epoch)
	}
	if present.At > p.At {
		return fmt.Errorf("its newest event is of %d, which is after %d: it was written to meanwhile", present.At, p.At)
	}
	var last int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(num), 0) FROM tasks`).Scan(&last); err != nil {
		return err
	}
	if last >= math.MaxInt64/2 {
		// After the largest number of all SQLite takes any, which another daemon would not.
		return fmt.Errorf("a task has the num %d: export everything, and import it into a new file", last)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE journal_state SET epoch = ?`, p.Epoch); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO cluster (one, name, position, at, chain) VALUES (1, ?, ?, ?, ?)`,
		p.Cluster, p.Position, p.At, p.Chain[:])
	return err
}

// Leave makes the file of a daemon of a cluster one of a single daemon again, with
// everything that is in it. It gets a new epoch: the cluster goes on with the old one, so
// that from here on places in the journal mean something else, and whoever comes with a
// cursor is told. Claims that were to end with a connection count as abandoned at the next
// start. A file of no cluster is refused, and one that any process has open.
func Leave(ctx context.Context, path string) error {
	_, err := os.Stat(path)
	if err == nil {
		err = alone(ctx, path, func(tx *sql.DB, present Place) error {
			if present.Cluster == "" {
				return errNoCluster
			}
			return leave(ctx, tx)
		})
	}
	if err != nil {
		return fmt.Errorf("take %s out of its cluster: %w", path, plain(err))
	}
	return nil
}

// leave makes an open file one of a single daemon, with an epoch of its own.
func leave(ctx context.Context, on execer) error {
	_, err := on.ExecContext(ctx, `DELETE FROM cluster`)
	if err == nil {
		_, err = on.ExecContext(ctx, `UPDATE journal_state SET epoch = ?`, NewEpoch())
	}
	return err
}

// execer is a connection, or a pool of them.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// alone runs a transaction in a file that nobody else has open, nor can open before it is
// over.
func alone(ctx context.Context, path string, run func(tx *sql.DB, present Place) error) error {
	locked, err := take(ctx, path)
	if err != nil {
		return err
	}
	if locked.broken != nil {
		return errors.Join(locked.broken, locked.release())
	}
	if err = run(locked.db, locked.place); err == nil {
		_, err = locked.db.ExecContext(ctx, `COMMIT`)
	}
	return errors.Join(err, locked.release()) // closing rolls back
}

// member refuses a file that belongs to another cluster than a daemon does, or to none
// ("").
func member(present, wanted string) error {
	switch {
	case present == wanted:
		return nil
	case wanted == "":
		return fmt.Errorf("it belongs to the cluster %s: start with --cluster, or make it a file of its own with descartes cluster leave", present)
	case present == "":
		return fmt.Errorf("%w, wanted is one of the cluster %s", errNoCluster, wanted)
	}
	return fmt.Errorf("it belongs to the cluster %s, not to %s", present, wanted)
}

// errClustered is of a write that is not in the log of record.
func errClustered(cluster string) error {
	return schema.StorageUnavailable("it belongs to the cluster " + cluster + ", whose log it follows")
}
