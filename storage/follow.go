package storage

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/descartes-tasks/descartes/schema"
)

// Place tells where the file is in the log of its cluster. Its Position is that of the last
// message that was followed, which Reached makes durable if that had no effect. It does not
// tell whether the file is Empty.
func (d *DB) Place() Place { return *d.place.Load() }

// takePlace reads where the file is when it is opened, and writes down the incarnation.
func (d *DB) takePlace(ctx context.Context) error {
	place, before, err := placeIn(ctx, d.writer, len(migrations()))
	if err == nil {
		err = member(place.Cluster, d.config.Cluster) // it was perhaps another file when it was inspected
	}
	if err != nil {
		return err
	}
	d.epoch, d.durable, place.Empty = place.Epoch, place.Position, false
	d.place.Store(&place)
	if place.Cluster == "" {
		return nil
	}
	if own := d.config.Incarnation; own != 0 {
		if own > math.MaxInt32 {
			return fmt.Errorf("incarnation %d: a source would be negative", own)
		}
		err := d.patiently(ctx, func() error {
			_, err := d.writer.ExecContext(ctx, `UPDATE cluster SET incarnation = ?`, own)
			return err
		})
		if err != nil {
			return err
		}
		if before != own {
			d.before = before
		}
	}
	// From here on a commit is not synced, only a checkpoint is. What a power cut takes from
	// the end of the file, it takes together with the position: it is in the log of record,
	// and is read from there again.
	return d.exec(`PRAGMA synchronous = NORMAL`)
}

// Follow makes the changes of one message of the log of record, at a position after that of
// Place, in their order and in one transaction with the position. The outcomes and events
// are those of Apply, and the same on every machine that has followed the same messages from
// the same place:
//
//   - A change is made at the time of the last one that had an effect (an event, or a lease
//     that began or ended) if its own is before that.
//   - A change fails alone for a rule only (a [schema.Error]), or for a row that is there
//     already. Anything else fails the message as a whole: nothing of it is made, the place
//     stays, and it can be tried again. The error is a [schema.Error] with code
//     [schema.CodeStorageUnavailable] if the file could not be used, and [ErrFollowed] if it
//     was moved on by somebody else.
//   - FreshID is ignored.
//
// The chain of the new place is SHA-256 of the one before and all that is journaled of the
// events; without events it stays. A message without any effect moves the position in memory
// alone: to follow it again after a restart changes nothing.
func (d *DB) Follow(ctx context.Context, position int64, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.mayReach(position, 1); err != nil {
		return nil, nil, err
	}
	d.pace.yield(d.shm)
	f, err := d.follow(ctx, position, changes, false)
	if errors.Is(err, errHalfway) {
		f, err = d.follow(ctx, position, changes, true)
	}
	if err != nil {
		return nil, nil, d.noted(failWrite, err)
	}
	d.moveTo(f.place, f.effect)
	return f.outcomes, f.events, nil
}

// Reached makes durable that the log was followed up to position: nothing after the last
// message that was followed has an effect. It is for a clean stop, so that the next start
// begins there.
func (d *DB) Reached(ctx context.Context, position int64) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.mayReach(position, 0); err != nil {
		return err
	}
	if position == d.durable {
		return nil
	}
	place := d.Place()
	place.Position = position
	err := d.begin(ctx)
	if err == nil {
		err = d.writePlace(&place)
		if err == nil {
			err = d.commit()
		} else {
			d.rollback()
		}
	}
	if err != nil {
		return d.noted(failWrite, err)
	}
	d.moveTo(place, true)
	return nil
}

// mayReach refuses a position that is not at least so far ahead of the present one.
func (d *DB) mayReach(position, ahead int64) error {
	switch place := d.Place(); {
	case place.Cluster == "":
		return errNoCluster
	case position < place.Position+ahead:
		return fmt.Errorf("position %d of the log of cluster %s was reached before: the file is at %d", position, place.Cluster, place.Position)
	}
	return nil
}

// moveTo notes that the file is at another place.
func (d *DB) moveTo(place Place, durable bool) {
	if durable {
		d.durable = place.Position
	}
	d.place.Store(&place)
	d.files.seen(d.shm)
	d.health.note(failWrite, nil)
	d.commits.Add(1)
	d.pace.committed()
}

// writePlace moves the file on in the open transaction, from where this DB has left it.
func (d *DB) writePlace(place *Place) error {
	result, err := d.write.movePlace.Exec(place.Position, place.At, place.Chain[:], d.durable)
	if err != nil {
		return err
	}
	if hit, err := result.RowsAffected(); err != nil || hit != 1 {
		return errors.Join(ErrFollowed, err)
	}
	return nil
}

// followed is what came of a message.
type followed struct {
	place    Place
	outcomes []schema.Outcome
	events   []schema.Event
	effect   bool
}

// follow makes the changes of a message in one transaction, or nothing.
func (d *DB) follow(ctx context.Context, position int64, changes []schema.Change, careful bool) (*followed, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	f := &followed{place: d.Place(), outcomes: make([]schema.Outcome, len(changes))}
	f.place.Position = position
	t := &transaction{statements: d.write, conn: d.writer, careful: careful, follows: true, events: make([]schema.Event, 0, len(changes))}
	err := f.apply(t, changes)
	switch {
	case err == nil && f.effect:
		if err = t.end.exec([]driver.Value{t.seq}); err == nil {
			err = d.writePlace(&f.place)
		}
		if err == nil {
			err = d.commit()
		}
	case err == nil:
		return f, d.exec("ROLLBACK")
	}
	if err != nil {
		d.rollback()
		return nil, err
	}
	return f, nil
}

// apply makes the changes in the open transaction, and moves the place.
func (f *followed) apply(t *transaction, changes []schema.Change) error {
	if err := t.beginWriting(); err != nil {
		return err
	}
	for i := range changes {
		c := changes[i] // the caller's stays as it is
		c.At = max(c.At, f.place.At)
		seq := t.seq
		t.renewed = false
		var err error
		if f.outcomes[i], err = t.apply(&c); err != nil {
			return err
		}
		if t.seq != seq || t.renewed {
			f.effect, f.place.At = true, c.At
		}
	}
	f.events = t.events
	f.place.Chain = chain(f.place.Chain, t.events)
	return nil
}

// chain gives the hash over what was before and events. Every value is written with its
// length: no two lists of events give the same bytes.
func chain(before [32]byte, events []schema.Event) [32]byte {
	if len(events) == 0 {
		return before
	}
	hash := sha256.New()
	hash.Write(before[:])
	var line []byte
	for i := range events {
		line = appendChained(line[:0], &events[i])
		hash.Write(line)
	}
	return [32]byte(hash.Sum(nil))
}

// appendChained appends everything that is journaled of an event.
func appendChained(to []byte, e *schema.Event) []byte {
	for _, number := range []int64{e.Seq, e.PreviousVersion, e.PreviousUpdatedAt, e.Source, e.TxLast, e.Timestamp} {
		to = binary.BigEndian.AppendUint64(to, uint64(number))
	}
	for _, text := range []string{
		e.TaskID, string(e.ChangeType), string(e.Task), string(e.PreviousStatus), string(e.NewStatus), string(e.Previous),
		string(e.Origin), e.Actor,
	} {
		to = append(binary.AppendUvarint(to, uint64(len(text))), text...)
	}
	return to
}
