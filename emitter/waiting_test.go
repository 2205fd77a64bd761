package emitter_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

func anything() schema.Change { return claim(schema.ClaimParams{}) }

func byID(id string) schema.Change { return claim(schema.ClaimParams{ID: &id}) }

func filtered(f schema.Filter) schema.Change { return claim(schema.ClaimParams{Filter: &f}) }

// expectWaiting compares the number of claims that wait.
func (f *fixture) expectWaiting(want int64) {
	f.t.Helper()
	if n := f.Stats().WaitingClaims; n != want {
		f.t.Errorf("%d claims wait, want %d", n, want)
	}
}

// Who came first is served first, and each ready task wakes exactly one.
func TestFirstComeFirstServed(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		w := f.patient(anything(), anything(), anything(), anything())
		f.expectAnswers("waits waits waits waits", w...)
		f.expectWaiting(4)
		applied.reset()
		f.do(create("a"))
		f.expectAnswers("a waits waits waits", w...)
		f.do(setPriority("a", schema.High), create("b"))
		f.expectAnswers("a b waits waits", w...)
		if got := applied.shown(); got != "create a, claim, update a, create b, claim" {
			t.Errorf("applied %s", got)
		}
		f.must(schema.Change{Transaction: true, Operations: []schema.Operation{create("c"), create("d"), create("e")}})
		f.expectAnswers("a b c d", w...)
		f.expectWaiting(0)
		if n := applied.count(schema.OpClaim); n != 4 {
			t.Errorf("%d claims were tried for 4 tasks", n)
		}
		f.expectAnswers("e", f.patient(anything())...)
	})
}

// Whatever makes a task ready wakes who waits: a release, an end, a status, a
// dependency that is done, a filter that matches now, another process.
func TestWhatWakes(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"))
		token := f.token(claimOf("a", 5))
		w := f.patient(anything())
		f.must(release("a", token))
		f.expectAnswers("a", w...)
		w = f.patient(claimOf("a", 5))
		after(time.Minute)
		f.expectAnswers("a", w...)
		after(5 * time.Second)
		f.do(setStatus("a", schema.Blocked), create("b"), update("b", schema.Patch{Dependencies: schema.Some([]string{"a"})}))
		high := schema.High
		w = f.patient(filtered(schema.Filter{IDs: []string{"a"}}), filtered(schema.Filter{PriorityAtLeast: &high}), byID("b"))
		f.do(setStatus("a", schema.Todo))
		f.expectAnswers("a waits waits", w...)
		f.do(setStatus("a", schema.Done))
		f.expectAnswers("a waits b", w...)
		f.do(create("c"), setTitle("c", "x"))
		f.expectAnswers("a waits b", w...)
		f.do(setPriority("c", schema.High))
		f.expectAnswers("a c b", w...)
		w = f.patient(anything())
		f.journal.Outside(1, create("d"))
		f.expectAnswers("d", w...)
	})
}

// A task goes to the first of those whom it suits, past others who came before.
func TestWaitingByFilterAndID(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		blocked := create("x")
		blocked.Create.Status = schema.Blocked
		f.do(blocked)
		high, words := schema.High, "red door"
		w := f.patient(byID("x"), filtered(schema.Filter{PriorityAtLeast: &high}), filtered(schema.Filter{Text: &words}),
			filtered(schema.Filter{AssignedTo: []*string{new("me")}}), filtered(schema.Filter{Ready: new(false)}), anything())
		applied.reset()
		f.do(create("a"))
		f.expectAnswers("waits waits waits waits waits a", w...)
		door := create("door")
		door.Create.Title = "paint the doors: red"
		f.do(door)
		f.expectAnswers("waits waits door waits waits a", w...)
		mine := create("mine")
		mine.Create.AssignedTo = new("me")
		f.do(mine, create("nobodys"))
		f.expectAnswers("waits waits door mine waits a", w...)
		f.do(setPriority("x", schema.High), setStatus("x", schema.Todo))
		f.expectAnswers("x waits door mine waits a", w...)
		f.do(setPriority("nobodys", schema.Critical))
		f.expectAnswers("x nobodys door mine waits a", w...)
		if n := applied.count(schema.OpClaim); n != 5 {
			t.Errorf("%d claims were tried for 5 tasks", n)
		}
	})
}

// Who is withdrawn waits no longer, and takes nothing any more.
func TestWithdrawWhileWaiting(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		w := f.patient(anything(), anything())
		f.Withdraw(w[0])
		f.expectAnswers("null waits", w...)
		f.Withdraw(w[0])
		applied.reset()
		f.do(create("a"))
		f.expectAnswers("null a", w...)
		if n := applied.count(schema.OpClaim); n != 1 {
			t.Errorf("%d claims were tried", n)
		}
		f.Withdraw(w[1]) // has its task
		f.Withdraw(f.Submit(anything()))
		f.expectWaiting(0)
		f.Close()
		f.Withdraw(f.SubmitPatient(anything()))
	})
}

// One that is withdrawn before it was tried is tried once: it may find a task.
func TestWithdrawBeforeTheFirstTry(t *testing.T) {
	for range 50 {
		for _, want := range []string{"null", "a"} {
			inBubble(t, emitter.Config{}, func(f *fixture) {
				applied := watchApply(f.journal)
				if want == "a" {
					f.do(create("a"))
				}
				proceed := applied.stop()
				f.Submit(rpc(setStatus("none", schema.Done)))
				synctest.Wait()
				w := f.SubmitPatient(anything())
				go f.Withdraw(w)
				synctest.Wait()
				close(proceed)
				f.expectAnswers(want, w)
				f.expectWaiting(0)
			})
		}
	}
}

