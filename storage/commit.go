package storage

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// lockPatience is how long a write waits while another process has the lock.
const lockPatience = 5 * time.Second

// lockRetry is the time between two tries. SQLite's own busy handler would sleep
// up to 100 ms too long.
const lockRetry = time.Millisecond

// Apply makes changes as emitter.Journal says. A file of a cluster takes none: see Follow.
func (d *DB) Apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.config.Cluster != "" {
		return nil, nil, errClustered(d.config.Cluster)
	}
	d.pace.yield(d.shm)
	outcomes, events, err := d.group(ctx, changes)
	if err != nil {
		return nil, nil, d.noted(failWrite, err)
	}
	d.files.seen(d.shm)
	d.health.note(failWrite, nil)
	d.commits.Add(1)
	d.pace.committed()
	return outcomes, events, nil
}

// group makes changes in one transaction. Where one of them meets a damaged page,
// SQLite is of no use until the transaction is given up: the others are made in another
// one, without it. Where one fails halfway, all are made in another one, with savepoints:
// however many fail, that is once.
func (d *DB) group(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	left, careful := make(map[int]error), false
	for {
		if err := d.begin(ctx); err != nil {
			return nil, nil, err
		}
		outcomes, events, err := d.applyAll(changes, left, careful)
		if err == nil {
			return outcomes, events, nil
		}
		d.rollback()
		change := len(outcomes) // that failed
		switch {
		case change == len(changes):
			return nil, nil, err
		case errors.Is(err, errHalfway):
			careful = true
		case isCorrupt(err):
			left[change] = d.noted(failWrite, err)
		default:
			return nil, nil, err
		}
	}
}

// begin takes the write lock, waiting for another process that has it, and makes
// sure that what is written will be found again. A file that has been locked for
// long has been so for those who come now, too: everybody who waits is told after
// the same five seconds, not one group after the other.
func (d *DB) begin(ctx context.Context) error {
	err := d.tryUntil(ctx, d.locked.deadline(time.Now(), d.patience), d.tryBegin)
	d.locked.tried(time.Now(), isBusy(err))
	return err
}

// tryBegin is begin without waiting.
func (d *DB) tryBegin() error {
	err := d.write.beginNow.exec(nil)
	lost := d.files.lost(d.shm)
	if lost == nil {
		return err
	}
	if err == nil {
		d.rollback()
	}
	if d.files.elsewhere() {
		// What is in the log goes to the file that it belongs to, wherever that is now,
		// and the next one to be opened in its place finds an empty log.
		_ = d.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return lost
}

// lockWait remembers since when another process has had the file locked.
type lockWait struct{ since, last time.Time }

// lockGap is the time after which nobody knows whether the file was locked all the
// while.
const lockGap = 100 * time.Millisecond

// deadline tells until when to try.
func (w *lockWait) deadline(now time.Time, patience time.Duration) time.Time {
	if now.Sub(w.last) > lockGap {
		w.since = now
	}
	return w.since.Add(patience)
}

// tried takes how the last try ended.
func (w *lockWait) tried(now time.Time, busy bool) {
	if w.last = now; !busy {
		w.last = time.Time{}
	}
}

// patiently tries again while another process has the file locked.
func (d *DB) patiently(ctx context.Context, try func() error) error {
	return d.tryUntil(ctx, time.Now().Add(d.patience), try)
}

// tryUntil tries again while another process has the file locked, at least once.
func (d *DB) tryUntil(ctx context.Context, deadline time.Time, try func() error) error {
	for {
		err := try()
		if err == nil || !isBusy(err) {
			return err
		}
		if time.Now().After(deadline) {
			return cmp.Or(ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockRetry):
		}
	}
}

func (d *DB) exec(statement string) error {
	_, err := d.writer.ExecContext(context.Background(), statement)
	return err
}

// commit makes the open transaction durable. One that fails at the last moment,
// when the disk cannot be synced, is in the log as a whole already, and a crash
// would bring it back although it was refused: another commit takes its place.
func (d *DB) commit() error {
	err := d.write.commitNow.exec(nil)
	if err != nil && !isBusy(err) {
		d.rollback()
		// If the disk cannot be synced still, it was written all the same.
		if d.exec("BEGIN IMMEDIATE; "+touch+"; COMMIT") != nil {
			d.rollback()
		}
	}
	return err
}

// touch changes nothing, but has a commit write: SQLite does not write what stays
// the same.
const touch = `UPDATE journal_state SET writer = 1; UPDATE journal_state SET writer = 0`

// rollback gives a transaction up. SQLite has perhaps done so by itself, after
// which there is nothing to roll back: that error says nothing new.
func (d *DB) rollback() { _ = d.exec("ROLLBACK") }

// applyAll makes the changes in the open transaction and commits it, without those
// that are to be left out. Together with an error it gives the outcomes of the
// changes before the one that failed.
func (d *DB) applyAll(changes []schema.Change, left map[int]error, careful bool) ([]schema.Outcome, []schema.Event, error) {
	t := &transaction{statements: d.write, conn: d.writer, careful: careful, events: make([]schema.Event, 0, len(changes))}
	outcomes := make([]schema.Outcome, len(changes))
	if err := t.beginWriting(); err != nil {
		return outcomes, nil, err
	}
	for i := range changes {
		if outcomes[i].Err = left[i]; outcomes[i].Err != nil {
			continue
		}
		var err error
		if outcomes[i], err = t.apply(&changes[i]); err != nil {
			return outcomes[:i], nil, err
		}
	}
	if len(t.events) == 0 && !t.renewed {
		// Refused, or nothing that changes anything: not worth an fsync.
		return outcomes, nil, d.exec("ROLLBACK")
	}
	if err := t.end.exec([]driver.Value{t.seq}); err != nil {
		return outcomes, nil, err
	}
	return outcomes, t.events, d.commit()
}
