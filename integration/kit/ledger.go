package kit

import (
	"sync"
	"time"
)

// Ledger is what workers were told.
type Ledger struct {
	Answers Tally                                // that say how a claim went on
	Tell    func(holder string, expiresAt int64) // is told of each promise, unless it is nil

	// Tolerance is what two looks at the time may differ by; default ClockTolerance.
	Tolerance time.Duration

	mu                      sync.Mutex
	Promised                map[string]int64 // holder -> until when the claim holds: the newest answer
	Finished                map[string]bool  // holders that were told that the task is done
	Lost                    map[string]bool  // holders that were told that the claim is lost
	Renewed, Released, Left int
	Forged                  int // writes with an old token, refused
	Unanswered, Processes   int
}

// NewLedger gives one that is empty.
func NewLedger() *Ledger {
	return &Ledger{Promised: make(map[string]int64), Finished: make(map[string]bool), Lost: make(map[string]bool)}
}

// Promise notes until when a claim holds.
func (l *Ledger) Promise(holder string, expiresAt int64) {
	l.Count(func(l *Ledger) { l.Promised[holder] = expiresAt })
	l.Answers.Add()
	if l.Tell != nil {
		l.Tell(holder, expiresAt)
	}
}

// Count changes the ledger; nil changes nothing.
func (l *Ledger) Count(change func(*Ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if change != nil {
		change(l)
	}
}
