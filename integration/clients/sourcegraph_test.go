package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/sourcegraph/jsonrpc2"
	stream "github.com/sourcegraph/jsonrpc2/websocket"
)

// notified hands over what comes from the daemon on its own account.
type notified func(*jsonrpc2.Request)

func (f notified) Handle(_ context.Context, _ *jsonrpc2.Conn, r *jsonrpc2.Request) { f(r) }

// withSourcegraph is what docs/clients.md shows.
func withSourcegraph(ctx context.Context, url string) error {
	// docs
	socket, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	if err != nil {
		return err
	}
	show := jsonrpc2.HandlerWithError(func(_ context.Context, _ *jsonrpc2.Conn, r *jsonrpc2.Request) (any, error) {
		return fmt.Println(r.Method, string(*r.Params)) // whoever waits here reads nothing meanwhile, not even answers
	})
	client := jsonrpc2.NewConn(ctx, stream.NewObjectStream(socket), show)
	defer client.Close()
	var subscription string
	if err := client.Call(ctx, "task.subscribe", map[string]any{"debounce_ms": 0}, &subscription); err != nil {
		return err
	}
	var created struct{ ID, Title string }
	err = client.Call(ctx, "task.create", map[string]any{"title": "Write the report"}, &created)
	if coded, ok := errors.AsType[*jsonrpc2.Error](err); ok {
		return fmt.Errorf("refused with %d", coded.Code)
	}
	// end
	return err
}

func TestSourcegraphJSONRPC2(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	url := "ws://" + serve(t) + "/rpc"
	must(t, withSourcegraph(ctx, url))
	socket, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	must(t, err)
	events := make(chan event, 10)
	client := jsonrpc2.NewConn(ctx, stream.NewObjectStream(socket), notified(func(r *jsonrpc2.Request) {
		var params struct {
			Subscription string `json:"subscription"`
			Result       event  `json:"result"`
		}
		if err := json.Unmarshal(*r.Params, &params); err != nil || r.Method != "task.event" || !r.Notif || params.Subscription != "s1" {
			t.Errorf("notified of %s %s: %v", r.Method, *r.Params, err)
		}
		events <- params.Result
	}))
	defer client.Close()
	var subscription string
	must(t, client.Call(ctx, "task.subscribe", map[string]any{"debounce_ms": 0}, &subscription))
	var created, updated task
	must(t, client.Call(ctx, "task.create", []string{"by position"}, &created))
	must(t, client.Call(ctx, "task.update", map[string]any{"id": created.ID, "status": "done"}, &updated, jsonrpc2.PickID(jsonrpc2.ID{Str: "mine", IsString: true})))
	for _, want := range []string{"bookmark", "created", "updated"} {
		select {
		case e := <-events:
			if e.ChangeType != want {
				t.Errorf("got %+v, want one that is %s", e, want)
			}
		case <-ctx.Done():
			t.Fatal("no event comes")
		}
	}
	err = client.Call(ctx, "task.update", map[string]any{"id": created.ID, "statsu": "todo"}, nil)
	refused, _ := errors.AsType[*jsonrpc2.Error](err)
	if refused == nil || refused.Code != jsonrpc2.CodeInvalidParams || refused.Data == nil {
		t.Errorf("an unknown member: %v", err)
	}
	var pong string
	must(t, client.Call(ctx, "server.ping", nil, &pong)) // sends "params":null
	var ended bool
	if err := client.Call(ctx, "task.unsubscribe", []string{subscription}, &ended); err != nil || !ended || pong != "pong" {
		t.Errorf("%q, unsubscribed: %v, %v", pong, ended, err)
	}
	must(t, client.Notify(ctx, "task.delete", map[string]any{"id": created.ID}))
	err = client.Call(ctx, "task.get", map[string]any{"id": created.ID}, nil)
	if refused, _ := errors.AsType[*jsonrpc2.Error](err); refused == nil || refused.Code != -32001 {
		t.Errorf("after the deletion: %v", err)
	}
}
