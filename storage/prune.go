package storage

import (
	"context"
	"os"
)

// pruneAtOnce bounds the events that one step deletes: about two milliseconds.
const pruneAtOnce = 500

// pruneStep deletes some of the oldest events if there are too many or they are
// too old, and tells whether there may be more to delete.
func (d *DB) pruneStep(ctx context.Context) (more bool, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	var oldest, oldestAt, newest, indexed int64
	if err := d.write.oldest.QueryRow().Scan(&oldest, &oldestAt, &newest, &indexed); err != nil || oldest == 0 {
		return false, err
	}
	tooMany := newest - d.config.RetainEvents
	tooOld := d.config.Now().Add(-d.config.RetainFor).UnixMilli()
	if oldest > tooMany && oldestAt >= tooOld || oldest > indexed {
		return false, nil
	}
	if err := d.begin(ctx); err != nil {
		return false, err
	}
	// What the full-text index has not read stays.
	result, err := d.write.prune.Exec(min(tooMany, indexed), tooOld, pruneAtOnce, indexed)
	if err == nil {
		err = d.exec("COMMIT")
	}
	if err != nil {
		d.rollback()
		return false, err
	}
	deleted, err := result.RowsAffected()
	return deleted == pruneAtOnce, err
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
