package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// echo answers every request with its params, or null.
func echo(c *Conn) func(*Request) {
	return func(r *Request) {
		if message := r.Answer(r.Params, nil); message != nil {
			_ = c.Write(message)
		}
	}
}

// serving runs Serve on the next accepted connection; how it ended arrives on the channel.
func serving(c *Conn, accept func(*Request)) <-chan error {
	ended := make(chan error, 1)
	c.Serve(Limits{}, accept, func(err error) { ended <- err })
	return ended
}

func TestServeAnswersWhatLibrariesChokeOn(t *testing.T) {
	url, accepted := serve(t, Options{})
	client := dialRaw(t, url)
	server := receive(t, accepted)
	ended := serving(server, echo(server))
	long := strings.Repeat("x", 70_000)
	for _, test := range [][2]string{
		{"\xff\xfe", badUTF8},
		{`{"jsonrpc":"2.0"`, badJSON},
		{``, badJSON},
		{`[]`, invalid("null", "a batch has at least one member")},
		{`{"jsonrpc":"2.0","method":"m","id":-1}`, `{"jsonrpc":"2.0","id":-1,"result":null}`},
		{`{"jsonrpc":"2.0","method":"m","id":null,"params":[1]}`, `{"jsonrpc":"2.0","id":null,"result":[1]}`},
		{`{"jsonrpc":"2.0","method":"a\"\u0000","id":1.50}`, `{"jsonrpc":"2.0","id":1.50,"result":null}`},
		{`{"jsonrpc":"2.0","method":"m","id":"` + long + `"}`, `{"jsonrpc":"2.0","id":"` + long + `","result":null}`},
		{
			`[{"jsonrpc":"2.0","method":"m","id":1},{"result":1},7,{"jsonrpc":"2.0","method":"n"}]`,
			`[{"jsonrpc":"2.0","id":1,"result":null},` + noObject + `]`,
		},
	} {
		// What is not to be answered comes before, so that its silence is seen.
		client.write(frame(0x80, opText, `{"result":1,"id":1}`), frame(0x80, opText, `{"jsonrpc":"2.0","method":"m"}`),
			controlFrame(opText, []byte(test[0]), true))
		client.expect(opText, test[1])
	}
	client.write(frame(0x80, opClose, "\x03\xe8"))
	client.expectClose(CloseNormal)
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
}

func TestServeKeepsOrder(t *testing.T) {
	server, client := pair(t, Options{})
	var got []string
	finished := make(chan struct{})
	ended := serving(server, func(r *Request) {
		if got = append(got, r.Method); r.Method == "last" {
			close(finished)
		}
	})
	notification := func(method string) []byte { return AppendNotification(nil, method, nil) }
	batch := append(append(append(append([]byte("["), notification("b")...), ','), notification("c")...), ']')
	if err := client.Write(notification("a"), batch, notification("d"), notification("last")); err != nil {
		t.Fatal(err)
	}
	receive(t, finished)
	_ = client.CloseNow()
	if err := receive(t, ended); err != nil || strings.Join(got, "") != "abcdlast" {
		t.Error(got, err)
	}
}

func TestServeEndsBlockedAccept(t *testing.T) {
	url, accepted := serve(t, Options{})
	for name, end := range map[string]func(c *Conn){
		"by Close":    func(c *Conn) { _ = c.Close(CloseGoingAway, "") },
		"by CloseNow": func(c *Conn) { _ = c.CloseNow() },
	} {
		client := dialRaw(t, url, frame(0x80, opText, `{"jsonrpc":"2.0","method":"m"}`))
		server := receive(t, accepted)
		entered := make(chan struct{})
		ended := serving(server, func(*Request) {
			close(entered)
			<-server.Done()
		})
		receive(t, entered)
		if name == "by Close" {
			client.write(frame(0x80, opClose, "\x03\xe9")) // the peer's half of the handshake
		}
		end(server)
		if err := receive(t, ended); err != nil {
			t.Error(name, err)
		}
		if name == "by Close" {
			client.expectClose(CloseGoingAway)
		}
	}
}

