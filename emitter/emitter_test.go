package emitter_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// blockApply makes Apply tell how many changes it was given, and wait.
func (f *fixture) blockApply() (sizes <-chan int, proceed chan<- error) {
	given, goOn := make(chan int), make(chan error)
	f.journal.BeforeApply = func(changes []schema.Change) error {
		given <- len(changes)
		return <-goOn
	}
	return given, goOn
}

func (f *fixture) submit(n int, prefix string) (writes []*emitter.Write) {
	for i := range n {
		writes = append(writes, f.Submit(schema.Change{Operations: []schema.Operation{create(fmt.Sprintf("%s%04d", prefix, i))}}))
	}
	return writes
}

func isDone(w *emitter.Write) bool {
	select {
	case <-w.Done():
		return true
	default:
		return false
	}
}

// What waits while a commit is under way is the next commit: no timer, at most
// 256 changes, in the order of Submit.
func TestGroups(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		sizes, proceed := f.blockApply()
		writes := f.submit(1, "first")
		if n := <-sizes; n != 1 {
			t.Errorf("the first group has %d", n)
		}
		writes = append(writes, f.submit(600, "w")...)
		for _, want := range []int{256, 256, 88} {
			proceed <- nil
			if n := <-sizes; n != want {
				t.Errorf("a group has %d, not %d", n, want)
			}
		}
		if isDone(writes[600]) || !isDone(writes[512]) {
			t.Error("the answers are not those of the commits")
		}
		proceed <- nil
		for i, w := range writes {
			if o := w.Outcome(); o.Err != nil || o.Last != int64(i+1) {
				t.Fatalf("write %d is %+v", i, o)
			}
		}
		if s := f.Stats(); s.Commits != 4 || s.Changes != 601 || s.Created != 601 {
			t.Errorf("%+v", s)
		}
	})
}

// Each goroutine's changes are committed in its order.
func TestOrderOfEachGoroutine(t *testing.T) {
	f := newFixture(t, newFaulty(), emitter.Config{Queue: 4})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			var writes []*emitter.Write
			for i := range 200 {
				writes = append(writes, f.Submit(schema.Change{Operations: []schema.Operation{create(fmt.Sprintf("g%d.%d", g, i))}}))
			}
			last := int64(0)
			for _, w := range writes {
				o := w.Outcome()
				if o.Err != nil || o.Last <= last {
					t.Errorf("after %d comes %+v", last, o)
				}
				last = o.Last
			}
		})
	}
	all.Wait()
}

// An answer means that whoever looks into the tail finds the event.
func TestAnswersComeAfterTheAnnouncement(t *testing.T) {
	f := newFixture(t, newFaulty(), emitter.Config{})
	for _, w := range f.submit(500, "w") {
		if o := w.Outcome(); f.Newest().Seq < o.Last {
			t.Fatalf("%d was answered, the newest is %v", o.Last, f.Newest())
		}
	}
}

// It is not in a bubble: a goroutine that waits for a lock would keep its time from
// passing.
func TestCloseFinishesWhatWasAccepted(t *testing.T) {
	f := newFixture(t, newFaulty(), emitter.Config{Queue: 2})
	sizes, proceed := f.blockApply()
	var writes []*emitter.Write
	submitted := make(chan struct{})
	go func() { writes = f.submit(100, "w"); close(submitted) }() // more than the queue holds
	<-sizes
	closed := make(chan struct{})
	go func() { f.Close(); f.Close(); close(closed) }()
	proceed <- nil
	for isOver := false; !isOver; {
		select {
		case <-sizes:
			proceed <- nil
		case <-closed:
			isOver = true
		}
	}
	<-submitted
	made := int64(0)
	for _, w := range writes {
		switch o := w.Outcome(); {
		case o.Err == nil:
			if made++; o.Last != made {
				t.Errorf("write %d is event %d", made, o.Last)
			}
		case schema.CodeOf(o.Err) != schema.CodeShuttingDown:
			t.Errorf("refused with %v", o.Err)
		}
	}
	if b, _ := f.journal.Memory.Bounds(t.Context()); made < 1 || f.Newest().Seq != made || b.Newest != made {
		t.Errorf("%d were made, the newest is %v of %v", made, f.Newest(), b)
	}
	if o := f.submit(1, "late")[0].Outcome(); schema.CodeOf(o.Err) != schema.CodeShuttingDown {
		t.Errorf("after Close: %v", o.Err)
	}
}

