package journaltest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// taken is a claim that found a task.
type taken struct {
	*asked
	schema.ClaimResult
	task *schema.Task
}

// note is something that is not in the journal, and holds at a place of it.
type note struct {
	place int64
	check func()
}

// settle waits until nothing happens any more and has the ledger check what did.
func (p *play) settle() {
	synctest.Wait()
	events, err := p.journal.Events(context.Background(), p.ledger.place, schema.MaxSeq, 10_000)
	p.must(err)
	claims, told, notes := make(map[int64]*taken), make(map[int64]bool), []note(nil)
	var waiting []*asked
	deleted := p.deleted(events)
	doubtful := p.doubtful
	p.doubtful = nil
	for _, a := range slices.Concat(doubtful, p.asked) {
		select {
		case <-a.write.Done():
		default:
			waiting = append(waiting, a)
			continue
		}
		p.t.Logf("  %d %s %s: %s %v", a.number, a.op.Op, a.op.TaskID(), a.write.Outcome().Results, a.write.Outcome().Err)
		o := a.write.Outcome()
		if o.Err != nil {
			if p.refused(a, schema.CodeOf(o.Err), deleted); !a.doubtful {
				continue
			}
			truth, known := p.truthOf(a)
			if !known {
				p.doubtful = append(p.doubtful, a)
				continue
			}
			if o = truth; o.Err != nil {
				continue
			}
		} else if a.known && a.want != 0 {
			fail("%s %s by a token that is not valid was made", a.op.Op, a.op.TaskID())
		}
		switch {
		case a.op.Op == schema.OpRenew:
			notes = append(notes, note{o.Last, func() { p.renewed(a, o) }})
		case a.op.Op == schema.OpClaim && string(o.Results[0]) == "null":
			if a.patient && !a.withdrawn && !a.doubtful {
				fail("claim %d has waited for nothing", a.number)
			}
			if !a.patient {
				notes = append(notes, note{o.Last, func() { p.ledger.nothingFor(a) }})
			}
		case a.op.Op == schema.OpClaim:
			c := p.taken(a, o)
			if before := claims[c.task.Version]; before != nil {
				fail("%s has two winners, %d and %d", c.task.ID, before.number, a.number)
			}
			claims[c.task.Version] = c
		default:
			told[p.version(o)] = true
		}
	}
	p.checkOrder(claims, waiting)
	p.walk(events, claims, told, notes)
	for _, a := range waiting {
		p.checkWaits(a)
		a.parked = true
	}
	p.asked = waiting
	p.ledger.check()
	p.checkStats()
}

// deleted tells which tasks were deleted.
func (p *play) deleted(events []schema.Event) map[string]bool {
	deleted := make(map[string]bool)
	for _, e := range events {
		if e.ChangeType == schema.Deleted {
			deleted[e.TaskID] = true
		}
	}
	return deleted
}

func (p *play) taken(a *asked, o schema.Outcome) *taken {
	c := &taken{asked: a}
	p.must(json.Unmarshal(o.Results[0], &c.ClaimResult))
	var err error
	c.task, err = schema.ParseTask(c.Task)
	p.must(err)
	return c
}

// version gives the seq of the event of a change, or of one before where it changed
// nothing.
func (p *play) version(o schema.Outcome) int64 {
	var result struct {
		Version int64 `json:"version"`
	}
	p.must(json.Unmarshal(o.Results[0], &result))
	return result.Version
}

func (p *play) renewed(a *asked, o schema.Outcome) {
	var result schema.RenewResult
	p.must(json.Unmarshal(o.Results[0], &result))
	p.ledger.renews(p.daemons, a.op.Renew, result.ExpiresAt)
}

