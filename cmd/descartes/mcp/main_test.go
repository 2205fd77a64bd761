package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/descartes-tasks/descartes/cmd/descartes/mcp"
	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The two protocols that agents speak: the newest one has no handshake.
var protocols = []string{"2025-11-25", "2026-07-28"}

// patience bounds what a test waits for.
const patience = 20 * time.Second

// daemon is a real one that can be stopped and started again at its address.
type daemon struct {
	t       *testing.T
	path    string
	address string // known from the first start on, and the same ever after: agents read it at any time
	stop    func()
}

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, path: filepath.Join(t.TempDir(), "tasks.db"), address: "127.0.0.1:0"}
	d.start()
	t.Cleanup(func() { d.stop() })
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	ctx := context.Background()
	db, err := storage.Open(ctx, storage.Config{Path: d.path})
	must(d.t, err)
	events, err := emitter.New(ctx, db, emitter.Config{})
	must(d.t, err)
	server := rpc.NewServer(rpc.Config{Emitter: events, Store: db, Version: "test"})
	listener, err := net.Listen("tcp", d.address)
	must(d.t, err)
	if address := listener.Addr().String(); d.address != address {
		d.address = address
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	d.stop = func() {
		d.stop = func() {}
		if err := errors.Join(server.Shutdown(ctx), <-served); err != nil {
			d.t.Error(err)
		}
		events.Close()
		if err := db.Close(); err != nil {
			d.t.Error(err)
		}
	}
}

func (d *daemon) url() string { return "ws://" + d.address + "/rpc" }

// dial connects as a person would, beside the agents.
func (d *daemon) dial() *client.Client {
	d.t.Helper()
	c, err := client.Dial(d.t.Context(), d.url(), client.Options{Reconnect: true})
	must(d.t, err)
	d.t.Cleanup(func() { c.Close() })
	return c
}

// agent is a session of the SDK's own client.
type agent struct {
	*sdk.ClientSession
	t               *testing.T
	updated         chan string // resources that have changed
	acked           chan string // subscriptions that the server has confirmed, of the newest protocol
	traffic         *traffic
	inputs, outputs map[string]*jsonschema.Schema // of the tools, once they were listed
	cancel          context.CancelFunc
	ended           chan error // of Serve
}

// newAgent starts a session. Without a protocol it speaks the newest one.
func newAgent(d *daemon, name string, options mcp.Options, protocol ...string) *agent {
	t := d.t
	t.Helper()
	if options.Dial == nil {
		options.Dial = func(ctx context.Context) (*client.Client, error) {
			return client.Dial(ctx, d.url(), client.Options{Reconnect: true, Backoff: func(int) time.Duration { return time.Millisecond }})
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{
		t: t, cancel: cancel, ended: make(chan error, 1), traffic: &traffic{sent: make(chan string, 1000)},
		updated: make(chan string, 1000), acked: make(chan string, 100),
	}
	near, far := sdk.NewInMemoryTransports()
	go func() { a.ended <- mcp.Serve(ctx, far, options) }()
	c := sdk.NewClient(&sdk.Implementation{Name: name, Version: "1"}, &sdk.ClientOptions{
		ResourceUpdatedHandler: func(_ context.Context, r *sdk.ResourceUpdatedNotificationRequest) { a.updated <- r.Params.URI },
	})
	c.AddReceivingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, r sdk.Request) (sdk.Result, error) {
			if p, ok := r.GetParams().(*sdk.SubscriptionsAcknowledgedParams); ok {
				a.acked <- strings.Join(p.Notifications.ResourceSubscriptions, " ")
			}
			return next(ctx, method, r)
		}
	})
	var session sdk.ClientSessionOptions
	for _, p := range protocol {
		session.ProtocolVersion = p
	}
	var err error
	a.ClientSession, err = c.Connect(t.Context(), &sdk.LoggingTransport{Transport: near, Writer: a.traffic}, &session)
	must(t, err)
	t.Cleanup(a.end)
	return a
}

// end ends the session as an agent's host does, and waits until it is over.
func (a *agent) end() {
	a.t.Helper()
	if a.ended == nil {
		return
	}
	_ = a.Close()
	if err := await(a.t, a.ended); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, io.ErrClosedPipe) {
		a.t.Errorf("the session ended with %v", err)
	}
	a.ended = nil
	a.cancel()
}

// use calls a tool with arguments in JSON.
func (a *agent) use(name, arguments string) *sdk.CallToolResult {
	a.t.Helper()
	result, err := a.CallTool(a.t.Context(), &sdk.CallToolParams{Name: name, Arguments: json.RawMessage(arguments)})
	if err != nil {
		a.t.Fatalf("%s: %v", name, err)
	}
	return result
}

