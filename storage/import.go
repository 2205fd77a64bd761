package storage

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"iter"

	"github.com/descartes-tasks/descartes/schema"
)

// Conflict says what [DB.Import] does with a task whose id is in use.
type Conflict string

// The ways to treat a conflict.
const (
	ConflictRefuse  Conflict = "refuse"  // the whole import
	ConflictSkip    Conflict = "skip"    // the task that is there stays as it is
	ConflictReplace Conflict = "replace" // the task that is there becomes the given one, but for its created_at
)

// Imported counts what became of the tasks of an import.
type Imported struct {
	Created, Replaced int64
	Kept              int64 // were there already, and stay as they are
}

// Import makes tasks of drafts that are normalized and have ids, in one
// transaction: all of them, or none when it returns an error. Each is made by the
// rules and with the events of a task.create, or, where it replaces another, of a
// task.update: a task comes after those that it depends on.
//
// Drafts are taken one at a time, while the write lock is held and everybody else's
// writes wait. An error that comes with a draft ends the import and is returned.
// When the error is a [schema.Error] with another code than
// [schema.CodeStorageUnavailable], a rule refused the draft that was taken last.
// Memory does not grow with the number of drafts. A file of a cluster takes none.
func (d *DB) Import(ctx context.Context, drafts iter.Seq2[*schema.Draft, error], conflict Conflict) (Imported, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.config.Cluster != "" {
		return Imported{}, errClustered(d.config.Cluster)
	}
	d.pace.yield(d.shm)
	if err := d.begin(ctx); err != nil {
		return Imported{}, storageError(err)
	}
	done, err := d.importAll(ctx, drafts, conflict)
	if err != nil {
		d.rollback()
		return Imported{}, storageError(err)
	}
	d.files.seen(d.shm)
	d.commits.Add(1)
	d.pace.committed()
	return done, nil
}

// importAll makes the tasks in the open transaction and commits it.
func (d *DB) importAll(ctx context.Context, drafts iter.Seq2[*schema.Draft, error], conflict Conflict) (done Imported, err error) {
	t := &transaction{
		statements: d.write,
		change:     &schema.Change{At: d.config.Now().UnixMilli(), Origin: schema.OriginRPC},
	}
	if err := t.beginWriting(); err != nil {
		return done, err
	}
	first := t.seq
	for draft, err := range drafts {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = t.importTask(draft, conflict, &done)
		}
		if err != nil {
			return done, err
		}
		t.events = t.events[:0] // who wants them reads the journal
	}
	if t.seq == first {
		return done, d.exec("ROLLBACK")
	}
	if err := t.end.exec([]driver.Value{t.seq}); err != nil {
		return done, err
	}
	return done, d.commit()
}

func (t *transaction) importTask(draft *schema.Draft, conflict Conflict, done *Imported) error {
	if conflict == ConflictRefuse {
		done.Created++
		_, err := t.create(draft, false)
		return err
	}
	present, err := t.find(draft.ID)
	if err != nil {
		return err
	}
	switch {
	case present == nil:
		done.Created++
		_, err = t.create(draft, false)
		return err
	case conflict == ConflictSkip:
		done.Kept++
		return nil
	}
	before := t.seq
	if err := t.replace(present, draft); err != nil {
		return err
	}
	if t.seq == before {
		done.Kept++
	} else {
		done.Replaced++
	}
	return nil
}

// replace makes a task what draft says. What an update could not change either
// stays: when it was created, and who has claimed it while it is in progress.
func (t *transaction) replace(document json.RawMessage, draft *schema.Draft) error {
	old, err := schema.ParseTask(document)
	if err != nil {
		return err
	}
	task := draft.Task(t.change.At)
	task.CreatedAt, task.LeasedBy = old.CreatedAt, old.LeasedBy
	_, err = t.move(document, old, &task)
	return err
}
