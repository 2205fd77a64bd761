package emitter_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

func TestLeaseEndsWithItsTime(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		token := f.token(claimOf("a", 5))
		after(5*time.Second - time.Millisecond)
		f.expectLeased("a:worker")
		after(time.Millisecond)
		f.expectLeased("a:")
		r.expect("0s bookmark live @1",
			`0s updated a#2 x1 todo>in_progress {"status":"todo","assigned_to":null,"ready":true,"leased_by":null} @2`,
			`5s updated a#3 x1 in_progress>todo {"status":"in_progress","assigned_to":"worker","ready":false,"leased_by":"worker"} @3`)
		if got := r.ends(); got != "a@5s" {
			t.Errorf("ended %s", got)
		}
		f.expectAnswers("-32011", f.Submit(renew("a", token)))
		if s := f.Stats(); s.Leases != 0 || s.LeasesExpired != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A renewal counts from its own time on, with the length of before or another one.
func TestRenewalMovesTheEnd(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		token := f.token(claimOf("a", 5))
		after(4 * time.Second)
		f.must(renew("a", token)) // to 9s
		after(4 * time.Second)
		f.must(renew("a", token, 60)) // to 68s
		after(50 * time.Second)
		f.must(renew("a", token, 2)) // to 60s
		after(time.Second)
		f.must(renew("a", token)) // to 61s
		after(time.Minute)
		if got := r.ends(); got != "a@1m1s" || applied.count(schema.OpExpire) != 1 {
			t.Errorf("ended %s, with %d tries", got, applied.count(schema.OpExpire))
		}
	})
}

// A renewal that comes while the lease is about to end either moves the end or is
// refused, and then the lease has ended.
func TestRenewalMeetsTheEnd(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		inBubble(t, emitter.Config{}, func(f *fixture) {
			applied := watchApply(f.journal)
			f.do(create("a"))
			r := f.follow(emitter.Spec{})
			token := f.token(claimOf("a", 5))
			after(4 * time.Second)
			applied.set(func(changes []schema.Change) error {
				if changes[0].Operations[0].Op == schema.OpCreate {
					time.Sleep(2 * time.Second) // the lease's time is over meanwhile
				}
				return nil
			})
			f.Submit(rpc(create("slow")))
			synctest.Wait()
			renewal := f.Submit(renew("a", token))
			after(20 * time.Second)
			got := answers(renewal) + " " + r.ends()
			seen[got] = true
			if got != "-32011 a@6s" && got != `{"expires_at":946684811000} a@11s` {
				t.Errorf("got %s", got)
			}
		})
	}
	if len(seen) != 2 {
		t.Errorf("seen %v", seen)
	}
}

func TestExpiryIsTriedAgain(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		f.do(create("a"), create("b"))
		r := f.follow(emitter.Spec{})
		f.token(claimOf("a", 5))
		token := f.token(claimOf("b", 5))
		after(4 * time.Second)
		applied.reset()
		applied.set(refuse)
		after(4500 * time.Millisecond)
		if got := applied.shown(); got != "expire a+expire b, expire a+expire b, expire a+expire b, expire a+expire b" &&
			applied.count(schema.OpExpire) != 8 {
			t.Errorf("tried %s", got)
		}
		f.expectLeased("a:worker b:worker")
		applied.set(nil)
		f.must(renew("b", token)) // it has not ended before the journal says so
		after(10 * time.Second)
		if got := r.ends(); got != "a@9s b@13.5s" {
			t.Errorf("ended %s", got)
		}
	})
}

// Leases that ran out while nobody was there end before anything else is written;
// those that have time left keep it.
func TestLeasesAtTheStart(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		for i := range 300 {
			f.must(rpc(create(fmt.Sprintf("t%03d", i))))
			f.token(claimOf(fmt.Sprintf("t%03d", i), 10))
		}
		f.do(create("long"))
		f.token(claimOf("long", 100))
		f.Close()
		after(60 * time.Second)
		applied.reset()
		f = newFixture(f.t, f.journal, emitter.Config{})
		f.must(rpc(create("x")))
		if n := applied.count(schema.OpExpire); n != 300 || fmt.Sprint(applied.sizes()) != "[256 44 1]" {
			t.Errorf("%d ended before the first write, in %d groups", n, len(applied.sizes())-1)
		}
		r := f.follow(emitter.Spec{})
		after(40*time.Second - time.Millisecond)
		if s := f.Stats(); s.Leases != 1 || s.LeasesExpired != 300 {
			t.Errorf("%+v", s)
		}
		after(time.Millisecond)
		if got := r.ends(); got != "long@40s" {
			t.Errorf("ended %s", got)
		}
	})
}

// Those whose connection cannot be there any more end at the start, also where that
// cannot be written at once.
func TestOrphanedLeases(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		f.do(create("a"), create("b"), create("c"))
		f.token(boundClaimOf("a", 1000, 3))
		token := f.token(boundClaimOf("b", 1000, 4))
		f.token(claimOf("c", 1000))
		f.Close()
		f.journal.orphan = 3
		applied.set(refuse)
		f = newFixture(f.t, f.journal, emitter.Config{})
		r := f.follow(emitter.Spec{})
		after(500 * time.Millisecond)
		f.expectLeased("a:worker b:worker c:worker")
		applied.set(nil)
		f.must(renew("b", token)) // it is an orphan all the same
		after(500 * time.Millisecond)
		if got := r.ends(); got != "b@500ms a@1s" {
			t.Errorf("ended %s", got)
		}
		f.expectLeased("a: b: c:worker")
	})
}

