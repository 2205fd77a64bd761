package journaltest

import (
	"cmp"
	"slices"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// ledger is what is known of tasks and their leases from the journal and from answers.
type ledger struct {
	place   int64 // Seq of the newest event seen
	tasks   map[string]*schema.Task
	born    map[string]int64 // Seq of the creation
	leases  map[string]*entry
	tokens  map[string][]string // of all claims of a task, ever
	refuses bool                // nothing can be written
	vague   bool                // it is not known what becomes of what is written
	healed  time.Time           // when that was over
}

// entry is one lease.
type entry struct {
	token     string
	length    time.Duration
	expiresAt int64
	source    int64
	ends      map[*daemon]time.Time // when it is over, for each daemon that runs
	gone      map[*daemon]bool      // those that know that its connection is
}

func newLedger() *ledger {
	return &ledger{
		tasks: make(map[string]*schema.Task), born: make(map[string]int64),
		leases: make(map[string]*entry), tokens: make(map[string][]string),
	}
}

// due tells when a lease has to end: when the first daemon finds that its time is over.
func (e *entry) due() (at time.Time, ok bool) {
	for _, end := range e.ends {
		if !ok || end.Before(at) {
			at, ok = end, true
		}
	}
	return at, ok
}

// next tells when the next lease is to end.
func (l *ledger) next() (at time.Time, ok bool) {
	for _, e := range l.leases {
		if due, runs := e.due(); runs && (!ok || due.Before(at)) {
			at, ok = due, true
		}
	}
	return at, ok
}

// lasts lets a lease last from now on, for its length.
func (e *entry) lasts(daemons []*daemon, now time.Time) {
	for _, d := range daemons {
		if !e.gone[d] {
			e.ends[d] = now.Add(e.length)
		}
	}
}

// starts notes that a daemon is there, which has to go by the clock.
func (l *ledger) starts(d *daemon, alone bool, clock time.Time) {
	for _, e := range l.leases {
		left := time.Duration(e.expiresAt-clock.UnixMilli()) * time.Millisecond
		e.ends[d] = time.Now().Add(min(max(left, 0), e.length))
		if alone && e.source != 0 {
			e.ends[d], e.gone[d] = time.Now(), true
		}
	}
}

// stops notes that a daemon is not there any more.
func (l *ledger) stops(d *daemon) {
	for _, e := range l.leases {
		delete(e.ends, d)
	}
}

// disconnects notes that a connection of a daemon is gone.
func (l *ledger) disconnects(d *daemon, connection int64) {
	for _, e := range l.leases {
		if e.source == connection {
			e.ends[d], e.gone[d] = time.Now(), true
		}
	}
}

func (l *ledger) renews(daemons []*daemon, p *schema.RenewParams, expiresAt int64) {
	e := l.leases[p.ID]
	if e == nil || e.token != p.LeaseToken {
		fail("%s was renewed by who does not have it", p.ID)
	}
	if p.LeaseMS != nil {
		e.length = time.Duration(*p.LeaseMS) * time.Millisecond
	}
	e.expiresAt = expiresAt
	e.lasts(daemons, time.Now())
}

// sees takes the next event, made at a time; by is the claim that was told of it.
func (l *ledger) sees(e *schema.Event, at time.Time, by *taken, daemons []*daemon) {
	task, err := schema.ParseTask(e.Task)
	if err != nil || e.Seq != l.place+1 {
		fail("event %d after %d: %v", e.Seq, l.place, err)
	}
	l.place = e.Seq
	old := l.tasks[e.TaskID]
	leased := e.ChangeType != schema.Deleted && task.LeasedBy != nil
	wasLeased := old != nil && old.LeasedBy != nil
	if wasLeased && !leased {
		l.ends(e, task, at)
	} else if e.Origin == schema.OriginLease {
		fail("event %d of %s is of a lease, and ends none", e.Seq, e.TaskID)
	}
	switch {
	case leased && !wasLeased:
		l.begins(e, task, at, by, daemons)
	case by != nil:
		fail("claim %d was told of event %d, in which no lease begins", by.number, e.Seq)
	case leased && *task.LeasedBy != *old.LeasedBy:
		fail("event %d: %s goes from %s to %s", e.Seq, e.TaskID, *old.LeasedBy, *task.LeasedBy)
	}
	if l.tasks[e.TaskID] = task; e.ChangeType == schema.Deleted {
		delete(l.tasks, e.TaskID)
	} else if e.ChangeType == schema.Created {
		l.born[e.TaskID] = e.Seq
	}
}

// begins checks a claim, before its task is noted.
func (l *ledger) begins(e *schema.Event, task *schema.Task, at time.Time, by *taken, daemons []*daemon) {
	if by == nil {
		fail("event %d: nobody was told that %s is claimed", e.Seq, e.TaskID)
	}
	if best := l.best(by.asked); best != e.TaskID || *task.LeasedBy != by.op.Claim.AssignedTo || task.Status != schema.InProgress {
		fail("claim %d took %s, not %s", by.number, e.TaskID, best)
	}
	lease := &entry{
		token: by.LeaseToken, expiresAt: by.ExpiresAt, ends: make(map[*daemon]time.Time), gone: make(map[*daemon]bool),
		length: time.Duration(*by.op.Claim.LeaseMS) * time.Millisecond,
	}
	if *by.op.Claim.UntilDisconnect {
		lease.source = by.connection
	}
	lease.lasts(daemons, at)
	if d := by.daemon; by.doubtful && lease.source != 0 && !slices.Contains(d.connections, lease.source) {
		lease.gone[d] = true // before anybody knew of the claim
		if slices.Contains(daemons, d) {
			lease.ends[d] = at
		}
	}
	l.leases[e.TaskID] = lease
	l.tokens[e.TaskID] = append(l.tokens[e.TaskID], by.LeaseToken)
}

// ends checks that a lease may end with an event.
func (l *ledger) ends(e *schema.Event, task *schema.Task, at time.Time) {
	lease := l.leases[e.TaskID]
	delete(l.leases, e.TaskID)
	if e.Origin != schema.OriginLease {
		if e.Source == 0 && e.Origin == schema.OriginRPC ||
			e.ChangeType == schema.Updated && task.Status == schema.InProgress && e.Origin != schema.OriginRPC {
			fail("event %d ends the lease of %s without a reason", e.Seq, e.TaskID)
		}
		return
	}
	due, ok := lease.due()
	if !ok || at.Before(due) {
		fail("event %d: the lease of %s ended at %v, %v early", e.Seq, e.TaskID, at, due.Sub(at))
	}
	if late := at.Sub(l.latest(due)); late > 0 {
		fail("event %d: the lease of %s ended %v late", e.Seq, e.TaskID, late)
	}
	if task.Status != schema.Todo || task.AssignedTo != nil {
		fail("after the end %s is %s", e.TaskID, e.Task)
	}
}

// latest tells when what was due has to be done.
func (l *ledger) latest(due time.Time) time.Time {
	if again := l.healed.Add(time.Second); due.Before(again) && !l.healed.IsZero() {
		return again
	}
	if l.vague {
		return due.Add(time.Second) // the emitter rests after an end of which nobody knows
	}
	return due
}

// unwell tells whether ends may be late.
func (l *ledger) unwell() bool {
	return l.refuses || l.vague || time.Now().Before(l.healed.Add(time.Second))
}

// best gives the task that a claim is to take, "" if there is none.
func (l *ledger) best(a *asked) string {
	var ready []*schema.Task
	for _, task := range l.tasks {
		if task.Ready && (a.op.Claim.ID == nil || *a.op.Claim.ID == task.ID) && a.op.Claim.Filter.Match(task) {
			ready = append(ready, task)
		}
	}
	if len(ready) == 0 {
		return ""
	}
	return slices.MinFunc(ready, func(a, b *schema.Task) int {
		return cmp.Or(cmp.Compare(b.Priority.Rank(), a.Priority.Rank()), cmp.Compare(a.CreatedAt, b.CreatedAt),
			cmp.Compare(l.born[a.ID], l.born[b.ID]))
	}).ID
}

// nothingFor checks that there is nothing that a claim could take.
func (l *ledger) nothingFor(a *asked) {
	if best := l.best(a); best != "" {
		fail("claim %d found nothing or waits, and %s is ready", a.number, best)
	}
}

// dependents counts the tasks that depend on one.
func (l *ledger) dependents(id string) (n int) {
	for _, task := range l.tasks {
		if slices.Contains(task.Dependencies, id) {
			n++
		}
	}
	return n
}

// check checks what must hold whenever nothing happens.
func (l *ledger) check() {
	for id, task := range l.tasks {
		blocked := slices.ContainsFunc(task.Dependencies, func(other string) bool {
			return l.tasks[other] != nil && l.tasks[other].Status != schema.Done
		})
		if want := task.Status == schema.Todo && task.LeasedBy == nil && !blocked; task.Ready != want {
			fail("ready of %s is %v", id, task.Ready)
		}
		if (task.LeasedBy != nil) != (l.leases[id] != nil) {
			fail("%s is leased: %v, and there is a lease: %v", id, task.LeasedBy != nil, l.leases[id] != nil)
		}
	}
	for id, e := range l.leases {
		if due, ok := e.due(); ok && !l.refuses && !l.vague && !time.Now().Before(l.latest(due)) {
			fail("the lease of %s should have ended %v ago", id, time.Since(due))
		}
	}
}
