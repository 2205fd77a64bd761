package storage

import (
	"context"
	"os"
	"time"
)

// tidyEvery is how often the journal is pruned and the full-text index fed.
const tidyEvery = time.Second

// keepHouse looks for others' commits and tidies up, until the DB is closed. Each
// step takes the writer for some milliseconds (see atOnce), and waits for no lock. A
// step that fails (the disk is full, another process has the lock) is told to
// Config.Failed and tried again the next time.
func (d *DB) keepHouse() {
	defer close(d.done)
	look := newLookout(d.watch)
	tidied := time.Now()
	var commits int64
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		rest, writes := look.next()
		timer.Reset(rest)
		select {
		case <-d.stop:
			return
		case <-writes:
			look.written()
		case <-timer.C:
		}
		look.looked(d.poll())
		if time.Since(tidied) >= tidyEvery {
			if d.recovered() {
				d.tidy()
			}
			if d.commits.Load() == commits {
				d.housework(failCheckpoint, d.checkpoint())
			}
			tidied, commits = time.Now(), d.commits.Load()
		}
	}
}

// poll leaves a token in moved when others have committed, and tells whether anybody
// may have.
func (d *DB) poll() (anybody bool) {
	anybody, others := d.committed()
	if others {
		select {
		case d.moved <- struct{}{}:
		default: // one token is enough
		}
	}
	return anybody
}

// committed tells whether anybody may have committed since it was last asked, and
// whether others have. data_version changes on this connection for their commits
// only, not for its own.
func (d *DB) committed() (anybody, others bool) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if !d.shm.moved() {
		return false, false
	}
	version := d.seen
	if err := d.write.dataVersion.QueryRow().Scan(&version); err != nil {
		d.shm.forget() // so that it is asked again
	}
	others = version != d.seen
	d.seen = version
	return true, others
}

// recovered looks whether what has failed works again, and tells whether the file
// can be written.
func (d *DB) recovered() bool {
	if d.health.fails(failRead) {
		if _, err := d.Bounds(context.Background()); err == nil {
			d.health.note(failRead, nil)
		}
	}
	if d.health.fails(failWrite) {
		err := d.probe()
		d.housework(failWrite, err)
		return err == nil
	}
	return true
}

// probe writes, and changes nothing.
func (d *DB) probe() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	err := d.tryBegin()
	if err == nil {
		if err = d.exec(touch); err == nil {
			err = d.commit()
		} else {
			d.rollback()
		}
	}
	d.files.seen(d.shm)
	return err
}

// checkpoint moves what is left in the write-ahead log into the file itself, when
// nobody writes. Under load the writer does that by itself every 2000 pages.
func (d *DB) checkpoint() error {
	info, err := os.Stat(d.config.Path + "-wal")
	if err != nil || info.Size() == 0 {
		return nil
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.files.lost(d.shm); err != nil {
		return err
	}
	defer d.files.seen(d.shm)
	// A reader that still needs the log leaves it for the next time, and so does a
	// writer.
	if err := d.exec("PRAGMA wal_checkpoint(TRUNCATE)"); !isBusy(err) {
		return err
	}
	return nil
}

// arrears is how many events the index or the pruning may be behind before their steps
// get larger.
const arrears = 100_000

// atOnce gives how many events a step takes that is so many behind: neither is put off for
// ever, however long somebody writes.
func atOnce(few int, behind int64) int {
	if behind > arrears {
		return 10 * few
	}
	return few
}

// chore is a part of tidying up.
type chore struct {
	name string
	step func(context.Context) (more bool, err error) // nil: failed
}

// tidy prunes and indexes in small steps, in turn, until there is nothing left to do.
func (d *DB) tidy() {
	chores := []chore{{failIndex, d.indexStep}, {failPrune, d.pruneStep}}
	for more := true; more; {
		more = false
		for i := range chores {
			if c := &chores[i]; c.step != nil {
				more = d.do(c) || more
			}
		}
	}
}

// do makes one step, tells whether another one is to follow, and goes on looking for
// others' commits. It lets writers in between: while somebody writes it rests nine times as
// long as the step took, 40 ms at most, and a burst of writes is indexed when it is over.
func (d *DB) do(c *chore) (more bool) {
	began, commits := time.Now(), d.commits.Load()
	more, err := c.step(context.Background())
	if d.housework(c.name, err); err != nil {
		c.step = nil
		return false
	}
	d.poll()
	var rest time.Duration
	if d.commits.Load() != commits {
		rest = min(9*time.Since(began), pollEvery)
	}
	select {
	case <-d.stop:
		return false
	case <-time.After(rest):
		return more
	}
}

// pace makes room for other processes. SQLite's lock is not fair: whoever takes
// it again at once starves those who look for it now and then.
type pace struct {
	busySince, last time.Time
}

const (
	busyFor  = 10 * time.Millisecond // of commits without a gap
	gap      = time.Millisecond      // between two commits; a longer one may let others in by itself
	maxPause = 30 * time.Millisecond // the longest that a writer is kept waiting
)

// yield pauses before a commit if there was none for long, and somebody else who
// could be waiting. A pause, or a gap that stands for one, is 3 ms for each 10 ms of
// commits: others look for the lock now and then, and find it free by its share.
func (p *pace) yield(s *shm) {
	now := time.Now()
	busy := p.last.Sub(p.busySince)
	pause := min(busy*3/10, maxPause)
	if now.Sub(p.last) > max(gap, pause) {
		p.busySince = now
		return
	}
	if busy > busyFor && s.shared() {
		time.Sleep(pause)
		p.busySince = time.Now()
	}
}

func (p *pace) committed() { p.last = time.Now() }
