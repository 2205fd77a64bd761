package emitter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// stop lets no group through until proceed is closed.
func (w *watch) stop() (proceed chan struct{}) {
	proceed = make(chan struct{})
	w.set(func([]schema.Change) error { <-proceed; return nil })
	return proceed
}

// onClaim is called before each group that begins with a claim.
func (w *watch) onClaim(do func(nth int) error) {
	nth := 0
	w.set(func(changes []schema.Change) error {
		if changes[0].Operations[0].Op != schema.OpClaim {
			return nil
		}
		nth++
		return do(nth)
	})
}

func withPriority(p schema.Priority, op schema.Operation) schema.Operation {
	op.Create.Priority = p
	return op
}

// Where the one who was woken takes another task, what it was woken for goes to the
// next, and so on.
func TestWokenClaimTakesAnotherTask(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		w := f.patient(anything(), filtered(schema.Filter{IDs: []string{"a", "b"}}),
			filtered(schema.Filter{IDs: []string{"a"}}))
		applied.onClaim(func(nth int) error {
			if nth <= 2 { // it is on its way
				id := []string{"x", "b"}[nth-1]
				f.journal.Outside(int64(nth), withPriority(schema.Critical, create(id)))
			}
			return nil
		})
		f.do(create("a"))
		f.expectAnswers("x b a", w...)
		if n := applied.count(schema.OpClaim); n != 3+3 { // one more for each
			t.Errorf("%d claims were tried", n)
		}
	})
}

// A woken claim that cannot be written is told so, and the task goes to the next.
func TestWokenClaimFails(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		w := f.patient(anything(), anything(), anything())
		applied.onClaim(func(nth int) error {
			if nth <= 2 {
				return refuse(nil)
			}
			return nil
		})
		f.do(create("a"))
		f.expectAnswers("-32010 -32010 a", w...)
		f.expectWaiting(0)
	})
}

// One that finds nothing, because somebody was faster, keeps its place.
func TestWokenClaimFindsNothing(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		w := f.patient(anything(), anything())
		applied.onClaim(func(nth int) error {
			if nth == 1 {
				f.journal.Outside(1, setStatus("a", schema.Done))
			}
			return nil
		})
		f.do(create("a"))
		f.expectAnswers("waits waits", w...)
		f.do(create("b"))
		f.expectAnswers("b waits", w...)
	})
}

// A claim that finds nothing does not miss what its own commit makes ready behind it.
func TestClaimAndReadyTaskInOneCommit(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		proceed := applied.stop()
		f.Submit(rpc(setStatus("none", schema.Done)))
		synctest.Wait()
		one := f.SubmitPatient(anything())
		f.Submit(rpc(create("a")))
		other := f.SubmitPatient(anything())
		f.Submit(rpc(create("b")))
		third := f.SubmitPatient(byID("b"))
		f.Submit(rpc(create("c")))
		close(proceed)
		f.expectAnswers("a b waits", one, other, third)
		if got := applied.shown(); got != "update none, claim+create a+create b+create c, claim+claim+claim b" {
			t.Errorf("applied %s", got)
		}
	})
}

// The lease of a task ends, others commit and a claim is withdrawn in time, although
// somebody is woken all the time.
func TestWokenClaimsHoldUpNothing(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		f.do(create("leased"))
		r := f.follow(emitter.Spec{})
		f.token(claimOf("leased", 5))
		f.do(create("bound"))
		f.token(boundClaimOf("bound", 1000, 9))
		applied.set(func([]schema.Change) error { time.Sleep(50 * time.Millisecond); return nil })
		stop := make(chan struct{})
		defer close(stop)
		for _, make := range []func(i int) schema.Change{
			func(int) schema.Change { return filtered(schema.Filter{Text: new("busy")}) },
			func(i int) schema.Change {
				op := create(fmt.Sprint("busy", i))
				op.Create.Title = "busy"
				return rpc(op)
			},
		} {
			for k := range 5 {
				go func() {
					for i := k; ; i += 5 {
						select {
						case <-stop:
							return
						default:
						}
						f.SubmitPatient(make(i)).Outcome()
					}
				}()
			}
		}
		time.Sleep(2 * time.Second)
		w := f.SubmitPatient(byID("bound"))
		f.Abandon(9)
		time.Sleep(time.Second)
		f.Withdraw(w)
		time.Sleep(5 * time.Second)
		got := r.ends()
		if !strings.Contains(got, "bound@2") || !strings.Contains(got, "leased@5") {
			t.Errorf("ended %s", got)
		}
	})
}

