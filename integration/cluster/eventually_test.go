package cluster

import (
	"testing"
	"time"
)

// eventually repeats what has to succeed soon, until it does.
func eventually(t *testing.T, what string, do func() error) {
	t.Helper()
	const pause = 20 * time.Millisecond
	for began := time.Now(); ; {
		err := do()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(pause):
		}
	}
}
