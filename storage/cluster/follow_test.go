package cluster

import (
	"errors"
	"testing"
	"time"
)

// A log that seems to be too short is given its time from when it was first seen so, not
// from when it was lost: a server that comes back after an hour knows no better at first.
func TestSpell(t *testing.T) {
	var s spell
	at := time.Unix(0, 0)
	for i, c := range []struct {
		after time.Duration
		on    bool
		want  time.Duration
	}{
		{time.Hour, true, 0},
		{time.Second, true, time.Second},
		{time.Second, true, 2 * time.Second},
		{time.Second, false, 0},
		{time.Second, true, 0},
		{time.Second, true, time.Second},
	} {
		at = at.Add(c.after)
		if got := s.lasts(c.on, at); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}

// What keeps a daemon from reading is told once, even if messages can be fetched one by
// one meanwhile, and again after it was over.
func TestTroubleIsToldOnce(t *testing.T) {
	j, told := local(t), 0
	j.config.Report = func(string, error) { told++ }
	refused := errors.New("maximum consumers limit reached")
	for position := range int64(3) {
		j.troubled(refused)
		j.applied(position+1, position+1, "", nil, nil, true)
	}
	if told != 1 {
		t.Errorf("it was told %d times", told)
	}
	j.troubled(errors.New("something else"))
	j.troubled(refused)
	if told != 3 {
		t.Errorf("what is new was told %d times", told-1)
	}
}
