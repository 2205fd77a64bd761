package emitter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// What has ended otherwise is forgotten, and nothing is tried for it when its time is
// over, also where claim and end were one commit.
func TestEndedLeaseIsForgotten(t *testing.T) {
	for name, end := range map[string]schema.Operation{
		"deleted": remove("a"), "overruled": setStatus("a", schema.Todo), "done": setStatus("a", schema.Done),
	} {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprint(name, together), func(t *testing.T) {
				inBubble(t, emitter.Config{}, func(f *fixture) {
					applied := watchApply(f.journal)
					f.do(create("a"))
					if together {
						proceed := make(chan struct{})
						applied.set(func(changes []schema.Change) error { <-proceed; return nil })
						f.Submit(rpc(create("first")))
						synctest.Wait()
						writes := []*emitter.Write{f.Submit(claimOf("a", 10)), f.Submit(rpc(end))}
						close(proceed)
						if answers(writes...); len(applied.sizes()) != 3 {
							t.Fatalf("%d groups", len(applied.sizes()))
						}
					} else {
						f.token(claimOf("a", 10))
						f.must(rpc(end))
					}
					if s := f.Stats(); s.Leases != 0 {
						t.Errorf("%d leases are left", s.Leases)
					}
					after(time.Hour)
					if n := applied.count(schema.OpExpire); n != 0 {
						t.Errorf("%d expiries were tried", n)
					}
				})
			})
		}
	}
}

// A claim after an end that came in the same commit is the one that counts.
func TestClaimAfterTheEndInOneCommit(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		f.token(claimOf("a", 5))
		sizes, proceed := f.blockApply()
		f.Submit(rpc(create("first")))
		<-sizes
		f.Submit(rpc(setStatus("a", schema.Todo)))
		f.Submit(claimOf("a", 7))
		proceed <- nil
		<-sizes
		proceed <- nil
		synctest.Wait()
		f.expectLeased("a:worker first:")
		go func() {
			<-sizes
			proceed <- nil
		}()
		after(time.Minute)
		if got := r.ends(); got != "a@7s" {
			t.Errorf("ended %s", got)
		}
	})
}

// leaseHouse is a journal that has nothing but leases.
type leaseHouse struct {
	*faulty
	applied *watch
	stored  []schema.Lease
	broken  atomic.Pointer[string] // a task that cannot be written
}

func (h *leaseHouse) Leases(_ context.Context, after int64) ([]schema.Lease, error) {
	return h.stored[after:], nil
}

// Apply says of each expiry that there was nothing to end.
func (h *leaseHouse) Apply(_ context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	if err := h.BeforeApply(changes); err != nil {
		return nil, nil, err
	}
	outcomes := make([]schema.Outcome, len(changes))
	for i := range outcomes {
		outcomes[i].Results = []json.RawMessage{json.RawMessage("null")}
		if broken := h.broken.Load(); broken != nil && changes[i].Operations[0].TaskID() == *broken {
			outcomes[i] = schema.Outcome{Err: errBroken}
		}
	}
	return outcomes, nil, nil
}

// newLeaseHouse has n leases that end in a minute.
func newLeaseHouse(n int) *leaseHouse {
	h := &leaseHouse{faulty: newFaulty()}
	h.applied = watchApply(h.faulty)
	for i := range n {
		h.stored = append(h.stored, schema.Lease{
			Num: int64(i + 1), TaskID: fmt.Sprint("t", i), Token: "x", LengthMS: 60_000,
			ExpiresAt: time.Now().Add(time.Minute).UnixMilli(), Source: int64(i%2 + 7),
		})
	}
	return h
}

// Leases that end together share commits, and none costs anything before.
func TestManyLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house := newLeaseHouse(10_000)
		e, err := emitter.New(t.Context(), house, emitter.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		after(time.Minute - time.Millisecond)
		if s := e.Stats(); s.Leases != 10_000 || len(house.applied.sizes()) != 0 {
			t.Errorf("%d leases, %d commits", s.Leases, len(house.applied.sizes()))
		}
		after(time.Millisecond)
		if s := e.Stats(); s.Leases != 0 || len(house.applied.sizes()) != 40 || house.applied.sizes()[0] != 256 {
			t.Errorf("%d leases are left after %d commits", s.Leases, len(house.applied.sizes()))
		}
	})
}

