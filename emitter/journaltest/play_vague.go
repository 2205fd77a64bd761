package journaltest

import (
	"context"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// A log of record that is far away may not say what became of a change. The ledger is
// told the truth, from here, as soon as there is one.

// vagueness is what becomes of changes.
type vagueness int

const (
	telling vagueness = iota // who asked is told
	made                     // they are made, and nobody is told
	lost                     // they are never made
	late                     // they are made when it is over
)

// maxLate is how many groups of changes may be late: the others are lost.
const maxLate = 100

// skew is what daemons are told of their clocks where outcomes may be unknown.
const skew = time.Second

// swallow takes changes of which nobody is told. Who calls it has the lock.
func (p *play) swallow(changes []schema.Change) error {
	switch p.vague {
	case made:
		p.reveal(changes)
	case late:
		if len(p.late) < maxLate {
			p.late = append(p.late, slices.Clone(changes))
		}
	}
	return schema.OutcomeUnknown()
}

// reveal makes changes, and notes what became of them. All daemons hear of what there is
// in the journal then.
func (p *play) reveal(changes []schema.Change) {
	outcomes, _, err := p.apply(context.Background(), changes)
	if err != nil {
		panic(err)
	}
	for i := range changes {
		p.truth[identity(&changes[i].Operations[0])] = outcomes[i]
	}
	p.tell(nil)
}

// truthOf gives what became of something of which nobody was told, if that is known.
func (p *play) truthOf(a *asked) (truth schema.Outcome, known bool) {
	defer p.lock()()
	truth, known = p.truth[identity(&a.op)]
	return truth, known
}

// identity is what an operation has in common with its copies.
func identity(op *schema.Operation) any {
	switch op.Op {
	case schema.OpCreate:
		return op.Create
	case schema.OpUpdate:
		return op.Update
	case schema.OpDelete:
		return op.Delete
	case schema.OpClaim:
		return op.Claim
	case schema.OpRenew:
		return op.Renew
	case schema.OpRelease:
		return op.Release
	default:
		return op.Expire
	}
}

// beVague begins to tell nobody what becomes of changes, or ends it.
func (p *play) beVague() {
	defer p.lock()()
	if p.vague == telling {
		p.vague = rapid.SampledFrom([]vagueness{made, lost, late}).Draw(p.t, "become")
		p.t.Logf("  outcomes are unknown: %d", p.vague)
	} else {
		for _, changes := range p.late {
			p.reveal(changes)
		}
		p.vague, p.late = telling, nil
	}
	p.ledger.vague = p.vague != telling
	p.ledger.healed = time.Now()
}