// Those who may wait are served in the order in which they came, also where they share
// a commit with what they wait for.
func TestPatientClaimsInOneCommit(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		w := f.patient(anything(), filtered(schema.Filter{IDs: []string{"c"}}))
		proceed := applied.stop()
		f.Submit(rpc(setStatus("none", schema.Done)))
		synctest.Wait()
		f.Submit(rpc(create("a")))
		w = append(w, f.SubmitPatient(anything()), f.SubmitPatient(anything()))
		f.Submit(rpc(create("b")))
		f.Submit(rpc(create("c")))
		w = append(w, f.SubmitPatient(byID("none")))
		withdrawn := f.SubmitPatient(anything())
		go f.Withdraw(withdrawn)
		synctest.Wait()
		impatient := f.Submit(anything()) // takes what there is
		close(proceed)
		f.expectAnswers("b c waits waits -32001 null a", append(w, withdrawn, impatient)...)
		f.do(create("d"))
		f.expectAnswers("b c d waits -32001", w...)
	})
}

// Where nobody came before it a claim needs no commit of its own.
func TestPatientClaimOfTheFirst(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		proceed := applied.stop()
		f.Submit(rpc(setStatus("none", schema.Done)))
		synctest.Wait()
		f.Submit(rpc(create("a")))
		w := f.SubmitPatient(anything())
		close(proceed)
		f.expectAnswers("a", w)
		if got := applied.shown(); got != "update none, create a+claim" {
			t.Errorf("applied %s", got)
		}
	})
}

// One that is late stays behind those who waited, also where the task comes to them only
// because the first one is withdrawn.
func TestLateClaimAndAWithdrawal(t *testing.T) {
	for range 50 {
		inBubble(t, emitter.Config{}, func(f *fixture) {
			applied := watchApply(f.journal)
			w := f.patient(anything(), anything())
			proceed := applied.stop()
			f.Submit(rpc(setStatus("none", schema.Done)))
			synctest.Wait()
			f.Submit(rpc(create("a")))
			late := f.SubmitPatient(anything())
			go f.Withdraw(w[0])
			synctest.Wait()
			close(proceed)
			if got := answers(append(w, late)...); got != "a waits waits" && got != "null a waits" {
				t.Errorf("answered %s", got)
			}
		})
	}
}

// Nobody who comes when others are woken already is served before them, however many
// they are.
func TestNobodyOvertakesTheWoken(t *testing.T) {
	for _, n := range []int{1, 300} {
		for range 20 {
			inBubble(t, emitter.Config{}, func(f *fixture) {
				applied := watchApply(f.journal)
				var waiting []*emitter.Write
				var tasks []schema.Operation
				for i := range n {
					waiting = append(waiting, f.SubmitPatient(anything()))
					tasks = append(tasks, create(fmt.Sprintf("t%03d", i)))
				}
				synctest.Wait()
				applied.set(func([]schema.Change) error { time.Sleep(time.Second); return nil })
				f.Submit(schema.Change{Transaction: true, Operations: tasks})
				synctest.Wait()
				late := []*emitter.Write{f.Submit(anything()), f.SubmitPatient(anything())}
				after(time.Minute)
				f.expectAnswers("null waits", late...)
				if sizes := applied.sizes(); slices.Max(sizes) > 256 {
					t.Errorf("commits of %d", sizes)
				}
				for i, w := range waiting {
					if got, want := answers(w), fmt.Sprintf("t%03d", i); got != want {
						t.Fatalf("%d got %s", i, got)
					}
				}
			})
		}
	}
}
