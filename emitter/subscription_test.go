package emitter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

func TestThePastIsOverOnce(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"), create("b"))
		now := f.follow(emitter.Spec{})
		start := f.follow(emitter.Spec{Since: schema.SinceStart})
		snapshot := f.follow(emitter.Spec{Snapshot: true})
		f.do(create("c"))
		now.expect("0s bookmark live @2", "0s created c#3 x1 >todo @3")
		start.expect("0s created a#1 x1 >todo @1", "0s created b#2 x1 >todo @2", "0s bookmark live @2",
			"0s created c#3 x1 >todo @3")
		snapshot.expect("0s snapshot a#1", "0s snapshot b#2", "0s bookmark live @2", "0s created c#3 x1 >todo @3")
	})
}

func TestBookmarkAfterSilence(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(emitter.Spec{})
		after(10 * time.Second)
		f.do(create("a"))
		after(14 * time.Second)
		r.expect("0s bookmark live @0", "10s created a#1 x1 >todo @1")
		after(16 * time.Second)
		r.expect("25s bookmark @1", "40s bookmark @1")
	})
}

// Constant traffic that does not concern a subscriber is silence to it.
func TestBookmarkUnderConstantTraffic(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(emitter.Spec{Filter: schema.EventFilter{Filter: schema.Filter{IDs: []string{"b"}}}})
		after(50 * time.Millisecond)
		f.do(create("a"))
		for i := range 400 {
			f.do(setTitle("a", fmt.Sprint(i)))
			after(100 * time.Millisecond)
		}
		r.expect("0s bookmark live @0", "15s bookmark @151", "30s bookmark @301")
	})
}

func TestBatches(t *testing.T) {
	inBubble(t, emitter.Config{BookmarkEvery: 5 * time.Second}, func(f *fixture) {
		r := f.follow(emitter.Spec{Batch: emitter.BatchSpec{Max: 3, Wait: time.Second}})
		f.do(create("a"), create("b"))
		r.expect("0s bookmark live @0")
		f.do(create("c"), create("d"))
		r.expect("b1 0s created a#1 x1 >todo @1", "b1 0s created b#2 x1 >todo @2", "b1 0s created c#3 x1 >todo @3")
		after(time.Second)
		r.expect("b2 1s created d#4 x1 >todo @4")
		f.do(create("e"))
		if n := r.Flush(); n != 1 {
			t.Errorf("%d events were flushed", n)
		}
		r.expect("b3 1s created e#5 x1 >todo @5")
		after(5 * time.Second)
		r.expect("6s bookmark @5")
	})
}

func TestBatchWithoutWait(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(emitter.Spec{Batch: emitter.BatchSpec{Max: 3}})
		f.must(schema.Change{Operations: []schema.Operation{create("a"), create("b"), create("c"), create("d")}})
		r.expect("0s bookmark live @0",
			"b1 0s created a#1 x1 >todo @1", "b1 0s created b#2 x1 >todo @2", "b1 0s created c#3 x1 >todo @3",
			"b2 0s created d#4 x1 >todo @4")
	})
}

// A bookmark waits for the batch before it.
func TestBookmarkNeverOvertakesABatch(t *testing.T) {
	inBubble(t, emitter.Config{BookmarkEvery: 5 * time.Second}, func(f *fixture) {
		f.do(create("a"), create("b"), create("c"), create("d"))
		r := f.follow(emitter.Spec{Since: schema.SinceStart, Batch: emitter.BatchSpec{Max: 3, Wait: time.Minute}})
		r.expect("b1 0s created a#1 x1 >todo @1", "b1 0s created b#2 x1 >todo @2", "b1 0s created c#3 x1 >todo @3",
			"b2 0s created d#4 x1 >todo @4", "0s bookmark live @4")
		after(time.Second)
		f.do(create("e"))
		after(4 * time.Second)
		r.expect("b3 5s created e#5 x1 >todo @5", "5s bookmark @5")
	})
}

func TestCursorsThatCannotBeContinued(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"), create("b"), create("c"))
		f.journal.Prune(2)
		for since, want := range map[string]string{
			"memory-1": schema.CursorCompacted, "memory-4": schema.CursorAhead, "other-1": schema.CursorEpoch,
			"memory-2": "", "memory-3": "", schema.SinceStart: "", "nonsense": "",
		} {
			_, err := f.Resume(t.Context(), "since", since)
			coded, _ := errors.AsType[*schema.Error](err)
			switch {
			case since == "nonsense":
				if coded == nil || coded.Data.Field != "since" {
					t.Errorf("%s: %v", since, err)
				}
			case want == "" && err != nil, want != "" && (coded == nil || coded.Data.ReasonDetail != want || coded.Data.Oldest != "memory-2"):
				t.Errorf("%s: %+v", since, err)
			}
		}
	})
}