func TestAbandon(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		for _, id := range []string{"bound", "renewed", "free", "other", "again"} {
			f.do(create(id))
		}
		f.token(boundClaimOf("bound", 1000, 7))
		token := f.token(boundClaimOf("renewed", 1000, 7))
		f.token(claimOf("free", 1000)) // of the same connection
		f.token(boundClaimOf("other", 1000, 8))
		f.must(release("again", f.token(boundClaimOf("again", 1000, 7))))
		f.token(boundClaimOf("again", 1000, 8))
		f.must(renew("renewed", token, 2000))
		after(time.Second)
		r := f.follow(emitter.Spec{})
		f.Abandon(7)
		f.expectLeased("again:worker bound: free:worker other:worker renewed:")
		f.Abandon(7)
		f.Abandon(9)
		after(100 * time.Second)
		if got := r.ends(); got != "bound@0s renewed@0s" && got != "renewed@0s bound@0s" {
			t.Errorf("ended %s", got)
		}
	})
}

// Whoever has the token may renew it while the end cannot be written: the connection
// is gone, and the lease ends.
func TestAbandonedLeaseEndsAlthoughItIsRenewed(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		token := f.token(boundClaimOf("a", 1000, 7))
		applied.set(refuse)
		f.Abandon(7)
		after(1500 * time.Millisecond)
		f.expectLeased("a:worker")
		applied.set(nil)
		f.must(renew("a", token))
		after(time.Second)
		if got := r.ends(); got != "a@1.5s" {
			t.Errorf("ended %q", got)
		}
	})
}

func TestCloseEndsAbandonedLeases(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"), create("b"), create("c"))
		f.token(boundClaimOf("a", 1000, 7))
		f.token(boundClaimOf("b", 1000, 8))
		f.token(claimOf("c", 1000))
		f.Abandon(7)
		f.Close()
		f.expectLeased("a: b:worker c:worker")
		f.Abandon(8) // nobody is there; it does not wait
		f.expectLeased("a: b:worker c:worker")
	})
}

// Close does not wait for a journal that refuses.
func TestCloseGivesUpLeases(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		f.do(create("a"))
		f.token(boundClaimOf("a", 1000, 7))
		applied.set(refuse)
		f.Abandon(7)
		start := time.Now()
		f.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
		applied.set(nil)
		f.journal.orphan = 1
		f = newFixture(f.t, f.journal, emitter.Config{})
		f.expectLeased("a:")
	})
}

// twoDaemons are two emitters over one journal. move tells both that somebody else may
// have committed.
func twoDaemons(t *testing.T, config emitter.Config) (one, other *fixture, move func()) {
	journal := newFaulty()
	moved := make([]chan struct{}, 2)
	both := make([]*fixture, 2)
	for i := range both {
		moved[i] = make(chan struct{}, 1)
		both[i] = newFixture(t, &faulty{Memory: journal.Memory, moved: moved[i]}, config)
	}
	return both[0], both[1], func() {
		for _, m := range moved {
			m <- struct{}{}
		}
		synctest.Wait()
	}
}

// Each daemon of a journal ends the leases of all.
func TestLeasesOfAnotherDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, other, move := twoDaemons(t, emitter.Config{})
		f.do(create("a"), create("b"))
		move()
		r := other.follow(emitter.Spec{})
		f.token(claimOf("a", 10))
		token := f.token(claimOf("b", 10))
		move()
		if s := other.Stats(); s.Leases != 2 {
			t.Errorf("the other one knows of %d", s.Leases)
		}
		after(5 * time.Second)
		f.must(renew("b", token))
		move()
		f.Close() // without ending them: they are bound to nothing
		after(10 * time.Second)
		if got := r.ends(); got != "a@10s b@15s" || other.Stats().LeasesExpired != 2 {
			t.Errorf("ended %s", got)
		}
	})
}

// A lease ends once, whoever is first.
func TestTwoDaemonsEndALeaseOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, other, move := twoDaemons(t, emitter.Config{})
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		f.token(claimOf("a", 10))
		move()
		after(10 * time.Second)
		move()
		after(time.Hour)
		if got := r.ends(); got != "a@10s" || f.Stats().LeasesExpired+other.Stats().LeasesExpired != 1 {
			t.Errorf("ended %s", got)
		}
		if f.Stats().Leases+other.Stats().Leases != 0 {
			t.Errorf("%+v, %+v", f.Stats(), other.Stats())
		}
	})
}

// While leases of others cannot be read they are read as soon as that works, however
// much is written meanwhile.
func TestLeasesOfAnotherDaemonAreReadUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, other, move := twoDaemons(t, emitter.Config{})
		f.do(create("a"))
		f.token(claimOf("a", 10))
		other.journal.set(func(j *faulty) { j.leases = func() error { return errBroken } })
		move()
		other.journal.set(func(j *faulty) { j.leases = nil })
		f.Close()
		for range 100 {
			other.must(rpc(setPriority("a", schema.Low)))
			after(50 * time.Millisecond)
		}
		if s := other.Stats(); s.Leases != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// What a daemon does not know of yet it does not spoil: a lease that was renewed at
// another one lasts, and a connection that is gone ends it all the same.
func TestRenewalThatAnotherDaemonHasNotHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, other, move := twoDaemons(t, emitter.Config{})
		f.do(create("a"), create("b"))
		r := f.follow(emitter.Spec{})
		a, b := f.token(claimOf("a", 10)), f.token(boundClaimOf("b", 10, 7))
		after(9 * time.Second)
		other.must(renew("a", a))
		other.must(renew("b", b))
		f.Abandon(7)
		f.expectLeased("a:worker b:")
		after(9 * time.Second)
		f.expectLeased("a:worker b:")
		move()
		after(time.Second)
		move()
		if got := r.ends(); got != "b@9s a@19s" {
			t.Errorf("ended %s", got)
		}
	})
}
