package journaltest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

// claimed applies a claim and gives its result, nil if it found nothing.
func (f *fixture) claimed(c schema.Change) *schema.ClaimResult {
	f.Helper()
	outcome, _ := f.must(c)
	var result *schema.ClaimResult
	if err := json.Unmarshal(outcome.Results[0], &result); err != nil {
		f.Fatalf("%s: %v", outcome.Results[0], err)
	}
	return result
}

// leases reads all leases after a Num.
func (f *fixture) leases(after int64) []schema.Lease {
	f.Helper()
	leases, err := f.j.Leases(f.Context(), after)
	if err != nil {
		f.Fatalf("Leases: %v", err)
	}
	return leases
}

// held tells who holds which task by which token.
func (f *fixture) held() string {
	f.Helper()
	var all []string
	for _, l := range f.leases(0) {
		all = append(all, l.TaskID+" "+l.Token)
	}
	return strings.Join(all, ", ")
}

func claim(token string, p schema.ClaimParams) schema.Operation {
	if p.AssignedTo == "" {
		p.AssignedTo = "worker " + token
	}
	return normal(schema.Operation{Op: schema.OpClaim, Claim: &schema.Claim{ClaimParams: p, LeaseToken: token}})
}

func renew(id, token string, ms ...int64) schema.Operation {
	p := &schema.RenewParams{ID: id, LeaseToken: token}
	if len(ms) > 0 {
		p.LeaseMS = &ms[0]
	}
	return normal(schema.Operation{Op: schema.OpRenew, Renew: p})
}

func release(id, token string, status schema.Status) schema.Operation {
	return normal(schema.Operation{Op: schema.OpRelease, Release: &schema.ReleaseParams{ID: id, LeaseToken: token, Status: &status}})
}

func expire(id, token string, expiresAt *int64) schema.Operation {
	return schema.Operation{Op: schema.OpExpire, Expire: &schema.Expire{ID: id, LeaseToken: token, ExpiresAt: expiresAt}}
}

func withToken(token string, op schema.Operation) schema.Operation {
	op.Update.LeaseToken = &token
	return op
}

func withPriority(p schema.Priority, op schema.Operation) schema.Operation {
	op.Create.Priority = p
	return op
}

// Highest priority first, then oldest; equally old ones in the order of their making.
func testClaimOrder(f *fixture) {
	f.must(f.transaction(create("z"), create("a"), withPriority(schema.Low, create("last"))))
	f.do(create("later"), withPriority(schema.High, create("high")), withPriority(schema.Critical, create("waits", "a")))
	var order []string
	for i := range 6 {
		if c := f.claimed(f.change(claim(fmt.Sprint(i), schema.ClaimParams{}))); c != nil {
			order = append(order, f.task(c.Task).ID)
		}
	}
	f.same("order", order, []string{"high", "z", "a", "later", "last"})
	f.do(setStatus("a", schema.Done))
	f.same("made ready", f.task(f.claimed(f.change(claim("6", schema.ClaimParams{}))).Task).ID, "waits")
}

// A claim is an update like any other, made in the same commit as its lease.
func testClaimEvent(f *fixture) {
	f.do(create("a"))
	c := f.change(claim("t1", schema.ClaimParams{AssignedTo: "anna <&>", LeaseMS: new(int64(5000)), UntilDisconnect: new(true)}))
	c.Actor, c.Source = "token", 7
	outcome, events := f.must(c)
	f.same("events", order(events), "2 a")
	e := events[0]
	task := f.task(e.Task)
	if task.Status != schema.InProgress || task.Ready || *task.AssignedTo != "anna <&>" || *task.LeasedBy != "anna <&>" ||
		e.Origin != schema.OriginRPC || e.Actor != "token" || e.Source != 7 || e.PreviousStatus != schema.Todo ||
		string(e.Previous) != `{"status":"todo","assigned_to":null,"ready":true,"leased_by":null}` {
		f.Errorf("got%s", text(events))
	}
	f.same("result", string(outcome.Results[0]), fmt.Sprintf(`{"task":%s,"lease_token":"t1","expires_at":%d}`, e.Task, c.At+5000))
	f.same("leases", withoutNums(f.leases(0)), []schema.Lease{{
		TaskID: "a", Token: "t1", Seq: 2, LengthMS: 5000, ExpiresAt: c.At + 5000, Source: 7,
	}})
	outcome, events = f.must(f.change(claim("t2", schema.ClaimParams{})))
	f.same("nothing", string(outcome.Results[0]), "null")
	f.same("no events", len(events), 0)
}

