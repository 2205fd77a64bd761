package kit

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// tryAgain is how long nobody asks again who has got no answer.
const tryAgain = 2 * time.Millisecond

// Reconnecting are the options of a client that connects again, without waiting long.
func Reconnecting() client.Options {
	return client.Options{Reconnect: true, Backoff: func(int) time.Duration { return 5 * time.Millisecond }}
}

// Unanswered tells whether a call has no answer that says what became of it: lost
// if it may have been made nevertheless.
func Unanswered(err error) (yes, lost bool) {
	if errors.Is(err, client.ErrDisconnected) {
		return true, true
	}
	switch schema.CodeOf(err) {
	case schema.CodeShuttingDown, schema.CodeStorageUnavailable:
		return true, false
	case schema.CodeOutcomeUnknown:
		return true, true
	}
	return errors.Is(err, client.ErrUnreachable), false
}

// Versions gives the seqs of the operations of a transaction.
func Versions(applied *client.Applied) []int64 {
	seqs := make([]int64, len(applied.Results))
	for i, result := range applied.Results {
		if result.Task != nil {
			seqs[i] = result.Task.Version
		} else {
			seqs[i] = result.Deleted.Version
		}
	}
	return seqs
}

// Tally counts, and tells when a number is reached.
type Tally struct {
	mu      sync.Mutex
	n, want int
	reached chan struct{}
}

// Add counts one more.
func (y *Tally) Add() {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.n++; y.n == y.want {
		close(y.reached)
	}
}

// Await waits until that many more were counted.
func (y *Tally) Await(t *testing.T, more int) {
	t.Helper()
	y.mu.Lock()
	reached := make(chan struct{})
	y.want, y.reached = y.n+more, reached
	y.mu.Unlock()
	select {
	case <-reached:
	case <-time.After(time.Minute):
		t.Fatalf("there were no %d answers within a minute", more)
	}
}

// Count gives how many were counted.
func (y *Tally) Count() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.n
}

// FromEnvironment gives a number of the environment, or a default.
func FromEnvironment(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Persist does what may fail because its connection is cut, until it does not.
func Persist[T any](ctx context.Context, do func() (T, error)) (T, error) {
	for {
		result, err := do()
		if again, _ := Unanswered(err); !again || ctx.Err() != nil {
			return result, err
		}
		<-time.After(tryAgain)
	}
}
