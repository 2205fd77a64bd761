package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// event is what these tests read of one.
type event struct {
	Cursor     string `json:"cursor"`
	ChangeType string `json:"change_type"`
	Task       struct {
		Title  string `json:"title"`
		Status string `json:"status"`
	} `json:"task"`
	Live bool `json:"live"`
}

type task struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Status  string `json:"status"`
	Version int64  `json:"version"`
}

// withGoEthereum is what docs/clients.md shows.
func withGoEthereum(ctx context.Context, url string) error {
	// docs
	client, err := rpc.DialContext(ctx, url)
	if err != nil {
		return err
	}
	defer client.Close()
	events := make(chan json.RawMessage)
	subscription, err := client.Subscribe(ctx, "task", events, map[string]any{"debounce_ms": 0})
	if err != nil {
		return err
	}
	defer subscription.Unsubscribe()
	var created struct{ ID, Title string }
	err = client.CallContext(ctx, &created, "task.create", map[string]any{"title": "Write the report"})
	if coded, ok := errors.AsType[rpc.Error](err); ok {
		return fmt.Errorf("refused with %d", coded.ErrorCode())
	}
	fmt.Printf("%s\n%s\n", <-events, <-events) // the bookmark, and the creation
	// end
	return err
}

func TestGoEthereum(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	url := "ws://" + serve(t) + "/rpc"
	must(t, withGoEthereum(ctx, url))
	client, err := rpc.DialContext(ctx, url)
	must(t, err)
	defer client.Close()
	events := make(chan event, 10)
	subscription, err := client.Subscribe(ctx, "task", events, nil, "start", nil, 0) // filter, since, snapshot, debounce_ms
	must(t, err)
	next := func(kind string) event {
		t.Helper()
		select {
		case e := <-events:
			if e.ChangeType != kind || e.Cursor == "" {
				t.Fatalf("got %+v, want one that is %s", e, kind)
			}
			return e
		case err := <-subscription.Err():
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("no event comes")
		}
		return event{}
	}
	next("created")
	if e := next("bookmark"); !e.Live {
		t.Errorf("got %+v", e)
	}

	var created, updated task
	must(t, client.CallContext(ctx, &created, "task_create", "by position", nil, "blocked"))
	must(t, client.CallContext(ctx, &updated, "task.update", map[string]any{"id": created.ID, "status": "done"}))
	if created.Title != "by position" || created.Status != "blocked" || updated.Status != "done" {
		t.Errorf("created %+v, updated %+v", created, updated)
	}
	next("created")
	if e := next("updated"); e.Task.Status != "done" {
		t.Errorf("got %+v", e)
	}

	err = client.CallContext(ctx, nil, "task.update", map[string]any{"id": created.ID, "expected_version": created.Version})
	coded, ok := errors.AsType[rpc.DataError](err)
	if !ok || err.(rpc.Error).ErrorCode() != -32002 || coded.ErrorData().(map[string]any)["reason"] != "version_conflict" {
		t.Errorf("a conflict is %v", err)
	}

	var pong string
	batch := []rpc.BatchElem{
		{Method: "task.get", Args: []any{created.ID}, Result: &updated},
		{Method: "task.get", Args: []any{"nothing"}},
		{Method: "server.ping", Result: &pong},
	}
	must(t, client.BatchCallContext(ctx, batch))
	refused, _ := errors.AsType[rpc.Error](batch[1].Error)
	if batch[0].Error != nil || pong != "pong" || refused == nil || refused.ErrorCode() != -32001 {
		t.Errorf("a batch is answered with %v, %v, %v", batch[0].Error, batch[1].Error, batch[2].Error)
	}

	subscription.Unsubscribe() // calls task_unsubscribe
	var stats struct {
		Subscriptions int `json:"subscriptions"`
	}
	must(t, client.CallContext(ctx, &stats, "server.stats"))
	if stats.Subscriptions != 0 {
		t.Errorf("%d subscriptions are left", stats.Subscriptions)
	}
}

// Over HTTP the same client makes calls and batches, and is told that it cannot subscribe.
func TestGoEthereumOverHTTP(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := rpc.DialContext(ctx, "http://"+serve(t)+"/rpc")
	must(t, err)
	defer client.Close()
	var created task
	must(t, client.CallContext(ctx, &created, "task.create", map[string]any{"title": "over HTTP"}))
	batch := []rpc.BatchElem{{Method: "task.get", Args: []any{created.ID}, Result: &created}, {Method: "task.subscribe"}}
	must(t, client.BatchCallContext(ctx, batch))
	refused, _ := errors.AsType[rpc.Error](batch[1].Error)
	if batch[0].Error != nil || refused == nil || refused.ErrorCode() != -32601 {
		t.Errorf("answered with %v, %v", batch[0].Error, batch[1].Error)
	}
	// A notification has no answer: this client takes that for a broken one.
	if err := client.Notify(ctx, "task.delete", map[string]any{"id": created.ID}); !errors.Is(err, io.EOF) {
		t.Errorf("a notification: %v", err)
	}
	err = client.CallContext(ctx, nil, "task.get", created.ID)
	if refused, _ := errors.AsType[rpc.Error](err); refused == nil || refused.ErrorCode() != -32001 {
		t.Errorf("after the deletion: %v", err)
	}
}