// A lease that another process has ended is still in the journal's keeping: it is ended
// there at once, so that nothing of it stays.
func TestLeaseThatIsEndedOutside(t *testing.T) {
	for name, end := range map[string]schema.Operation{"deleted": remove("a"), "overruled": setStatus("a", schema.Todo)} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, emitter.Config{}, func(f *fixture) {
				applied := watchApply(f.journal)
				f.do(create("a"))
				f.token(claimOf("a", 10))
				f.journal.Outside(1, end)
				after(0)
				if s := f.Stats(); s.Leases != 0 || applied.count(schema.OpExpire) != 1 || s.LeasesExpired != 0 {
					t.Errorf("%+v, with %d tries", s, applied.count(schema.OpExpire))
				}
				after(time.Hour)
				if n := applied.count(schema.OpExpire); n != 1 {
					t.Errorf("%d tries", n)
				}
			})
		})
	}
}

// A journal that takes long to refuse keeps neither writes nor Close waiting for all
// the leases that it does not end.
func TestManyLeasesAndAJournalThatRefusesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house := newLeaseHouse(2000)
		house.applied.set(func([]schema.Change) error {
			time.Sleep(5 * time.Second)
			return schema.StorageUnavailable("the disk is failing")
		})
		e, err := emitter.New(t.Context(), house, emitter.Config{})
		if err != nil {
			t.Fatal(err)
		}
		after(2 * time.Minute)
		w := e.Submit(rpc(create("a")))
		start := time.Now()
		w.Outcome()
		if took := time.Since(start); took > time.Minute {
			t.Errorf("a write was answered after %v", took)
		}
		start = time.Now()
		e.Close()
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}

// A start with very many leases to end can be stopped: the others are ended at the next
// start.
func TestStopWhileManyLeasesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house := newLeaseHouse(100_000)
		after(time.Hour)
		house.applied.set(func([]schema.Change) error {
			time.Sleep(50 * time.Millisecond) // which is 20 s for all of them
			return nil
		})
		e, err := emitter.New(t.Context(), house, emitter.Config{})
		if err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		start := time.Now()
		e.Close()
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}

// Closing at such a start, while more write than the queue has room for, ends too: who
// ends the leases must not wait for Close, which waits for the writes, which wait for it.
func TestCloseAtAStartWithAFullQueue(t *testing.T) {
	house := newLeaseHouse(600)
	for i := range house.stored {
		house.stored[i].ExpiresAt = 0
	}
	goOn := make(chan struct{})
	house.applied.set(func([]schema.Change) error { <-goOn; return nil })
	e, err := emitter.New(t.Context(), house, emitter.Config{Queue: 1})
	if err != nil {
		t.Fatal(err)
	}
	first := e.Submit(rpc(create("a"))) // has all the room that there is
	second := make(chan *emitter.Write, 1)
	go func() { second <- e.Submit(rpc(create("b"))) }()
	for !e.WriteWaits() {
		runtime.Gosched()
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		e.Close()
	}()
	for !e.CloseWaits() {
		runtime.Gosched()
	}
	close(goOn)
	<-closed
	for _, w := range []*emitter.Write{first, <-second} {
		if err := w.Outcome().Err; err != nil {
			t.Errorf("a write that was submitted was answered %v", err)
		}
	}
}

// A task that cannot be written, because its page is damaged, keeps no other one.
func TestLeaseThatCannotBeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house := newLeaseHouse(600)
		house.broken.Store(new("t7"))
		e, err := emitter.New(t.Context(), house, emitter.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		after(time.Minute)
		if s := e.Stats(); s.Leases != 1 || len(house.applied.sizes()) != 3 {
			t.Errorf("%d leases are left after %d commits", s.Leases, len(house.applied.sizes()))
		}
		after(10 * time.Second)
		if len(house.applied.sizes()) != 13 {
			t.Errorf("%d commits", len(house.applied.sizes()))
		}
		house.broken.Store(nil)
		after(time.Second)
		if s := e.Stats(); s.Leases != 0 || len(house.applied.sizes()) != 14 {
			t.Errorf("%d leases are left after %d commits", s.Leases, len(house.applied.sizes()))
		}
	})
}

// While a journal refuses it is tried once a second, however many leases are to end.
func TestManyLeasesAndAJournalThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house := newLeaseHouse(2000)
		house.applied.set(refuse)
		e, err := emitter.New(t.Context(), house, emitter.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		after(70*time.Second - time.Millisecond)
		if len(house.applied.sizes()) != 10 {
			t.Errorf("it was tried %d times in ten seconds", len(house.applied.sizes()))
		}
		house.applied.set(nil)
		after(time.Second)
		if s := e.Stats(); s.Leases != 0 {
			t.Errorf("%d leases are left", s.Leases)
		}
	})
}