// Who reads backwards may begin anywhere in the journal, also before what was pruned.
func TestPlacesToReadBackwardsFrom(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"), create("b"), create("c"))
		f.journal.Prune(2)
		for before, want := range map[string]int64{schema.BeforeEnd: 3, "memory-3": 3, "memory-2": 2, "memory-0": 0} {
			if place, err := f.Before(t.Context(), "before", before); place != want || err != nil {
				t.Errorf("%s: %d, %v", before, place, err)
			}
		}
		for before, want := range map[string]schema.ErrorData{
			"memory-4": {ReasonDetail: schema.CursorAhead, Oldest: "memory-2"}, "other-1": {ReasonDetail: schema.CursorEpoch, Oldest: "memory-2"},
			schema.SinceStart: {Field: "before"},
		} {
			_, err := f.Before(t.Context(), "before", before)
			coded, _ := errors.AsType[*schema.Error](err)
			if coded == nil || coded.Data.ReasonDetail != want.ReasonDetail || coded.Data.Oldest != want.Oldest || coded.Data.Field != want.Field {
				t.Errorf("%s: %+v", before, err)
			}
		}
	})
}

// stall lets a subscription wait in Send while much more happens than the tail
// holds.
func stall(f *fixture, spec emitter.Spec, changes int) *recorder {
	r := f.follow(spec)
	r.stall()
	for i := range changes {
		f.do(create(fmt.Sprintf("t%04d", i)))
	}
	return r
}

// One that does not read delays nobody, stays where it is, and goes on from the
// journal.
func TestSlowReaderGoesOnFromTheJournal(t *testing.T) {
	inBubble(t, emitter.Config{TailEvents: 8}, func(f *fixture) {
		fast := f.follow(emitter.Spec{})
		slow := stall(f, emitter.Spec{}, 1000)
		if n := len(fast.got()); n != 1001 {
			t.Errorf("the fast one got %d events", n)
		}
		if lag := f.Stats().SlowestLag; lag < 990 || lag > 999 {
			t.Errorf("the slow one lags by %d", lag)
		}
		slow.unblock()
		lines := slow.got()
		if len(lines) != 1001 || lines[1000] != "0s created t0999#1000 x1 >todo @1000" || f.Stats().SlowestLag != 0 {
			t.Errorf("the slow one got %d events, and lags by %d", len(lines), f.Stats().SlowestLag)
		}
		for i := range 1000 {
			if slow.events[i].Seq != int64(i+1) {
				t.Fatalf("event %d has seq %d", i, slow.events[i].Seq)
			}
		}
	})
}

func TestPrunedBehindASlowReader(t *testing.T) {
	inBubble(t, emitter.Config{TailEvents: 2}, func(f *fixture) {
		plain := stall(f, emitter.Spec{}, 3)
		snapshot := stall(f, emitter.Spec{Snapshot: true, Debounce: time.Minute}, 0)
		snapshot.expect("0s snapshot t0000#1", "0s snapshot t0001#2", "0s snapshot t0002#3", "0s bookmark live @3")
		f.do(setTitle("t0000", "1"), setTitle("t0000", "2"), create("a"), create("b"), remove("t0001"), create("c"))
		f.journal.Prune(7)
		plain.unblock()
		plain.expect("0s bookmark live @0", "0s created t0000#1 x1 >todo @1", "0s resync compacted")
		snapshot.unblock()
		lines := snapshot.got()
		want := []string{
			"0s resync compacted",
			"0s snapshot a#6", "0s snapshot b#7", "0s snapshot c#9", "0s snapshot t0000#5", "0s snapshot t0002#3",
			"0s bookmark live @9",
		}
		if len(lines) < len(want) || fmt.Sprint(lines[len(lines)-len(want):]) != fmt.Sprint(want) {
			t.Errorf("got %q", lines)
		}
		f.do(create("d"))
		snapshot.expect("0s created d#10 x1 >todo @10")
		plain.expect()
		if len(plain.ended) != 1 || !errors.Is(plain.ended[0], emitter.ErrResynced) || len(snapshot.ended) != 0 {
			t.Errorf("ended: %v, %v", plain.ended, snapshot.ended)
		}
		plain.Stop()
		if s := f.Stats(); s.Subscriptions != 1 || len(plain.ended) != 1 {
			t.Errorf("%d subscriptions, ended %v", s.Subscriptions, plain.ended)
		}
	})
}

