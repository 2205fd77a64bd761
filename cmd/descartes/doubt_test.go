package main

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/descartes-tasks/descartes/schema"
)

// A worker repeats what may have been made: it carries its lease token.
func TestWorkerRepeatsWhatIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{stderr: io.Discard, lease: schema.DefaultLeaseMS * 1e6}
		calls := 0
		err := w.persist(t.Context(), func() error {
			if calls++; calls < 3 {
				return schema.OutcomeUnknown()
			}
			return nil
		})
		if err != nil || calls != 3 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

// Of lines that may have been made nobody is told that they were not.
func TestLinesInDoubt(t *testing.T) {
	err := groupError(schema.OutcomeUnknown(), group{lines: []int{3, 4, 5}}, 0)
	if text := err.Error(); !strings.HasPrefix(text, "lines 3 to 5: ") || strings.Contains(text, "nothing was made") {
		t.Error(text)
	}
}
