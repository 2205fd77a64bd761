package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar that tells how far a long command is. It is drawn on a
// terminal alone: a log, a pipe or a test gets nothing of it. A nil progress draws
// nothing.
type progress struct {
	w    io.Writer
	what string
	bar  *progressbar.ProgressBar // made when the first step is known
	of   int64
}

// newProgress gives a bar on w, which says what is being done ("checking"). Its
// owner closes it before anything else is written to w.
func newProgress(w io.Writer, what string) *progress {
	if !isTerminal(w) {
		return nil
	}
	return &progress{w: w, what: what}
}

// show tells that done steps of so many are made, in any unit. A total of -1 is
// one that is not known. It may be called as often as there are steps: the bar is
// drawn ten times a second.
func (p *progress) show(done, total int64) {
	if p == nil {
		return
	}
	switch {
	case p.bar == nil:
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(p.what),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetSpinnerChangeInterval(0)) // else a goroutine turns it
	case total != p.of:
		p.bar.ChangeMax64(total)
	}
	p.of = total
	_ = p.bar.Set64(done) // a terminal that is gone is no reason to stop
}

// close takes the bar away, so that the next line begins where it was.
func (p *progress) close() {
	if p == nil || p.bar == nil {
		return
	}
	_ = p.bar.Clear()
	p.bar = nil
}