func TestErrorOfSendEndsTheSubscription(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(folding())
		f.do(create("a"), setTitle("a", "held"), setTitle("a", "held too"))
		r.mu.Lock()
		r.err = errBroken
		r.mu.Unlock()
		f.do(create("b"))
		if len(r.ended) != 1 || !errors.Is(r.ended[0], errBroken) {
			t.Errorf("ended: %v", r.ended)
		}
		if s := f.Stats(); s.Subscriptions != 0 || s.HeldBack != 0 {
			t.Errorf("%+v", s)
		}
		if n := r.Flush(); n != 0 {
			t.Errorf("%d events were flushed", n)
		}
	})
}

// Stop does not wait for a journal that does not answer.
func TestStopInterruptsReading(t *testing.T) {
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	inBubble(t, emitter.Config{TailEvents: 1}, func(f *fixture) {
		f.do(create("a"), create("b"), create("c"))
		f.journal.set(func(j *faulty) { j.events, j.tasks = wait, wait })
		since := f.follow(emitter.Spec{Since: schema.SinceStart})
		snapshot := f.follow(emitter.Spec{Snapshot: true})
		since.Stop()
		snapshot.Stop()
		if lines := append(since.got(), snapshot.got()...); len(lines) > 0 || len(since.ended)+len(snapshot.ended) > 0 {
			t.Errorf("got %q", lines)
		}
	})
}

func TestBrokenJournalDelaysAPage(t *testing.T) {
	inBubble(t, emitter.Config{TailEvents: 1}, func(f *fixture) {
		f.do(create("a"), create("b"))
		f.journal.set(func(j *faulty) { j.events, j.tasks = broken, broken })
		since := f.follow(emitter.Spec{Since: schema.SinceStart})
		snapshot := f.follow(emitter.Spec{Snapshot: true})
		after(20 * time.Second)
		f.journal.set(func(j *faulty) { j.events, j.tasks = nil, nil })
		after(time.Second)
		since.expect("15s bookmark @0", "21s created a#1 x1 >todo @1", "21s created b#2 x1 >todo @2", "21s bookmark live @2")
		snapshot.expect("21s snapshot a#1", "21s snapshot b#2", "21s bookmark live @2")
	})
}

func TestWithoutTask(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"))
		r := f.follow(emitter.Spec{Snapshot: true, WithoutTask: true})
		f.do(setTitle("a", "x"))
		for _, e := range r.events {
			if e.Task != nil {
				t.Errorf("%s has a task", line(0, &e))
			}
		}
		r.expect("0s snapshot a#1", "0s bookmark live @1", `0s updated a#2 x1 todo>todo {"title":"task"} @2`)
	})
}

// Start, Stop and Flush may meet in any order; run with -race.
func TestLifecycleRaces(t *testing.T) {
	f := newFixture(t, newFaulty(), emitter.Config{TailEvents: 4})
	var all sync.WaitGroup
	writing, stop := context.WithCancel(t.Context())
	all.Go(func() {
		for i := 0; i < 1000 && writing.Err() == nil; i++ {
			f.Submit(schema.Change{Operations: []schema.Operation{create(fmt.Sprint("t", i))}}).Outcome()
		}
	})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for i := range 50 {
				spec := emitter.Spec{Debounce: time.Millisecond, Snapshot: i%2 == 0, Batch: emitter.BatchSpec{Max: i % 3}}
				s, err := f.Subscribe(t.Context(), spec, discard{})
				if err != nil {
					t.Error(err)
					return
				}
				var callers sync.WaitGroup
				callers.Go(s.Start)
				callers.Go(func() { s.Flush() })
				callers.Go(func() { f.Stats() })
				callers.Go(s.Stop)
				callers.Wait()
				s.Stop()
			}
		})
	}
	users.Wait()
	stop()
	all.Wait()
	if s := f.Stats(); s.Subscriptions != 0 || s.HeldBack != 0 {
		t.Errorf("%+v", s)
	}
}

// discard is a sink that encodes what it gets, and forgets it.
type discard struct{}

func (discard) Send(events []emitter.Delivery) error {
	var buffer [4096]byte
	for i := range events {
		if raw := events[i].Append(buffer[:0]); !json.Valid(raw) {
			return fmt.Errorf("not JSON: %s", raw)
		}
	}
	return nil
}

func (d discard) SendBatch(b emitter.Batch) error { return d.Send(b.Events) }
func (discard) Ended(error)                       {}