func TestErrorOfApplyAnswersTheWholeGroup(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(emitter.Spec{})
		sizes, proceed := f.blockApply()
		first := f.submit(1, "first")
		<-sizes
		group := f.submit(3, "group")
		proceed <- nil
		<-sizes
		next := f.submit(1, "next")
		proceed <- schema.StorageUnavailable("the disk is full")
		<-sizes
		proceed <- nil
		for _, w := range group {
			if o := w.Outcome(); schema.CodeOf(o.Err) != schema.CodeStorageUnavailable {
				t.Errorf("got %+v", o)
			}
		}
		if a, b := first[0].Outcome(), next[0].Outcome(); a.Err != nil || b.Err != nil || b.Last != 2 {
			t.Errorf("got %+v, %+v", a, b)
		}
		r.expect("0s bookmark live @0", "0s created first0000#1 x1 >todo @1", "0s created next0000#2 x1 >todo @2")
		if s := f.Stats(); s.Commits != 2 || s.Changes != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// A change that is refused does not disturb the others of its group.
func TestRefusalIsForOneChange(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		sizes, proceed := f.blockApply()
		f.submit(1, "first")
		<-sizes
		a, twice, b := f.submit(1, "a")[0], f.submit(1, "a")[0], f.submit(1, "b")[0]
		proceed <- nil
		<-sizes
		proceed <- nil
		if a.Outcome().Err != nil || schema.CodeOf(twice.Outcome().Err) != schema.CodeTaskExists || b.Outcome().Last != 3 {
			t.Errorf("got %+v, %+v, %+v", a.Outcome(), twice.Outcome(), b.Outcome())
		}
	})
}

func TestChangesAreCompleted(t *testing.T) {
	clock, ids := time.UnixMilli(5000), 0
	config := emitter.Config{
		Now:   func() time.Time { return clock },
		NewID: func() string { ids++; return fmt.Sprint("id", ids) },
	}
	inBubble(t, config, func(f *fixture) {
		var seen []schema.Change
		f.journal.BeforeApply = func(changes []schema.Change) error {
			seen = append(seen, changes...)
			return nil
		}
		submit := func(at int64) {
			clock = time.UnixMilli(at)
			f.must(schema.Change{Operations: []schema.Operation{create(""), create("mine" + fmt.Sprint(at)), create("")}})
		}
		submit(5000)
		submit(4000) // the clock was set back
		submit(6000)
		for i, want := range []int64{5000, 5000, 6000} {
			a, b := seen[i].Operations[0].Create.ID, seen[i].Operations[2].Create.ID
			if seen[i].At != want || a != fmt.Sprint("id", 2*i+1) || b != fmt.Sprint("id", 2*i+2) {
				t.Errorf("change %d is at %d, with %s, %s", i, seen[i].At, a, b)
			}
		}
	})
}

// After a restart, too, time does not go back behind the newest event.
func TestTimeGoesOnAfterARestart(t *testing.T) {
	journal := newFaulty()
	now := func(at int64) emitter.Config {
		return emitter.Config{Now: func() time.Time { return time.UnixMilli(at) }}
	}
	f := newFixture(t, journal, now(9000))
	f.must(schema.Change{Operations: []schema.Operation{create("a")}})
	f.Close()
	f = newFixture(t, journal, now(8000))
	f.must(schema.Change{Operations: []schema.Operation{create("b")}})
	if b, _ := journal.Memory.Bounds(t.Context()); b.NewestAt != 9000 {
		t.Errorf("the newest event is of %d", b.NewestAt)
	}
}

func TestNewNeedsAJournal(t *testing.T) {
	journal := newFaulty()
	journal.bounds = func() error { return errBroken }
	if _, err := emitter.New(t.Context(), journal, emitter.Config{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

// Committed is told of commits, Delivered of what was delivered live.
func TestObservers(t *testing.T) {
	var mu sync.Mutex
	commits, changes, delivered := 0, 0, 0
	config := emitter.Config{
		Committed: func(_ time.Duration, n int) { mu.Lock(); commits++; changes += n; mu.Unlock() },
		Delivered: func(took time.Duration, n int) {
			mu.Lock()
			delivered += n
			mu.Unlock()
			if took > time.Second {
				t.Errorf("an event of the past counts: %v", took)
			}
		},
	}
	inBubble(t, config, func(f *fixture) {
		f.do(create("a"), create("b"))
		after(time.Hour)
		f.follow(emitter.Spec{Since: schema.SinceStart})
		f.do(create("c"))
		mu.Lock()
		defer mu.Unlock()
		if commits != 3 || changes != 3 || delivered != 1 || f.Stats().Delivered != 3 {
			t.Errorf("%d commits of %d changes, %d of %d delivered live", commits, changes, delivered, f.Stats().Delivered)
		}
	})
}
