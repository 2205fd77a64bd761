package storage

import (
	"context"
	"fmt"
	"os"
	"time"
)

// pruneAtOnce bounds the events that one step deletes: about two milliseconds.
const pruneAtOnce = 500

// pruneStep deletes some of the oldest events if there are too many or they are
// too old, and tells whether there may be more to delete. What the full-text index
// has not read stays, unless the index cannot be written: the journal must not
// grow for ever, and an index that has missed something is made anew.
func (d *DB) pruneStep(ctx context.Context) (more bool, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	var oldest, oldestAt, newest, indexed int64
	if err := d.write.oldest.QueryRow().Scan(&oldest, &oldestAt, &newest, &indexed); err != nil || oldest == 0 {
		return false, err
	}
	if d.health.fails(failIndex) {
		indexed = newest
	}
	tooMany := newest - d.config.RetainEvents
	now := d.clock.believe(d.config.Now(), time.Since(d.clock.start))
	tooOld := now.Add(-d.config.RetainFor).UnixMilli()
	if oldest > tooMany && oldestAt >= tooOld || oldest > indexed {
		return false, nil
	}
	if err := d.tryBegin(); err != nil {
		return false, err
	}
	limit := atOnce(pruneAtOnce, tooMany-oldest)
	result, err := d.write.prune.Exec(min(tooMany, indexed), tooOld, limit, indexed)
	if err == nil {
		err = d.commit()
	}
	if err != nil {
		d.rollback()
		return false, fmt.Errorf("prune the journal: %w", err)
	}
	d.files.seen(d.shm)
	deleted, err := result.RowsAffected()
	return deleted == int64(limit), err
}

// fileBytes is the size of the database file and its log.
func (d *DB) fileBytes() (bytes int64) {
	for _, path := range []string{d.config.Path, d.config.Path + "-wal"} {
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}
