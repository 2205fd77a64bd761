package emitter_test

import (
	"testing"
	"testing/synctest"

	"github.com/descartes-tasks/descartes/emitter"
)

// Subscriptions that share a turn hold events of one at a time: while the first is
// stuck in its peer the second takes nothing from the journal, can be flushed, and
// gets everything afterwards; one with a turn of its own waits for nobody.
func TestTurns(t *testing.T) {
	inBubble(t, emitter.Config{}, func(f *fixture) {
		turn := make(chan struct{}, 1)
		stuck := f.follow(emitter.Spec{Turn: turn})
		stuck.stall()
		f.do(create("a"))
		synctest.Wait()
		waiting := f.follow(emitter.Spec{Turn: turn})
		other := f.follow(emitter.Spec{Turn: make(chan struct{}, 1)})
		f.do(create("b"))
		waiting.expect()
		other.expect("0s bookmark live @1", "0s created b#2 x1 >todo @2")
		if n := waiting.Flush(); n != 0 {
			t.Errorf("%d flushed", n)
		}
		stuck.unblock()
		stuck.expect("0s bookmark live @0", "0s created a#1 x1 >todo @1", "0s created b#2 x1 >todo @2")
		waiting.expect("0s created b#2 x1 >todo @2", "0s bookmark live @2")
	})
}