// ok calls a tool that has to succeed, reads its result into out, unless that is nil,
// and gives the sentence about it.
func (a *agent) ok(name, arguments string, out any) string {
	a.t.Helper()
	result := a.use(name, arguments)
	if result.IsError {
		a.t.Fatalf("%s %s: %s", name, arguments, textOf(result))
	}
	if len(result.Content) != 2 {
		a.t.Fatalf("%s has %d contents, want a sentence and the JSON", name, len(result.Content))
	}
	structured, err := json.Marshal(result.StructuredContent)
	must(a.t, err)
	var again any
	must(a.t, json.Unmarshal([]byte(result.Content[1].(*sdk.TextContent).Text), &again))
	if repeated, _ := json.Marshal(again); !bytes.Equal(repeated, structured) {
		a.t.Errorf("%s: the text %s is not the structured content %s", name, repeated, structured)
	}
	a.isAsDescribed(name, arguments, result.StructuredContent)
	if out != nil {
		must(a.t, json.Unmarshal(structured, out))
	}
	return textOf(result)
}

// refused calls a tool that has to fail, and gives what it says.
func (a *agent) refused(name, arguments string) string {
	a.t.Helper()
	result := a.use(name, arguments)
	if !result.IsError || result.StructuredContent != nil {
		a.t.Fatalf("%s %s is no error: %s", name, arguments, textOf(result))
	}
	return textOf(result)
}

func textOf(r *sdk.CallToolResult) string {
	if len(r.Content) == 0 {
		return ""
	}
	return r.Content[0].(*sdk.TextContent).Text
}

// watch subscribes to a resource and waits until the server has confirmed it.
func (a *agent) watch(uri string) {
	a.t.Helper()
	must(a.t, a.Subscribe(a.t.Context(), &sdk.SubscribeParams{URI: uri}))
	if a.InitializeResult().ProtocolVersion >= protocols[1] {
		if got := await(a.t, a.acked); got != uri {
			a.t.Fatalf("subscribed to %s, not %s", got, uri)
		}
	}
}

// events begins to follow everything that happens, from now on.
func (d *daemon) events() func() schema.Event {
	d.t.Helper()
	sub, err := d.dial().Subscribe(d.t.Context(), schema.SubscribeParams{DebounceMS: new(int64(0))})
	must(d.t, err)
	next := func() schema.Event {
		d.t.Helper()
		ctx, cancel := context.WithTimeout(d.t.Context(), patience)
		defer cancel()
		event, err := sub.Next(ctx)
		must(d.t, err)
		return event
	}
	if event := next(); event.ChangeType != schema.Bookmark {
		d.t.Fatalf("first event %+v", event)
	}
	return func() schema.Event {
		d.t.Helper()
		for {
			if event := next(); event.ChangeType != schema.Bookmark {
				return event
			}
		}
	}
}

// await receives what has to come.
func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("not reached")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// warnings keeps what the agent is not told.
type warnings struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.WriteString(text + "\n")
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// traffic is what an agent has sent and received, whole after the end.
type traffic struct {
	bytes.Buffer
	sent chan string // names of the tools that were called
}

// Write is called under a lock, after the message has been sent.
func (l *traffic) Write(line []byte) (int, error) {
	var call struct{ Params struct{ Name string } }
	if message, sent := bytes.CutPrefix(line, []byte("write: ")); sent && json.Unmarshal(message, &call) == nil && call.Params.Name != "" {
		l.sent <- call.Params.Name
	}
	return l.Buffer.Write(line)
}

// begin calls a tool, without waiting for its answer. When it returns, the server is
// at work on the call.
func (a *agent) begin(ctx context.Context, name, arguments string) <-chan answer {
	a.t.Helper()
	answers := make(chan answer, 1)
	go func() {
		result, err := a.CallTool(ctx, &sdk.CallToolParams{Name: name, Arguments: json.RawMessage(arguments)})
		answers <- answer{result, err}
	}()
	for await(a.t, a.traffic.sent) != name {
	}
	// Requests begin in the order in which they are sent.
	if _, err := a.ReadResource(a.t.Context(), &sdk.ReadResourceParams{URI: "descartes://nowhere"}); err == nil {
		a.t.Fatal("read nothing")
	}
	return answers
}

// answer is that to a call of a tool.
type answer struct {
	result *sdk.CallToolResult
	err    error
}
