package emitter_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// vague is a journal that does not say what became of changes: it makes them at once,
// when it is told to, or never.
type vague struct {
	*faulty
	signal chan struct{}

	mu      sync.Mutex
	answers string // "" tells the truth; "made", "late" and "lost" are what becomes of changes
	each    bool   // each outcome is unknown, not that of all
	late    [][]schema.Change
	groups  int
}

func (v *vague) Apply(ctx context.Context, changes []schema.Change) (outcomes []schema.Outcome, events []schema.Event, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.groups++
	switch v.answers {
	case "":
		return v.faulty.Apply(ctx, changes)
	case "made":
		_, _, err = v.faulty.Apply(ctx, changes)
		v.tell()
	case "late":
		v.late = append(v.late, changes)
	}
	if err != nil || !v.each {
		return nil, nil, schema.OutcomeUnknown()
	}
	for range changes {
		outcomes = append(outcomes, schema.Outcome{Err: schema.OutcomeUnknown()})
	}
	return outcomes, nil, nil
}

func (v *vague) tell() {
	select {
	case v.signal <- struct{}{}:
	default:
	}
}

func (v *vague) become(answers string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers = answers
}

// arrive makes what is late.
func (v *vague) arrive() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, changes := range v.late {
		if _, _, err := v.faulty.Apply(context.Background(), changes); err != nil {
			panic(err)
		}
	}
	v.late = nil
	v.tell()
}

func (v *vague) tries() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, v.groups = v.groups, 0
	return n
}

// vaguely runs a test with an unknown outcome of all, and of each change.
func vaguely(t *testing.T, test func(f *fixture, v *vague)) {
	for name, each := range map[string]bool{"of all": false, "of each": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vague{faulty: newFaulty(), signal: make(chan struct{}, 1), each: each}
				v.moved = v.signal
				e, err := emitter.New(t.Context(), v, emitter.Config{BookmarkEvery: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(e.Close)
				test(&fixture{e, t, v.faulty}, v)
			})
		})
	}
}

// A claim of which nobody knows whether it was made is answered so, and does not wait; a
// lease that began after all has its length from when it shows up, and ends.
func TestClaimOfUnknownOutcome(t *testing.T) {
	vaguely(t, func(f *fixture, v *vague) {
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		v.become("late")
		f.expectAnswers("-32012", f.patient(claimOf("a", 10))...)
		f.expectWaiting(0)
		f.expectLeased("a:")
		v.become("")
		after(3 * time.Second)
		v.arrive()
		f.expectLeased("a:worker")
		if s := f.Stats(); s.Leases != 1 {
			t.Errorf("%d leases are known", s.Leases)
		}
		after(time.Minute)
		if got := r.ends(); got != "a@10s" { // by one clock it has 7 s yet when it shows up
			t.Errorf("ended %s", got)
		}
	})
}

// Who waits for the same task is served when the one who was woken for it cannot be told
// what became of that.
func TestWokenClaimOfUnknownOutcome(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		w := f.patient(anything(), anything())
		applied.onClaim(func(nth int) error {
			if nth == 1 {
				return schema.OutcomeUnknown()
			}
			return nil
		})
		f.do(create("a"))
		f.expectAnswers("-32012 a", w...)
		f.expectWaiting(0)
	})
}

// A lease that ends with a connection ends, too, when it is known of only after that
// connection is gone.
func TestLeaseShowsUpAfterItsConnection(t *testing.T) {
	vaguely(t, func(f *fixture, v *vague) {
		f.do(create("a"), create("b"), create("c"))
		v.become("late")
		claims := []*emitter.Write{f.Submit(boundClaimOf("a", 1000, 8)), f.Submit(boundClaimOf("b", 1000, 9)), f.Submit(claimOf("c", 1000))}
		f.expectAnswers("-32012 -32012 -32012", claims...)
		v.become("")
		f.Abandon(8)
		f.Abandon(7) // nothing of it ends with it
		v.arrive()
		f.expectLeased("a: b:worker c:worker")
		f.Abandon(9)
		f.expectLeased("a: b: c:worker")
	})
}

// An end of which nobody knows whether it was made is tried again as long as the lease is
// there.
func TestEndOfUnknownOutcome(t *testing.T) {
	for become, want := range map[string]string{"made": "a@5s", "lost": "a@10s", "late": "a@5s"} {
		t.Run(become, func(t *testing.T) {
			vaguely(t, func(f *fixture, v *vague) {
				f.do(create("a"))
				r := f.follow(emitter.Spec{})
				f.token(claimOf("a", 5))
				v.tries()
				v.become(become)
				after(9*time.Second + 500*time.Millisecond)
				v.become("")
				v.arrive()
				tries := v.tries()
				after(time.Hour)
				if got := r.ends(); got != want {
					t.Errorf("ended %s, want %s", got, want)
				}
				if want := map[string]int{"made": 1, "lost": 5, "late": 5}[become]; tries != want {
					t.Errorf("tried %d times, want %d", tries, want)
				}
				if n := v.tries(); become != "lost" && n != 0 {
					t.Errorf("tried %d times when it was over", n)
				}
				if s := f.Stats(); s.Leases != 0 {
					t.Errorf("%d leases are left", s.Leases)
				}
			})
		})
	}
}

// A renewal that was made although nobody could say so keeps the claim.
func TestRenewalOfUnknownOutcome(t *testing.T) {
	vaguely(t, func(f *fixture, v *vague) {
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		token := f.token(claimOf("a", 5))
		after(4 * time.Second)
		v.become("made")
		f.expectAnswers("-32012", f.Submit(renew("a", token)))
		v.become("")
		after(time.Minute)
		if got := r.ends(); got != "a@9s" {
			t.Errorf("ended %s", got)
		}
	})
}

// A change that was made although nobody could say so is an event like any other, before
// the next one.
func TestEventsOfUnknownOutcome(t *testing.T) {
	vaguely(t, func(f *fixture, v *vague) {
		r := f.follow(emitter.Spec{Source: 7})
		v.become("made")
		f.expectAnswers("-32012", f.Submit(rpc(create("a"))))
		v.become("")
		f.must(rpc(create("b")))
		r.expect("0s bookmark live @0", "0s created a#1 x1 >todo own @1", "0s created b#2 x1 >todo own @2")
	})
}
