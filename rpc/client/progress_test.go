package client

import (
	"fmt"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// What is remembered stays small, with and without a change that is held back.
func TestProgressIsBounded(t *testing.T) {
	var p progress
	event := func(seq, cursor int64) *schema.Event {
		return &schema.Event{
			Seq: seq, TaskID: fmt.Sprint(seq), ChangeType: schema.Updated,
			Cursor: schema.Cursor{Epoch: "e", Seq: cursor}.String(),
		}
	}
	for seq := int64(1); seq <= 10_000; seq++ {
		p.pass(event(seq, seq))
	}
	if len(p.seen) != 0 {
		t.Errorf("%d remembered without anything held back", len(p.seen))
	}
	for seq := int64(10_001); seq <= 20_000; seq++ {
		p.pass(event(seq, seq-50))
	}
	if len(p.seen) > 250 {
		t.Errorf("%d remembered of at most 50 that can come again", len(p.seen))
	}
	for seq := int64(20_001); seq <= 20_001+2*maxSeen; seq++ {
		p.pass(event(seq, 20_000))
	}
	if len(p.seen) > maxSeen {
		t.Errorf("%d remembered, more than the bound", len(p.seen))
	}
}

func TestBackoff(t *testing.T) {
	for attempt := range 100 {
		most := min(100*time.Millisecond<<min(attempt, 20), 10*time.Second)
		if d := backoff(attempt); d > most || d <= most/2 {
			t.Errorf("attempt %d waits %s of %s", attempt, d, most)
		}
	}
}