func testClaimFilter(f *fixture) {
	f.do(create("a"), create("b"), withPriority(schema.High, create("c")), create("d", "a"))
	f.do(update("b", schema.Patch{AssignedTo: schema.Some("bo"), Title: schema.Some("paint the door")}))
	for _, test := range []struct {
		want string
		p    schema.ClaimParams
	}{
		{"", schema.ClaimParams{ID: new("d")}},
		{"", schema.ClaimParams{ID: new("c"), Filter: &schema.Filter{AssignedTo: []*string{new("bo")}}}},
		{"", schema.ClaimParams{Filter: &schema.Filter{Text: new("paint window")}}},
		{"", schema.ClaimParams{Filter: &schema.Filter{Status: []schema.Status{schema.Done}}}},
		{"", schema.ClaimParams{Filter: &schema.Filter{Ready: new(false)}}},
		{"", schema.ClaimParams{Filter: &schema.Filter{IDs: []string{"d", "none"}}}},
		{"", schema.ClaimParams{Filter: &schema.Filter{PriorityAtLeast: new(schema.Critical)}}},
		{"b", schema.ClaimParams{Filter: &schema.Filter{Text: new("DOOR pai")}}},
		{"a", schema.ClaimParams{ID: new("a")}},
		{"", schema.ClaimParams{Filter: &schema.Filter{AssignedTo: []*string{new("bo"), new("worker t")}}}},
		{"c", schema.ClaimParams{Filter: &schema.Filter{AssignedTo: []*string{nil}}}},
	} {
		got := ""
		if c := f.claimed(f.change(claim("t", test.p))); c != nil {
			got = f.task(c.Task).ID
		}
		f.same("claimed", got, test.want)
	}
	f.refused(schema.CodeTaskNotFound, f.change(claim("t", schema.ClaimParams{ID: new("nobody")})))
}

// Whoever's token is not the present one cannot write by it; people overrule.
func testLeaseToken(f *fixture) {
	f.do(create("a"), claim("t1", schema.ClaimParams{}))
	for _, op := range []schema.Operation{
		withToken("t2", update("a", schema.Patch{Title: schema.Some("x")})), renew("a", "t2"), release("a", "t2", schema.Todo),
	} {
		f.refused(schema.CodeLeaseLost, f.change(op))
	}
	f.refused(schema.CodeLeaseLost, f.change(expecting(1, withToken("t2", update("a", schema.Patch{})))))
	f.do(withToken("t1", update("a", schema.Patch{Title: schema.Some("mine")})), update("a", schema.Patch{Priority: schema.Some(schema.Low)}))
	f.same("held", f.held(), "a t1")
	f.do(withToken("t1", setStatus("a", schema.Done)))
	f.same("held", f.held(), "")
	f.refused(schema.CodeLeaseLost, f.change(withToken("t1", update("a", schema.Patch{}))))
	f.refused(schema.CodeTaskNotFound, f.change(withToken("t1", update("none", schema.Patch{}))))
	for _, op := range []schema.Operation{renew("none", "t1"), release("none", "t1", schema.Todo)} {
		f.refused(schema.CodeTaskNotFound, f.change(op))
	}
}

func testLeaseEnds(f *fixture) {
	f.do(create("a"))
	for i, end := range []schema.Operation{
		setStatus("a", schema.Blocked), setStatus("a", schema.Done), setStatus("a", schema.Todo),
		release("a", "t3", schema.Todo), release("a", "t4", schema.Blocked), release("a", "t5", schema.InProgress),
		expire("a", "t6", nil), remove("a"),
	} {
		f.do(claim(fmt.Sprintf("t%d", i), schema.ClaimParams{ID: new("a")}))
		f.same("held", f.held(), fmt.Sprintf("a t%d", i))
		f.do(end)
		f.same("held", f.held(), "")
		if end.Op != schema.OpDelete {
			f.same("leased", f.row("a").LeasedBy == nil, true)
			f.do(update("a", schema.Patch{Status: schema.Some(schema.Todo), AssignedTo: schema.Null[string]()}))
		}
	}
	f.do(create("b"), claim("t", schema.ClaimParams{}), release("b", "t", schema.Todo))
	f.same("unassigned", f.row("b").AssignedTo == nil && f.row("b").Ready, true)
	f.do(claim("t", schema.ClaimParams{}), release("b", "t", schema.Blocked))
	f.same("assigned", *f.row("b").AssignedTo, "worker t")
}

