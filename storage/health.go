package storage

import (
	"errors"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// What can fail, as Config.Failed is told.
const (
	failWrite      = "write"      // a commit
	failRead       = "read"       // a query
	failDamage     = "damage"     // a page of the file is damaged; this does not pass
	failIndex      = "index"      // feeding the full-text index
	failPrune      = "prune"      // pruning the journal
	failCheckpoint = "checkpoint" // moving the log into the file
)

// steadyFor is how long nothing may have failed before it counts as working again:
// on a disk that is nearly full small writes succeed and large ones fail.
const steadyFor = 3 * time.Second

// health knows what fails at present, and tells of changes alone: a full disk is
// one line in the log, not one for each write. It is safe for concurrent use.
type health struct {
	tell func(what string, err error) // may be nil

	mu      sync.Mutex
	failing map[string]failure
}

type failure struct {
	err  error
	why  string    // for callers
	last time.Time // when it failed last
}

// note takes how something went.
func (h *health) note(what string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, failing := h.failing[what]
	switch {
	case err == nil && (!failing || time.Since(before.last) < steadyFor):
		return
	case err == nil:
		delete(h.failing, what)
	default:
		if h.failing == nil {
			h.failing = make(map[string]failure)
		}
		now := failure{err, reason(err), time.Now()}
		h.failing[what] = now
		if failing && now.why == before.why {
			return
		}
	}
	if h.tell != nil {
		h.tell(what, err)
	}
}

// fails tells whether something fails at present.
func (h *health) fails(what string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, failing := h.failing[what]
	return failing
}

// unusable is why the file cannot be used as it should, nil if it can.
func (h *health) unusable() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, what := range []string{failWrite, failDamage, failRead} {
		if f, failing := h.failing[what]; failing {
			return storageError(f.err)
		}
	}
	return nil
}

// Unusable tells why the file cannot be written or read at present, nil if it can:
// a [schema.Error] with code [schema.CodeStorageUnavailable]. It passes by itself a
// few seconds after its cause is gone; only a damaged file stays one.
func (d *DB) Unusable() error { return d.health.unusable() }

// readError is what a query gives to its caller of an error of SQLite.
func (d *DB) readError(err error) error { return d.noted(failRead, err) }

// noted makes of an error of SQLite what callers may read, and notes what fails
// because the file cannot be used.
func (d *DB) noted(what string, err error) error {
	err = storageError(err)
	if schema.CodeOf(err) == schema.CodeStorageUnavailable {
		if isCorrupt(err) {
			what = failDamage
		}
		d.health.note(what, err)
	}
	return err
}

// housework notes how a step of housekeeping went. What keeps it from writing
// keeps everybody from it; a lock of another process is no failure yet.
func (d *DB) housework(what string, err error) {
	switch {
	case isBusy(err):
		return
	case schema.CodeOf(storageError(err)) == schema.CodeStorageUnavailable && !isCorrupt(err):
		what = failWrite
	}
	d.health.note(what, err)
}

// reason is err as callers are told it.
func reason(err error) string {
	if coded, ok := errors.AsType[*schema.Error](storageError(err)); ok {
		return coded.Message
	}
	return err.Error()
}
