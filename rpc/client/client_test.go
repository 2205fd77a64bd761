package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func TestMethods(t *testing.T) {
	ctx := t.Context()
	c := dial(t, startDaemon(t).url(), client.Options{})
	must(t, c.Ping(ctx))

	task, err := c.Create(ctx, schema.Draft{ID: "a", Title: "first", Metadata: []byte(`{"b":1e2,"a":"x"}`)})
	must(t, err)
	if task.ID != "a" || task.Status != schema.Todo || string(task.Metadata) != `{"b":1e2,"a":"x"}` {
		t.Fatalf("created %+v", task)
	}
	task, err = c.Update(ctx, schema.UpdateParams{
		ID: "a", Patch: schema.Patch{Status: schema.Some(schema.Done)}, ExpectedVersion: &task.Version,
	})
	must(t, err)
	if fresh, err := c.GetFresh(ctx, "a"); err != nil || fresh.Version != task.Version {
		t.Errorf("%+v, %v", fresh, err)
	}
	got, err := c.Get(ctx, "a")
	must(t, err)
	if got.Status != schema.Done || got.Version != task.Version {
		t.Fatalf("got %+v after %+v", got, task)
	}

	applied, err := c.Apply(ctx,
		schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: "b", Title: "second"}},
		schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: "a"}},
	)
	must(t, err)
	if r := applied.Results; r[0].Task.ID != "b" || r[0].Deleted != nil || r[1].Deleted.ID != "a" || r[1].Task != nil {
		t.Fatalf("applied %+v", applied)
	}
	page, err := c.List(ctx, schema.ListParams{})
	must(t, err)
	if len(page.Tasks) != 1 || page.Tasks[0].Title != "second" || page.NextPageToken != nil || page.Cursor != applied.Cursor {
		t.Fatalf("listed %+v after %s", page, applied.Cursor)
	}
	history, err := c.History(ctx, schema.HistoryParams{})
	must(t, err)
	var types []schema.ChangeType
	for _, e := range history.Events {
		types = append(types, e.ChangeType)
	}
	if want := []schema.ChangeType{schema.Created, schema.Updated, schema.Created, schema.Deleted}; !slices.Equal(types, want) {
		t.Fatalf("history is %v, want %v", types, want)
	}
	backwards, err := c.History(ctx, schema.HistoryParams{Before: new(schema.BeforeEnd), Limit: new(int64(1))})
	must(t, err)
	if len(backwards.Events) != 1 || backwards.Events[0].ChangeType != schema.Deleted || backwards.Next == nil || *backwards.Next != history.Events[2].Cursor {
		t.Fatalf("history backwards is %+v", backwards)
	}
	info, err := c.Info(ctx)
	must(t, err)
	stats, err := c.Stats(ctx)
	must(t, err)
	if info.Cursor != applied.Cursor || info.Version != "test" || stats.Tasks[schema.Todo] != 1 {
		t.Fatalf("info %+v, stats %+v", info, stats)
	}
	deleted, err := c.Delete(ctx, schema.DeleteParams{ID: "b"})
	must(t, err)
	if deleted.ID != "b" || deleted.Version <= got.Version {
		t.Fatalf("deleted %+v", deleted)
	}
}