// A renewal is no event, but durable; without a length it is as long as before.
func testRenew(f *fixture) {
	f.do(create("a"), claim("t1", schema.ClaimParams{LeaseMS: new(int64(5000))}))
	first := f.leases(0)[0]
	for _, length := range []int64{5000, 7000, 7000} {
		c := f.change(renew("a", "t1"))
		if length != f.leases(0)[0].LengthMS {
			c = f.change(renew("a", "t1", length))
		}
		outcome, events := f.must(c)
		f.same("no event", len(events), 0)
		f.same("result", string(outcome.Results[0]), fmt.Sprintf(`{"expires_at":%d}`, c.At+length))
		l := f.leases(first.Num)[0]
		f.same("lease of the outcome", *outcome.Lease, l)
		if l.ExpiresAt != c.At+length || l.LengthMS != length || l.Seq != first.Seq || l.Num <= first.Num {
			f.Errorf("renewed to %+v from %+v", l, first)
		}
		first = l
	}
	f.same("newer leases", len(f.leases(first.Num)), 0)
}

// An expiry that comes too late does nothing.
func testExpire(f *fixture) {
	f.do(create("a"), claim("t1", schema.ClaimParams{}))
	end := f.leases(0)[0].ExpiresAt
	f.do(renew("a", "t1"))
	for _, late := range []schema.Operation{expire("a", "t1", &end), expire("a", "t0", nil), expire("none", "t1", nil)} {
		outcome, events := f.must(f.change(late))
		f.same("result", string(outcome.Results[0]), "null")
		f.same("no event", len(events), 0)
	}
	end = f.leases(0)[0].ExpiresAt
	c := f.change(expire("a", "t1", &end))
	c.Origin = schema.OriginLease
	_, events := f.must(c)
	task := f.task(events[0].Task)
	if task.Status != schema.Todo || task.AssignedTo != nil || !task.Ready || events[0].Origin != schema.OriginLease {
		f.Errorf("got%s", text(events))
	}
}

// An expiry that names an end of before does nothing, however little time has passed for
// the journal since: one daemon's clock may have been ahead, and stands still.
func testStalledClock(f *fixture) {
	f.do(create("a"), claim("t1", schema.ClaimParams{LeaseMS: new(int64(5000))}))
	var ends []int64
	for i := range int64(4) {
		l := f.leases(0)[0]
		if slices.Contains(ends, l.ExpiresAt) || l.ExpiresAt < f.now+5000-i*10 {
			f.Errorf("renewed to end at %d, before it was to end at %d", l.ExpiresAt, ends)
		}
		ends = append(ends, l.ExpiresAt)
		c := f.change(renew("a", "t1"))
		f.now -= 1000 + 10*(i%2) // it stands still, or goes back a little
		c.At = f.now
		outcome, _ := f.must(c)
		f.same("lease of the outcome", *outcome.Lease, f.leases(0)[0])
		for _, end := range ends {
			outcome, events := f.must(f.change(expire("a", "t1", &end)))
			f.now -= 1000
			f.same("result", string(outcome.Results[0]), "null")
			f.same("no event", len(events), 0)
		}
	}
	c := f.change(renew("a", "t1", 3000))
	f.must(c)
	f.same("a shorter one", f.leases(0)[0].ExpiresAt, c.At+3000)
	before := f.leases(0)[0].ExpiresAt
	c = f.change(renew("a", "t1"))
	c.At -= 3_600_000
	f.must(c)
	// The time of a journal may stay where it was instead.
	if end := f.leases(0)[0].ExpiresAt; end != c.At+3000 && end != before+1 {
		f.Errorf("after the clock was set back it ends at %d, not at %d or %d", end, c.At+3000, before+1)
	}
}

// What another process does to a claimed task ends the claim as anybody's change does.
func testOutsideEndsLease(f *fixture) {
	f.do(create("a"), create("b"))
	for i, op := range []schema.Operation{setStatus("a", schema.Todo), remove("b")} {
		token := fmt.Sprintf("t%d", i)
		f.do(claim(token, schema.ClaimParams{ID: new(op.TaskID())}))
		f.h.Outside(f.TB, f.j, op)
		outcomes, _ := f.apply(f.change(renew(op.TaskID(), token)))
		code := schema.CodeOf(outcomes[0].Err)
		f.same("code", code == schema.CodeLeaseLost || code == schema.CodeTaskNotFound, true)
		f.must(f.change(expire(op.TaskID(), token, nil)))
		f.same("held", f.held(), "")
	}
	f.do(claim("t2", schema.ClaimParams{ID: new("a")}))
	f.h.Outside(f.TB, f.j, setStatus("a", schema.InProgress))
	f.do(renew("a", "t2"))
}

func testReopenLeases(f *fixture) {
	f.do(create("a"), create("b"), claim("t1", schema.ClaimParams{UntilDisconnect: new(true)}), claim("t2", schema.ClaimParams{}))
	before := f.leases(0)
	f.j = f.h.Reopen(f.TB, f.j)
	f.same("leases", withoutNums(f.leases(0)), withoutNums(before))
	f.do(withToken("t2", setStatus("b", schema.Done)))
}
