package emitter_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// Events of others are announced in their place, once, whether a token of Moved
// tells of them or the gap before an own event.
func TestEventsOfOthers(t *testing.T) {
	for name, moved := range map[string]<-chan struct{}{"moved": nil, "gap": make(chan struct{})} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				journal := newFaulty()
				if journal.moved = moved; moved != nil {
					journal.moved = make(chan struct{}) // of this bubble, and silent
				}
				f := newFixture(t, journal, emitter.Config{})
				r := f.follow(emitter.Spec{})
				after(time.Second) // the check that New arranges is over
				f.do(create("a"))
				f.journal.Outside(1, create("x"), create("y"))
				f.journal.Outside(2, create("z"))
				if moved == nil {
					after(0)
				}
				f.do(create("b"))
				f.journal.BeforeApply = func([]schema.Change) error {
					f.journal.Outside(3, create("w")) // in the very last moment
					return nil
				}
				f.do(create("c"))
				r.expect("0s bookmark live @0", "1s created a#1 x1 >todo @1", "1s created x#2 x1 >todo @2",
					"1s created y#3 x1 >todo @3", "1s created z#4 x1 >todo @4", "1s created b#5 x1 >todo @5",
					"1s created w#6 x1 >todo @6", "1s created c#7 x1 >todo @7")
				if s := f.Stats(); s.Created != 7 {
					t.Errorf("%d creations were announced", s.Created)
				}
			})
		})
	}
}

// While the journal cannot be read, events of others wait, and own ones behind
// them. Nothing is lost or doubled afterwards.
func TestCatchUpAfterTheJournalWasBroken(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(emitter.Spec{})
		after(time.Second)
		f.journal.set(func(j *faulty) { j.events = broken })
		f.journal.Outside(1, create("x"))
		f.do(create("a"), create("b"))
		f.journal.Outside(1, create("y"))
		after(time.Second)
		r.expect("0s bookmark live @0")
		f.journal.set(func(j *faulty) { j.events = nil })
		after(100 * time.Millisecond)
		f.do(create("c"))
		want := []string{"x#1", "a#2", "b#3", "y#4", "c#5"}
		lines := r.got()
		for i, line := range lines {
			if i >= len(want) || line != fmt.Sprintf("2.1s created %s x1 >todo @%d", want[i], i+1) {
				t.Errorf("got %q", line)
			}
		}
		if len(lines) != len(want) || f.Stats().Created != 5 {
			t.Errorf("there were %d events, %d announced", len(lines), f.Stats().Created)
		}
	})
}

// Own events wait only for those before them: when nothing is missing they are
// announced at once, whatever else cannot be read.
func TestBrokenBoundsDelayNothing(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(emitter.Spec{})
		f.journal.set(func(j *faulty) { j.bounds = func() error { return errBroken } })
		after(time.Second)
		f.do(create("a"))
		r.expect("0s bookmark live @0", "1s created a#1 x1 >todo @1")
		f.journal.set(func(j *faulty) { j.bounds = nil })
		f.journal.Outside(1, create("x"))
		after(time.Second)
		f.do(create("b"))
		r.expect("1s created x#2 x1 >todo @2", "2s created b#3 x1 >todo @3")
	})
}

// What others committed may be pruned before anybody here has read it.
func TestPrunedBeforeTheCatchUp(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		plain, snapshot := f.follow(emitter.Spec{}), f.follow(emitter.Spec{Snapshot: true})
		f.do(create("a"))
		plain.got()
		snapshot.got()
		f.journal.set(func(j *faulty) { j.events = broken })
		f.journal.Outside(1, create("x"), create("y"), create("z"))
		after(0)
		f.journal.Prune(3)
		f.journal.set(func(j *faulty) { j.events = nil })
		after(time.Second)
		f.do(create("b"))
		plain.expect("100ms resync compacted")
		snapshot.expect("100ms resync compacted", "100ms snapshot a#1", "100ms snapshot x#2", "100ms snapshot y#3",
			"100ms snapshot z#4", "100ms bookmark live @4", "1s created b#5 x1 >todo @5")
		if len(plain.ended) != 1 || !errors.Is(plain.ended[0], emitter.ErrResynced) {
			t.Errorf("ended: %v", plain.ended)
		}
	})
}
