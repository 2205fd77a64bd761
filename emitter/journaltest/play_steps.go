package journaltest

import (
	"slices"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// asked is a change that somebody asked for.
type asked struct {
	daemon     *daemon
	connection int64
	number     int // in the order of asking
	op         schema.Operation
	key        string // what a claim wants
	write      *emitter.Write
	want       schema.Code // of its refusal, where that is known; 0 none
	known      bool        // want is
	patient    bool
	withdrawn  bool
	parked     bool // waited at the end of an earlier step
	doubtful   bool // answered that nobody knows what became of it
}

// move is something that may happen in a step.
type move struct {
	name string
	make func()
}

// step lets something happen, and checks everything when nothing happens any more.
func (p *play) step() {
	one := p.any(p.moves())
	p.t.Logf("%v %s", p.clock().UTC().Format(time.RFC3339Nano), one.name)
	one.make()
	p.settle()
}

// moves lists what may happen, more than once what happens more often.
func (p *play) moves() (all []move) {
	add := func(times int, name string, make func()) {
		all = append(all, slices.Repeat([]move{{name, make}}, times)...)
	}
	add(6, "write", func() { p.write(p.daemon(), p.plain()) })
	add(4, "claim", func() { p.claim(p.daemon(), false) })
	add(6, "wait", func() { p.claim(p.daemon(), true) })
	add(2, "burst", p.burst)
	add(5, "use a token", p.useToken)
	add(1, "withdraw", p.withdrawAny)
	add(2, "outside", p.outside)
	add(6, "pass time", p.pass)
	add(1, "set the clock", func() {
		p.ahead.Add(int64(rapid.SampledFrom([]time.Duration{
			time.Second, -time.Second, -50 * time.Second, 50 * time.Second, -70 * time.Second, 3 * time.Hour, -3 * time.Hour, 30 * time.Hour,
		}).Draw(p.t, "by")))
	})
	add(1, "disconnect", func() {
		d := p.daemon()
		p.disconnect(d, rapid.IntRange(0, len(d.connections)-1).Draw(p.t, "connection"))
		p.connect(d)
	})
	add(1, "end", p.endAny)
	if len(p.daemons) < 3 {
		add(1, "start", p.start)
	}
	add(1, "refuse", func() { p.refuse(!p.refuses) })
	if p.skew > 0 {
		add(2, "be vague", p.beVague)
	}
	return all
}

// any gives each move equally often: rapid prefers small numbers, but not among bits.
func (p *play) any(moves []move) move {
	n := 0
	for _, bit := range rapid.SliceOfN(rapid.Bool(), 8, 8).Draw(p.t, "bits") {
		if n *= 2; bit {
			n++
		}
	}
	return moves[n%len(moves)]
}

// daemon gives one that runs.
func (p *play) daemon() *daemon {
	if len(p.daemons) == 0 {
		p.start()
		p.settle()
	}
	return rapid.SampledFrom(p.daemons).Draw(p.t, "daemon")
}

// ask submits an operation.
func (p *play) ask(d *daemon, op schema.Operation, patient bool) *asked {
	p.asks++
	a := &asked{daemon: d, number: p.asks, op: op, patient: patient}
	a.connection = rapid.SampledFrom(d.connections).Draw(p.t, "connection")
	c := schema.Change{Origin: schema.OriginRPC, Source: a.connection, Operations: []schema.Operation{op}}
	if patient {
		a.write = d.SubmitPatient(c)
	} else {
		a.write = d.Submit(c)
	}
	p.asked = append(p.asked, a)
	return a
}

func (p *play) write(d *daemon, op schema.Operation) { p.ask(d, op, false) }

// plain is an operation that needs no lease.
func (p *play) plain() schema.Operation {
	id := rapid.SampledFrom(someIDs).Draw(p.t, "id")
	switch rapid.IntRange(0, 7).Draw(p.t, "op") {
	case 0, 1, 2:
		op := create(id, dependencies().Draw(p.t, "dependencies")...)
		op.Create.Dependencies = slices.DeleteFunc(op.Create.Dependencies, func(id string) bool { return p.ledger.tasks[id] == nil })
		op.Create.Priority = rapid.SampledFrom(schema.Priorities()).Draw(p.t, "priority")
		return op
	case 3:
		return remove(id)
	case 4:
		return setDependencies(id, dependencies().Draw(p.t, "dependencies")...)
	case 5:
		return update(id, schema.Patch{Priority: schema.Some(rapid.SampledFrom(schema.Priorities()).Draw(p.t, "priority"))})
	default:
		return setStatus(id, rapid.SampledFrom(schema.Statuses()).Draw(p.t, "status"))
	}
}

// lengths are those of leases: ends meet.
var lengths = []int64{1000, 5000, 60_000, 3_600_000, schema.MaxLeaseMS}

func (p *play) claim(d *daemon, patient bool) {
	params := schema.ClaimParams{
		AssignedTo: rapid.SampledFrom([]string{"anna", "bo"}).Draw(p.t, "claimer"),
		LeaseMS:    new(rapid.SampledFrom(lengths).Draw(p.t, "length")),
	}
	params.UntilDisconnect = new(rapid.IntRange(0, 3).Draw(p.t, "bound") == 0)
	wants := rapid.SampledFrom([]string{"", "", "id", "high", "ids", "nobody's"}).Draw(p.t, "wants")
	key := wants
	switch wants {
	case "id":
		params.ID = new(rapid.SampledFrom(someIDs).Draw(p.t, "id"))
		key += *params.ID
	case "high":
		params.Filter = &schema.Filter{PriorityAtLeast: new(schema.High)}
	case "ids":
		params.Filter = &schema.Filter{IDs: []string{"a", "b", "B"}}
	case "nobody's":
		params.Filter = &schema.Filter{AssignedTo: []*string{nil}}
	}
	op := normal(schema.Operation{Op: schema.OpClaim, Claim: &schema.Claim{ClaimParams: params}})
	p.ask(d, op, patient).key = key
}

// burst asks one daemon for several things at once.
func (p *play) burst() {
	d := p.daemon()
	for range rapid.IntRange(2, 6).Draw(p.t, "n") {
		switch rapid.IntRange(0, 4).Draw(p.t, "what") {
		case 4:
			p.withdrawAny()
		case 0:
			p.claim(d, false)
		case 1:
			p.claim(d, true)
		default:
			p.write(d, p.plain())
		}
	}
}

// useToken renews, releases or updates by a lease token, which may be an old one. What
// becomes of that is known.
func (p *play) useToken() {
	d, id := p.daemon(), rapid.SampledFrom(someIDs).Draw(p.t, "id")
	token := "never given"
	lease := p.ledger.leases[id]
	if old := p.ledger.tokens[id]; len(old) > 0 {
		token = old[len(old)-1]
		if lease == nil || rapid.IntRange(0, 3).Draw(p.t, "old") == 0 {
			token = rapid.SampledFrom(old).Draw(p.t, "token")
		}
	}
	var op schema.Operation
	switch rapid.IntRange(0, 4).Draw(p.t, "op") {
	case 0, 1:
		op = renew(id, token)
	case 2:
		op = renew(id, token, rapid.SampledFrom(lengths).Draw(p.t, "length"))
	case 3:
		op = release(id, token, rapid.SampledFrom(schema.Statuses()).Draw(p.t, "status"))
	default:
		op = withToken(token, setStatus(id, rapid.SampledFrom(schema.Statuses()).Draw(p.t, "status")))
	}
	a := p.ask(d, op, false)
	a.known = true
	switch {
	case p.refuses:
		a.want = schema.CodeStorageUnavailable
	case p.vague != telling:
		a.want = schema.CodeOutcomeUnknown
	case p.ledger.tasks[id] == nil:
		a.want = schema.CodeTaskNotFound
	case lease == nil || lease.token != token:
		a.want = schema.CodeLeaseLost
	}
}

func (p *play) withdrawAny() {
	if len(p.asked) > 0 {
		p.withdraw(rapid.SampledFrom(p.asked).Draw(p.t, "who"))
	}
}

// outside writes as another process does.
func (p *play) outside() {
	id := rapid.SampledFrom(someIDs).Draw(p.t, "id")
	op := setStatus(id, rapid.SampledFrom(schema.Statuses()).Draw(p.t, "status"))
	if old := p.ledger.tasks[id]; old == nil {
		op = create(id)
	} else if len(old.Dependencies)+p.ledger.dependents(id) == 0 && rapid.Bool().Draw(p.t, "remove") {
		op = remove(id)
	}
	p.h.Outside(p.TB, p.journal, op)
	defer p.lock()()
	p.tell(nil)
}

// pass lets time pass: some, or as much as there is until a lease ends, or just not.
func (p *play) pass() {
	d := rapid.SampledFrom([]time.Duration{
		time.Second, time.Millisecond, 999 * time.Millisecond, 4 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour,
	}).Draw(p.t, "d")
	if next, ok := p.ledger.next(); ok && rapid.Bool().Draw(p.t, "next") {
		if d = time.Until(next); rapid.Bool().Draw(p.t, "just not") {
			d -= time.Millisecond
		}
	}
	time.Sleep(min(max(d, 0), p.longest))
	synctest.Wait()
}

func (p *play) endAny() {
	if len(p.daemons) == 0 {
		return
	}
	d := rapid.SampledFrom(p.daemons).Draw(p.t, "daemon")
	if rapid.Bool().Draw(p.t, "killed") {
		p.kill(d)
	} else {
		p.stop(d)
	}
	if rapid.Bool().Draw(p.t, "pass") {
		p.settle()
		p.pass()
	}
}

// refuse makes the journal refuse everything, or take it again.
func (p *play) refuse(refuses bool) {
	defer p.lock()()
	p.refuses = refuses
	p.ledger.refuses = refuses
	p.ledger.healed = time.Now()
}
