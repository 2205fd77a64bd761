package storage

import (
	"context"
	"os"
	"time"
)

// pollEvery is how often others' commits are looked for: together with what a
// query takes it is below the 50 ms within which they are to be seen.
const pollEvery = 40 * time.Millisecond

// tidyEvery is how often the journal is pruned and the full-text index fed.
const tidyEvery = time.Second

// keepHouse looks for others' commits and tidies up, until the DB is closed. Each
// step takes the writer for a few milliseconds at most. A step that fails (the
// disk is full, another process has the lock) is tried again the next time.
func (d *DB) keepHouse() {
	defer close(d.done)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	tidied := time.Now()
	var commits int64
	for {
		select {
		case <-d.stop:
			return
		case <-poll.C:
		}
		d.poll()
		if time.Since(tidied) >= tidyEvery {
			d.tidy()
			if d.commits.Load() == commits {
				d.checkpoint()
			}
			tidied, commits = time.Now(), d.commits.Load()
		}
	}
}

// poll leaves a token in moved when others have committed.
func (d *DB) poll() {
	if d.othersCommitted() {
		select {
		case d.moved <- struct{}{}:
		default: // one token is enough
		}
	}
}

// othersCommitted tells whether others have committed since it was last asked.
// data_version changes on this connection for their commits only, not for its own.
func (d *DB) othersCommitted() bool {
	d.writing.Lock()
	defer d.writing.Unlock()
	if !d.shm.moved() {
		return false
	}
	version := d.seen
	if err := d.write.dataVersion.QueryRow().Scan(&version); err != nil {
		d.shm.forget() // so that it is asked again
	}
	others := version != d.seen
	d.seen = version
	return others
}

// checkpoint moves what is left in the write-ahead log into the file itself, when
// nobody writes. Under load the writer does that by itself every 2000 pages.
func (d *DB) checkpoint() {
	info, err := os.Stat(d.config.Path + "-wal")
	if err != nil || info.Size() == 0 {
		return
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	// A reader that still needs the log, or an error, leaves it for the next time.
	_ = d.exec("PRAGMA wal_checkpoint(TRUNCATE)")
}

// tidy prunes and indexes in small steps, letting writers in between, and goes on
// looking for others' commits. While somebody writes it takes a quarter of the
// time at most: a burst of writes is indexed when it is over.
func (d *DB) tidy() {
	for _, step := range []func(context.Context) (bool, error){d.indexStep, d.pruneStep} {
		for more := true; more; {
			began, commits := time.Now(), d.commits.Load()
			var err error
			if more, err = step(context.Background()); err != nil {
				break
			}
			d.poll()
			var rest time.Duration
			if d.commits.Load() != commits {
				rest = min(3*time.Since(began), pollEvery)
			}
			select {
			case <-d.stop:
				return
			case <-time.After(rest):
			}
		}
	}
}

// pace makes room for other processes. SQLite's lock is not fair: whoever takes
// it again at once starves those who look for it now and then.
type pace struct {
	busySince, last time.Time
}

const (
	busyFor   = 10 * time.Millisecond // of commits without a gap
	gap       = time.Millisecond      // between two commits; a longer one lets others in by itself
	pauseTime = 3 * time.Millisecond
)

// yield pauses before a commit if there was none for long, and somebody else who
// could be waiting.
func (p *pace) yield(s *shm) {
	now := time.Now()
	if now.Sub(p.last) > gap {
		p.busySince = now
		return
	}
	if now.Sub(p.busySince) > busyFor && s.shared() {
		time.Sleep(pauseTime)
		p.busySince = time.Now()
	}
}

func (p *pace) committed() { p.last = time.Now() }
