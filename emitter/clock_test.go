package emitter_test

import (
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// The time of changes follows the clock, but does not go back with it by less than
// what a clock is corrected by. One that is set back by more was wrong before.
func TestClockIsSet(t *testing.T) {
	const begin = int64(1_700_000_000_000)
	clock := time.UnixMilli(begin)
	inBubble(t, emitter.Config{Now: func() time.Time { return clock }}, func(f *fixture) {
		var at int64
		f.journal.BeforeApply = func(changes []schema.Change) error {
			at = changes[0].At
			return nil
		}
		day := (24 * time.Hour).Milliseconds()
		for _, test := range []struct{ clock, want int64 }{
			{0, 0},
			{1, 1},
			{-1, 1},                  // set back a little
			{-59_998, 1},             // by not quite a minute in all
			{-59_999, 1},             // by a minute
			{2, 2},                   // caught up with
			{-59_999, -59_999},       // by more than a minute: followed
			{-59_998, -59_998},       // and on it goes
			{400 * day, 400 * day},   // ahead by a year, for a moment
			{1, 1},                   // and back
			{-400 * day, -400 * day}, // back by a year, for a moment
			{2, 2},                   // and ahead
			{2, 2},                   // it stands still
			{-begin, -begin},         // a machine that starts in 1970
			{5*day + 1, 5*day + 1},   // until it has asked
			{5 * day, 5*day + 1},     // corrected once more
			{5*day + 10, 5*day + 10}, // caught up with
			{10 * day, 10 * day},     // after a sleep
		} {
			clock = time.UnixMilli(begin + test.clock)
			f.must(schema.Change{Operations: []schema.Operation{create("")}})
			if at-begin != test.want {
				t.Errorf("at %+d the change is of %+d, want %+d", test.clock, at-begin, test.want)
			}
		}
	})
}
