package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// everyChange is a subscription without debouncing.
func everyChange() schema.SubscribeParams { return schema.SubscribeParams{DebounceMS: new(int64(0))} }

// A consumer that is slower than the daemon, and calls it between two events, gets
// every event, however little is read ahead.
func TestSlowConsumer(t *testing.T) {
	const tasks = 200
	for name, batch := range map[string]*schema.Batch{"single": nil, "batches": {Max: 7, WaitMS: 1}} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, startDaemon(t).url(), client.Options{Buffer: 1})
			params := everyChange()
			params.Batch = batch
			sub, err := c.Subscribe(t.Context(), params)
			must(t, err)
			for i := range tasks {
				create(t, c, fmt.Sprint(i))
			}
			for i := range tasks {
				event := next(t, sub)
				task, err := c.Get(t.Context(), event.TaskID)
				must(t, err)
				if task.Title != fmt.Sprint(i) {
					t.Fatalf("event %d is of task %s", i, task.Title)
				}
			}
		})
	}
}

// Close does not wait for a consumer that takes nothing.
func TestCloseWhileEventsWait(t *testing.T) {
	c := dial(t, startDaemon(t).url(), client.Options{Buffer: 1})
	sub, err := c.Subscribe(t.Context(), everyChange())
	must(t, err)
	for i := range 20 {
		create(t, c, fmt.Sprint(i))
	}
	must(t, sub.Close())
	if _, err := sub.Next(t.Context()); !errors.Is(err, client.ErrClosed) {
		t.Error(err)
	}
}

// A subscription goes on when the daemon was away, without a gap or a repetition.
func TestSubscriptionSurvivesRestart(t *testing.T) {
	d := startDaemon(t)
	told := make(chan string, 10)
	c := dial(t, d.url(), client.Options{
		Reconnect: true, Backoff: quickly,
		Disconnected: func(err error) {
			if !errors.Is(err, client.ErrDisconnected) {
				t.Errorf("disconnected by %v", err)
			}
			told <- "lost"
		},
		Reconnected: func() { told <- "found" },
	})
	params := everyChange()
	params.Snapshot = new(true)
	create(t, c, "0")
	sub, err := c.Subscribe(t.Context(), params)
	must(t, err)
	if e := next(t, sub); e.ChangeType != schema.Snapshot {
		t.Fatalf("begins with %+v", e)
	}
	for i := 1; i <= 6; i += 2 {
		create(t, c, fmt.Sprint(i))
		if e := next(t, sub); e.ChangeType != schema.Created || e.Seq != int64(i+1) {
			t.Fatalf("%d: %+v", i, e)
		}
		d.stop()
		d.start()
		other := dial(t, d.url(), client.Options{}) // the first client may not know yet that it was cut off
		create(t, other, fmt.Sprint(i+1))
		must(t, other.Close())
		if e := next(t, sub); e.ChangeType != schema.Created || e.Seq != int64(i+2) {
			t.Fatalf("%d: %+v", i+1, e)
		}
		if lost, found := <-told, <-told; lost != "lost" || found != "found" {
			t.Fatalf("told %s, %s", lost, found)
		}
		for c.Ping(t.Context()) != nil { // lets it connect again
		}
	}
}

func TestSubscriptionEndsWithItsConnection(t *testing.T) {
	d := startDaemon(t)
	c := dial(t, d.url(), client.Options{})
	sub, err := c.Subscribe(t.Context(), everyChange())
	must(t, err)
	create(t, c, "last")
	if e := next(t, sub); e.ChangeType != schema.Created {
		t.Fatalf("%+v", e)
	}
	d.stop()
	for range 2 {
		if _, err = sub.Next(t.Context()); !errors.Is(err, client.ErrDisconnected) {
			t.Fatalf("after the end: %v", err)
		}
	}
}

// The end of a context loses nothing.
func TestNextWithContext(t *testing.T) {
	c := dial(t, startDaemon(t).url(), client.Options{})
	sub, err := c.Subscribe(t.Context(), everyChange())
	must(t, err)
	if e := nextAny(t, sub); !e.Live || sub.Cursor() != e.Cursor {
		t.Fatalf("begins with %+v, cursor %s", e, sub.Cursor())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = sub.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	create(t, c, "one")
	create(t, c, "two")
	var seqs []int64
	for e, err := range sub.Events(t.Context()) {
		must(t, err)
		if seqs = append(seqs, e.Seq); len(seqs) == 1 {
			break
		}
	}
	if e := next(t, sub); seqs[0] != 1 || e.Seq != 2 || e.Cursor != sub.Cursor() {
		t.Fatalf("%v, then %+v", seqs, e)
	}
}

func TestSubscribeErrors(t *testing.T) {
	c := dial(t, startDaemon(t).url(), client.Options{Reconnect: true})
	for since, code := range map[string]schema.Code{
		"nothing": schema.CodeInvalidParams,
		"other-5": schema.CodeCursorExpired,
	} {
		_, err := c.Subscribe(t.Context(), schema.SubscribeParams{Since: &since})
		if schema.CodeOf(err) != code {
			t.Errorf("since %s: %v", since, err)
		}
	}
}
