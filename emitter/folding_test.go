package emitter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

const window = 100 * time.Millisecond

func folding() emitter.Spec { return emitter.Spec{Debounce: window} }

func TestTwentyUpdatesGiveTwoEvents(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"))
		after(time.Second)
		r := f.follow(folding())
		r.expect("0s bookmark live @1")
		for i := range 20 {
			f.do(setTitle("a", fmt.Sprint("title ", i)))
			after(window / 25)
		}
		if held := f.Stats().HeldBack; held != 19 {
			t.Errorf("%d changes are held back", held)
		}
		r.expect(`0s updated a#2 x1 todo>todo {"title":"task"} @2`)
		after(time.Second)
		r.expect(`100ms updated a#21 x19 todo>todo {"title":"title 0"} @21`)
		if task, _ := schema.ParseTask(r.events[1].Task); task.Title != "title 19" || f.Stats().HeldBack != 0 {
			t.Errorf("the last state was %+v, %d changes are held back", task, f.Stats().HeldBack)
		}
	})
}

func TestDebounceZeroGivesEveryChange(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		f.do(create("a"))
		r := f.follow(emitter.Spec{})
		for i := range 20 {
			f.do(setTitle("a", fmt.Sprint("title ", i)))
		}
		if n := len(r.got()); n != 21 {
			t.Errorf("there were %d events", n)
		}
	})
}

func TestCreationsAndDeletionsAreNeverHeld(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(folding())
		f.do(create("a"), setTitle("a", "x"), setStatus("a", schema.Done), remove("a"), create("a"), setTitle("a", "y"))
		r.expect("0s bookmark live @0",
			"0s created a#1 x1 >todo @1", "0s deleted a#4 x3 todo> @4", "0s created a#5 x1 >todo @5")
		after(window)
		r.expect(`100ms updated a#6 x1 todo>todo {"title":"task"} @6`)
	})
}

// What was held back when the connection was lost comes after the resume.
func TestDisconnectInsideAWindowLosesNothing(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(folding())
		f.do(create("a"), setTitle("a", "x"), create("b"), setTitle("a", "y"))
		r.expect("0s bookmark live @0", "0s created a#1 x1 >todo @1", "0s created b#3 x1 >todo @1")
		r.Stop()
		if s := f.Stats(); s.HeldBack != 0 || s.Subscriptions != 0 {
			t.Errorf("after Stop there are %+v", s)
		}
		spec := folding()
		spec.Since = r.resumePoint()
		again := f.follow(spec)
		after(window)
		again.expect(`0s updated a#2 x1 todo>todo {"title":"task"} @2`, "0s created b#3 x1 >todo @3",
			"0s bookmark live @3", `100ms updated a#4 x1 todo>todo {"title":"x"} @4`)
	})
}

// A subscriber that was told of a change above its cursor, and is told of what led
// to it once more after a resume, ignores that. If folding then hid that the task
// has left since, the task would stay in its view for ever.
func TestResumeTellsThatATaskHasLeftSince(t *testing.T) {
	for _, test := range []struct {
		end  []schema.Operation
		want string
	}{
		{[]schema.Operation{setPriority("b", schema.Low)}, "updated b#6 x2 todo>todo {} left"},
		{[]schema.Operation{setPriority("b", schema.Low), remove("b")}, "deleted b#7 x3 todo>"},
	} {
		inBubble(t, emitter.Config{}, func(f *fixture) {
			spec := emitter.Spec{Debounce: time.Minute, Filter: schema.EventFilter{
				Filter: schema.Filter{PriorityAtLeast: new(schema.Medium)},
			}}
			r := f.follow(spec)
			f.do(create("b"))
			after(time.Second)
			f.do(create("a"), setTitle("a", "held"), setPriority("b", schema.Low), setPriority("b", schema.High))
			after(59 * time.Second)
			r.expect("0s bookmark live @0", "0s created b#1 x1 >todo @1", "1s created a#2 x1 >todo @2",
				"16s bookmark @2", "31s bookmark @2", "46s bookmark @2",
				`1m0s updated b#5 x2 todo>todo {"priority":"medium"} @2`) // b is in view, a#3 is held
			r.Stop()
			spec.Since = r.resumePoint()
			again := f.follow(spec)
			again.expect(`0s updated a#3 x1 todo>todo {"title":"task"} @3`,
				`0s updated b#4 x1 todo>todo {"priority":"medium"} left @4`, // to be ignored
				"0s bookmark live @4") // b#5 is held
			f.do(test.end...)
			after(time.Minute)
			for _, line := range again.got() {
				if strings.Contains(line, test.want) {
					return
				}
			}
			t.Errorf("nobody says %q", test.want)
		})
	}
}