// refused checks that a change may be refused with a code.
func (p *play) refused(a *asked, code schema.Code, deleted map[string]bool) {
	id := a.op.TaskID()
	gone := p.ledger.tasks[id] == nil || deleted[id]
	if code == schema.CodeOutcomeUnknown && (p.vague != telling || a.doubtful) {
		a.doubtful = true
		return
	}
	may := map[schema.Code]bool{
		schema.CodeStorageUnavailable: p.refuses,
		schema.CodeShuttingDown:       !slices.Contains(p.daemons, a.daemon),
		schema.CodeTaskNotFound:       id != "" && gone,
		schema.CodeTaskExists:         a.op.Op == schema.OpCreate,
		schema.CodeDependencyInvalid:  a.op.Op != schema.OpClaim,
		schema.CodeLeaseLost:          a.known,
	}
	if !may[code] || a.known && a.want != code {
		fail("%s %s is refused with %d, not with %d", a.op.Op, id, code, a.want)
	}
}

// walk has the ledger see the events in their order, and what is between them.
func (p *play) walk(events []schema.Event, claims map[int64]*taken, told map[int64]bool, notes []note) {
	slices.SortStableFunc(notes, func(a, b note) int { return int(a.place - b.place) })
	until := func(seq int64) {
		for len(notes) > 0 && notes[0].place < seq {
			notes[0].check()
			notes = notes[1:]
		}
	}
	for i := range events {
		until(events[i].Seq)
		at := p.made(events[i].Seq)
		p.t.Logf("  #%d %s %s %s %s", events[i].Seq, events[i].ChangeType, events[i].TaskID, events[i].NewStatus, events[i].Origin)
		if e := &events[i]; e.Origin == schema.OriginRPC && e.Source != 0 && !told[e.Seq] && claims[e.Seq] == nil {
			fail("event %d of %s is of somebody who was not told", e.Seq, e.TaskID)
		} else if e.Origin != schema.OriginRPC && e.Source != 0 {
			fail("event %d is of nobody", e.Seq)
		}
		p.ledger.sees(&events[i], at, claims[events[i].Seq], p.daemons)
		delete(claims, events[i].Seq)
	}
	until(schema.MaxSeq)
	for seq, c := range claims {
		fail("claim %d was told of event %d, which is none", c.number, seq)
	}
}

// made tells when an event was made.
func (p *play) made(seq int64) time.Time {
	defer p.lock()()
	if at, known := p.times[seq]; known {
		return at
	}
	return time.Now() // outside
}

// checkOrder checks that those who want the same of one daemon, and may wait, are served
// in the order in which they came. Where others want something else, one that does not
// wait yet may get what was for somebody who takes another task.
func (p *play) checkOrder(claims map[int64]*taken, waiting []*asked) {
	for _, later := range claims {
		other := func(a *asked) bool { return a.patient && a.daemon == later.daemon && a.key != later.key }
		if !later.patient || later.doubtful || !later.parked && slices.ContainsFunc(p.asked, other) {
			continue
		}
		before := func(a *asked) bool {
			return a.patient && a.daemon == later.daemon && a.key == later.key && a.number < later.number
		}
		for _, a := range waiting {
			if before(a) {
				fail("claim %d was served before %d", later.number, a.number)
			}
		}
		for _, c := range claims {
			if before(c.asked) && !c.doubtful && c.task.Version > later.task.Version {
				fail("claim %d was served before %d", later.number, c.number)
			}
		}
	}
}

// checkWaits checks that there is nothing for who waits.
func (p *play) checkWaits(a *asked) {
	if !a.patient || a.withdrawn {
		fail("%s %d is not answered", a.op.Op, a.number)
	}
	if id := a.op.Claim.ID; id != nil && p.ledger.tasks[*id] == nil {
		fail("claim %d waits for %s, which there is not", a.number, *id)
	}
	p.ledger.nothingFor(a)
}

func (p *play) checkStats() {
	for _, d := range p.daemons {
		waiting := 0
		for _, a := range p.asked {
			if a.daemon == d {
				waiting++
			}
		}
		s := d.Stats()
		if got := fmt.Sprint(s.WaitingClaims, d.Newest().Seq); got != fmt.Sprint(waiting, p.ledger.place) {
			t := "claims wait, and the newest event"
			fail("%s, is %s, not %s", t, got, fmt.Sprint(waiting, p.ledger.place))
		}
		if s.Leases != int64(len(p.ledger.leases)) && !p.ledger.unwell() {
			fail("a daemon knows of %d leases, there are %d", s.Leases, len(p.ledger.leases))
		}
	}
}