func TestServeSurvivesAPanic(t *testing.T) {
	url, accepted := serve(t, Options{})
	client := dialRaw(t, url)
	server := receive(t, accepted)
	ended := serving(server, func(*Request) { panic("oh") })
	client.write(frame(0x80, opText, `{"jsonrpc":"2.0","method":"m","id":7}`))
	client.expect(opText, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"Internal error","data":{"reason":"internal"}}}`)
	client.expectClose(closeInternal)
	client.write(frame(0x80, opClose, "\x03\xf3"))
	failure, ok := errors.AsType[*PanicError](receive(t, ended))
	if !ok || failure.Value != "oh" || !regexp.MustCompile(`^panic at serve_test\.go:\d+: oh$`).MatchString(failure.Error()) {
		t.Error(failure)
	}
}

func TestNothingIsLogged(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	stderr := os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = w // jsonrpc2's own logger
	defer func() { os.Stderr = stderr; log.SetOutput(stderr) }()

	url, accepted := serve(t, Options{})
	client := dialRaw(t, url, frame(0x80, opText, `{"result":1,"id":99}`), frame(0x80, opText, "junk"), frame(0xF0, opText, "x"))
	server := receive(t, accepted)
	if err := receive(t, serving(server, echo(server))); err == nil {
		t.Error("a breach of the protocol went unreported")
	}
	_ = client.Close()
	_ = w.Close()
	_, _ = logged.ReadFrom(r)
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

func TestClientCalls(t *testing.T) {
	server, conn := pair(t, Options{})
	ended := serving(server, func(r *Request) {
		switch r.Method {
		case "fail":
			_ = server.Write(r.Answer(nil, &Error{-32001, "no such task", json.RawMessage(`{"id": "x"}`)}))
		case "odd": // what a client must live with
			_ = server.Write([]byte(`junk`), []byte(`[]`), []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}`),
				[]byte(`{"jsonrpc":"2.0","id":"a","result":1}`), []byte(`{"jsonrpc":"2.0","id":4711,"result":1}`),
				[]byte(`{"jsonrpc":"2.0","method":"ask","id":1}`), r.Answer([]byte("1"), nil),
				fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":2}`, r.ID))
		case "old": // as version 1 of JSON-RPC has it
			_ = server.Write(fmt.Appendf(nil, `{"id":%s,"error":null,"result":"old"}`, r.ID))
		case "nothing":
			_ = server.Write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":null}`, r.ID))
		default:
			echo(server)(r)
		}
	})
	client := conn.Client(context.Background(), func(string, json.RawMessage) { t.Error("notified") })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var got []int
			if err := client.Call(context.Background(), "echo", json.RawMessage(fmt.Sprintf("[%d]", i)), &got); err != nil || len(got) != 1 || got[0] != i {
				t.Error(got, err)
			}
		})
	}
	wg.Wait()
	err := client.Call(context.Background(), "fail", nil, nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != -32001 || e.Message != "no such task" || string(e.Data) != `{"id": "x"}` {
		t.Error(err)
	}
	for method, want := range map[string]string{"odd": "1", "old": `"old"`, "nothing": "null"} {
		var got json.RawMessage
		if err := client.Call(context.Background(), method, nil, &got); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", method, got, err)
		}
	}
	if err := client.Call(context.Background(), "odd", nil, nil); err != nil {
		t.Error(err)
	}
	var number int
	if err := client.Call(context.Background(), "old", nil, &number); err == nil {
		t.Error("a string is read as the number", number)
	}
	if client.Err() != nil {
		t.Error(client.Err())
	}
	_ = client.Close()
	receive(t, client.Done())
	if err := client.Call(context.Background(), "echo", nil, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
}

func TestClientNotificationsInOrder(t *testing.T) {
	server, conn := pair(t, Options{})
	const n = 1000
	got := make(chan string, n)
	client := conn.Client(context.Background(), func(method string, params json.RawMessage) { got <- method + string(params) })
	defer client.Close()
	go func() {
		for i := range n {
			_ = server.Write(AppendNotification(nil, "n", []byte("["+strings.Repeat("1", i)+"]")),
				AppendNotification(nil, "m", nil), []byte(`{"jsonrpc":"2.0","method":"o","params":null}`))
		}
	}()
	for i := range n {
		for _, want := range []string{"n[" + strings.Repeat("1", i) + "]", "m", "o"} {
			if g := receive(t, got); g != want {
				t.Fatalf("got %.100q, want %.100q", g, want)
			}
		}
	}
}

func TestClientLearnsHowItEnded(t *testing.T) {
	server, conn := pair(t, Options{})
	client := conn.Client(context.Background(), nil)
	called := make(chan error, 1)
	asked := make(chan struct{})
	ended := serving(server, func(*Request) { close(asked) })
	go func() { called <- client.Call(context.Background(), "m", nil, nil) }()
	receive(t, asked)
	_ = server.Close(ClosePolicy, "revoked")
	if err := receive(t, called); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	receive(t, client.Done())
	if CloseCode(client.Err()) != ClosePolicy {
		t.Error(client.Err())
	}
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
}

func TestClientEndsWithContext(t *testing.T) {
	server, conn := pair(t, Options{})
	ended := serving(server, echo(server))
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	client := conn.Client(ctx, nil)
	receive(t, client.Done())
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
	_ = client.Close()
}