func TestFlushEndsEveryWindow(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(folding())
		f.do(create("a"), create("b"), create("c"), setTitle("a", "x"), setTitle("b", "y"), setTitle("b", "z"))
		r.got()
		if n := r.Flush(); n != 2 {
			t.Errorf("%d events were flushed", n)
		}
		r.expect(`0s updated a#4 x1 todo>todo {"title":"task"} @4`, `0s updated b#6 x2 todo>todo {"title":"task"} @6`)
		f.do(setTitle("a", "1"), setTitle("c", "1")) // a's next window is open, c's first one ended
		r.expect(`0s updated c#8 x1 todo>todo {"title":"task"} @6`)
		after(window)
		r.expect(`100ms updated a#7 x1 todo>todo {"title":"x"} @8`)
		if n := r.Flush(); n != 0 {
			t.Errorf("%d events were flushed, but none was held", n)
		}
	})
}

// A flush counts what was committed before it, whether the subscription has
// looked at it or not.
func TestFlushAfterAWriteSendsIt(t *testing.T) {
	for range 50 {
		inBubble(t, emitter.Config{}, func(f *fixture) {
			r := f.follow(folding())
			f.do(create("a"))
			f.must(schema.Change{Operations: []schema.Operation{setTitle("a", "x")}})
			if n := r.Flush(); n != 1 {
				t.Fatalf("%d events were flushed", n)
			}
		})
	}
}

func TestFlushOfWhatIsNotRunning(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.subscribe(folding())
		if n := r.Flush(); n != 0 {
			t.Errorf("%d before Start", n)
		}
		r.Start()
		r.Start()
		r.Stop()
		r.Stop()
		if n := r.Flush(); n != 0 {
			t.Errorf("%d after Stop", n)
		}
		r.Start()
		f.do(create("a"))
		if lines := r.got(); len(lines) > 1 {
			t.Errorf("after Stop there came %q", lines)
		}
	})
}

func TestOwnIsOfTheConnection(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		spec := folding()
		spec.Source = 7
		r := f.follow(spec)
		change := func(source int64, op schema.Operation) {
			f.must(schema.Change{Source: source, Operations: []schema.Operation{op}})
		}
		change(7, create("a"))
		change(7, setTitle("a", "x"))
		change(7, setTitle("a", "y"))
		r.expect("0s bookmark live @0", "0s created a#1 x1 >todo own @1")
		after(window)
		r.expect(`100ms updated a#3 x2 todo>todo {"title":"task"} own @3`)
		change(7, setTitle("a", "x"))
		change(8, setTitle("a", "z"))
		after(window)
		r.expect(`200ms updated a#5 x2 todo>todo {"title":"y"} @5`)
	})
}

// A bookmark, too, stays before what is held back.
func TestBookmarkNeverPassesAHeldChange(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		r := f.follow(emitter.Spec{Debounce: time.Minute})
		f.do(create("a"), setTitle("a", "x"))
		r.got()
		after(15 * time.Second)
		r.expect("15s bookmark @1")
		after(45 * time.Second)
		r.expect("30s bookmark @1", "45s bookmark @1", `1m0s updated a#2 x1 todo>todo {"title":"task"} @2`)
	})
}

// A fold goes out when its window ends, whether the journal can be read or not.
func TestWindowsEndWhileTheJournalIsBroken(t *testing.T) {
	inBubble(t, emitter.Config{TailEvents: 1}, func(f *fixture) {
		r := f.follow(folding())
		f.do(create("a"), setTitle("a", "x"))
		r.got()
		f.journal.set(func(j *faulty) { j.events = broken })
		f.must(schema.Change{Operations: []schema.Operation{create("b"), create("c"), create("d")}, Transaction: true})
		after(window)
		r.expect(`100ms updated a#2 x1 todo>todo {"title":"task"} @2`)
		f.journal.set(func(j *faulty) { j.events = nil })
		after(time.Second)
		r.expect("200ms created b#3 x1 >todo @3", "200ms created c#4 x1 >todo @4", "200ms created d#5 x1 >todo @5")
	})
}