func TestErrorAnswers(t *testing.T) {
	ctx := t.Context()
	c := dial(t, startDaemon(t).url(), client.Options{})
	task := create(t, c, "one")

	_, err := c.Get(ctx, "none")
	if !errors.Is(err, schema.NotFound("")) || errors.Is(err, schema.Exists("", nil)) {
		t.Fatalf("get: %v", err)
	}
	_, err = c.Update(ctx, schema.UpdateParams{ID: task.ID, ExpectedVersion: new(int64(99))})
	conflict, ok := errors.AsType[*schema.Error](err)
	if !ok || conflict.Code != schema.CodeVersionConflict || *conflict.Data.Actual != task.Version || conflict.Data.Task == nil {
		t.Fatalf("update: %v, %+v", err, conflict)
	}
	err = c.Call(ctx, "task.nothing", nil, nil)
	if schema.CodeOf(err) != schema.CodeMethodNotFound {
		t.Fatalf("unknown method: %v", err)
	}
	var number int
	if err = c.Call(ctx, schema.MethodPing, nil, &number); err == nil || !strings.Contains(err.Error(), "read the result of server.ping") {
		t.Fatalf("a result of another type: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	d := startDaemon(t)
	evil := client.Options{Header: http.Header{"Origin": {"http://evil.example"}}}
	_, err := client.Dial(t.Context(), d.url(), evil)
	if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Status != http.StatusForbidden {
		t.Errorf("another origin: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = client.Dial(ctx, d.url(), client.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	d.stop()
	if _, err = client.Dial(t.Context(), d.url(), client.Options{}); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	for _, url := range []string{"", "127.0.0.1:7420", "ftp://host/", "ws:///rpc", "ws+unix://", "%"} {
		if _, err = client.Dial(t.Context(), url, client.Options{}); err == nil || errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	d := startDaemon(t)
	for _, url := range []string{"ws://" + d.address, "http://" + d.address + "/", "http://" + d.address + "/rpc"} {
		c := dial(t, url, client.Options{})
		if c.URL() != d.url() {
			t.Errorf("%s became %s", url, c.URL())
		}
	}
}

func TestCallsReconnect(t *testing.T) {
	d := startDaemon(t)
	fragile := dial(t, d.url(), client.Options{})
	robust := dial(t, d.url(), client.Options{Reconnect: true})
	must(t, robust.Ping(t.Context()))
	d.stop()
	if err := fragile.Ping(t.Context()); !errors.Is(err, client.ErrDisconnected) {
		t.Errorf("after the loss: %v", err)
	}
	for { // the connection may seem to be there for another moment
		err := robust.Ping(t.Context())
		if errors.Is(err, client.ErrUnreachable) {
			break
		}
		if !errors.Is(err, client.ErrDisconnected) {
			t.Fatalf("while the daemon is away: %v", err)
		}
	}
	d.start()
	must(t, robust.Ping(t.Context()))
	if err := fragile.Ping(t.Context()); !errors.Is(err, client.ErrDisconnected) {
		t.Errorf("without Reconnect: %v", err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	c := dial(t, startDaemon(t).url(), client.Options{Reconnect: true})
	sub, err := c.Subscribe(t.Context(), schema.SubscribeParams{})
	must(t, err)
	nextAny(t, sub)
	waiting := make(chan error)
	go func() {
		_, err := sub.Next(context.Background())
		waiting <- err
	}()
	must(t, c.Close())
	must(t, c.Close())
	if err := <-waiting; !errors.Is(err, client.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	for range sub.Events(t.Context()) {
		t.Error("an event after Close")
	}
	if err := c.Ping(t.Context()); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Ping: %v", err)
	}
	if _, err := c.Subscribe(t.Context(), schema.SubscribeParams{}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Subscribe: %v", err)
	}
}

// What a caller gives arrives as it is, byte for byte: encoding/json escapes for HTML
// unless it is told not to.
func TestMetadataIsSentAsItIs(t *testing.T) {
	ctx := t.Context()
	c := dial(t, startDaemon(t).url(), client.Options{})
	const metadata = "{\"a\":\"<&>\u2028\",\"b\":1e2}"
	task, err := c.Create(ctx, schema.Draft{ID: "a", Title: "<&>", Metadata: []byte(metadata)})
	must(t, err)
	applied, err := c.Apply(ctx,
		schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: "b", Title: "second", Metadata: []byte(metadata)}},
		schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{
			ID: "b", Patch: schema.Patch{Metadata: schema.Some(json.RawMessage(`{"c":"<>"}`))},
		}},
	)
	must(t, err)
	patched, err := c.Update(ctx, schema.UpdateParams{ID: "a", Patch: schema.Patch{Metadata: schema.Some(json.RawMessage(`{"c":"<>"}`))}})
	must(t, err)
	after := strings.TrimSuffix(metadata, "}") + `,"c":"<>"}`
	for i, got := range []*schema.Task{task, patched, applied.Results[0].Task, applied.Results[1].Task} {
		if want := []string{metadata, after, metadata, after}[i]; string(got.Metadata) != want {
			t.Errorf("%d: metadata is %s, was given as %s", i, got.Metadata, want)
		}
	}
}

// What is told of an address where no daemon is, and of one that ended, is one cause,
// not every layer on the way to it.
func TestErrorsAreBrief(t *testing.T) {
	_, err := client.Dial(t.Context(), "ws://127.0.0.1:1/rpc", client.Options{})
	const want = "no daemon answers at ws://127.0.0.1:1/rpc: dial tcp 127.0.0.1:1: connect: connection refused"
	if err == nil || err.Error() != want || !errors.Is(err, client.ErrUnreachable) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want %s", err, want)
	}
}
