package storage

import "time"

const (
	// pollEvery is how often others' commits are looked for: together with what a
	// query takes it is below the 50 ms within which they are to be seen.
	pollEvery = 40 * time.Millisecond

	// attentive is for how long they are looked for so often after a write to the log:
	// a commit counts only when the disk has taken it, which nobody tells of.
	attentive = 2 * time.Second
)

// lookout decides when to look for others' commits: often after somebody has written
// to the log, else once in a tidyEvery, in case the disk took longer than anybody
// waits for it. Where nobody tells of writes it is always often.
type lookout struct {
	watch   *watch        // nil: there is none
	wrote   time.Time     // when it last told of a write
	every   time.Duration // until the next look
	doubted bool          // it did not tell of a commit that there was
}

func newLookout(w *watch) lookout {
	return lookout{watch: w, wrote: time.Now(), every: pollEvery}
}

// next gives after how long to look again, and what ends this time early.
func (l *lookout) next() (time.Duration, <-chan struct{}) {
	switch {
	case l.watch == nil:
		return pollEvery, nil
	case time.Since(l.wrote) < attentive:
		every := l.every
		l.every = min(2*every, pollEvery)
		return every, nil
	}
	return tidyEvery, l.watch.writes
}

// written notes that the watch has told of a write, after a time in which there was
// none. A small commit is there soon: the first looks follow quickly.
func (l *lookout) written() {
	l.wrote, l.every, l.doubted = time.Now(), time.Millisecond, false
}

// looked notes a look that found a commit, or none. One of which nothing was told, not
// even in the time until the next one, says that the watch is no good: some file
// systems know of no events.
func (l *lookout) looked(commit bool) {
	if l.watch == nil {
		return
	}
	select {
	case <-l.watch.writes:
		l.wrote, l.doubted = time.Now(), false
		return
	default:
	}
	if time.Since(l.wrote) < attentive {
		return
	}
	if l.doubted {
		l.watch = nil
	}
	l.doubted = commit
}