// One that is withdrawn when it is woken has its task, or that goes to the next.
func TestWithdrawTheWoken(t *testing.T) {
	seen := map[string]int{}
	for range 100 {
		inBubble(t, emitter.Config{}, func(f *fixture) {
			applied := watchApply(f.journal)
			w := f.patient(anything(), anything())
			applied.reset()
			proceed := applied.stop()
			f.Submit(rpc(create("a")))
			synctest.Wait()
			go f.Withdraw(w[0])
			synctest.Wait()
			close(proceed)
			got := answers(w...)
			seen[got]++
			if n := applied.count(schema.OpClaim); n != 1 || got != "a waits" && got != "null a" {
				t.Errorf("answered %s, %d claims were tried", got, n)
			}
		})
	}
	if len(seen) != 2 {
		t.Errorf("seen %v", seen)
	}
}

// Everybody who waits for a task that is deleted is told so, and nobody else.
func TestDeletionOfWhatIsWaitedFor(t *testing.T) {
	for _, outside := range []bool{false, true} {
		inBubble(t, emitter.Config{}, func(f *fixture) {
			f.do(create("a"), setStatus("a", schema.Blocked), create("b"), setStatus("b", schema.Blocked))
			high := schema.High
			w := f.patient(byID("a"), byID("b"), anything(), byID("a"),
				claim(schema.ClaimParams{ID: new("a"), Filter: &schema.Filter{PriorityAtLeast: &high}}),
				filtered(schema.Filter{IDs: []string{"a"}}))
			if outside {
				f.journal.Outside(1, remove("a"), create("a"))
			} else {
				f.do(remove("a"))
			}
			want := "-32001 waits waits -32001 -32001 waits"
			if outside { // and is there again when they look
				want = "a waits waits waits waits waits"
			}
			f.expectAnswers(want, w...)
		})
	}
}

// Events that were pruned before they were seen may have been what somebody waits for.
func TestWaitingForWhatIsPruned(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("gone"), setStatus("gone", schema.Blocked))
		w := f.patient(byID("gone"), filtered(schema.Filter{IDs: []string{"y"}}), anything(), anything())
		f.journal.set(func(j *faulty) { j.events = broken })
		f.journal.Outside(1, create("x"), create("y"), remove("gone"))
		after(0)
		f.journal.Prune(5)
		f.expectAnswers("waits waits waits waits", w...)
		f.journal.set(func(j *faulty) { j.events = nil })
		after(time.Second)
		f.expectAnswers("-32001 y x waits", w...)
	})
}

// Events that could not be read at once wake when they are read.
func TestWaitingWhileTheJournalCannotBeRead(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		w := f.patient(byID("x"), anything(), anything())
		f.expectAnswers("-32001 waits waits", w...)
		f.journal.set(func(j *faulty) { j.events = broken })
		f.journal.Outside(1, create("x"))
		f.do(create("a"))
		f.expectAnswers("-32001 waits waits", w...)
		f.journal.set(func(j *faulty) { j.events = nil })
		after(time.Second)
		f.expectAnswers("-32001 x a", w...)
	})
}

func TestCloseAnswersWhoWaits(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		w := f.patient(anything(), byID("none"), anything())
		f.do(create("a"), create("b"))
		w = append(w, f.patient(anything(), filtered(schema.Filter{}))...)
		f.Close()
		if got := answers(w...); !strings.HasSuffix(got, "-32009 -32009") {
			t.Errorf("answered %s", got)
		}
		f.expectWaiting(0)
	})
}

// Who waits costs nothing.
func TestWaitingIsQuiet(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		applied := watchApply(f.journal)
		var claims []schema.Change
		for i := range 1000 {
			claims = append(claims, []schema.Change{anything(), filtered(schema.Filter{Text: new("x")})}[i%2])
		}
		w := f.patient(claims...)
		applied.reset()
		after(time.Hour)
		if got := applied.shown(); got != "" {
			t.Errorf("applied %s", got)
		}
		done := create("done")
		done.Create.Status = schema.Done
		f.do(done, setTitle("done", "x"))
		if n := applied.count(schema.OpClaim); n != 0 {
			t.Errorf("%d claims were tried for a task that is not ready", n)
		}
		f.do(create("a"), setTitle("a", "x"))
		if n := applied.count(schema.OpClaim); n != 1 || !slices.Equal([]string{"a", "waits"}, strings.Fields(answers(w[:2]...))) {
			t.Errorf("%d claims were tried: %s", n, answers(w[:2]...))
		}
		f.expectWaiting(999)
	})
}

// Ten thousand that wait for the same task hear of its deletion in a moment.
func TestManyWaitForOneTask(t *testing.T) {
	inBubble(t, emitter.Config{Queue: 20_000}, func(f *fixture) {
		f.do(create("a"), setStatus("a", schema.Blocked))
		var writes []*emitter.Write
		for range 10_000 {
			writes = append(writes, f.SubmitPatient(byID("a")))
		}
		synctest.Wait()
		f.expectWaiting(10_000)
		f.do(remove("a"))
		for _, w := range writes {
			if got := answers(w); got != "-32001" {
				t.Fatalf("answered %s", got)
			}
		}
		f.expectWaiting(0)
	})
}

// Who was woken before Close has its task: it was there in time.
func TestCloseServesTheWoken(t *testing.T) {
	for range 50 {
		inBubble(t, emitter.Config{}, func(f *fixture) {
			applied := watchApply(f.journal)
			w := f.patient(anything(), anything())
			proceed := applied.stop()
			f.Submit(rpc(create("a")))
			synctest.Wait()
			go f.Close()
			synctest.Wait()
			close(proceed)
			f.expectAnswers("a -32009", w...)
		})
	}
}
