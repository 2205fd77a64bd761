package rpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

func TestPost(t *testing.T) {
	t.Parallel()
	d := start(t, func(s *setup) { s.rpc.Limits.MaxMessage = 2000 })
	jsonType := "application/json"
	ping := `{"jsonrpc":"2.0","id":1,"method":"server.ping"}`
	pong := `{"jsonrpc":"2.0","id":1,"result":"pong"}` + "\n"
	tests := []struct {
		what, contentType, body string
		status                  int
		answer                  string // "": whatever
	}{
		{"a call", jsonType, ping, 200, pong},
		{"charset", "application/json; charset=utf-8", ping, 200, pong},
		{"a form", "application/x-www-form-urlencoded", ping, 415, ""},
		{"text, which a page may send anywhere", "text/plain", ping, 415, ""},
		{"no type", "", ping, 415, ""},
		{"a notification", jsonType, `{"jsonrpc":"2.0","method":"task.create","params":{"title":"quiet"}}`, 204, ""},
		{"notifications", jsonType, `[{"jsonrpc":"2.0","method":"server.ping"},{"jsonrpc":"2.0","id":1,"result":1}]`, 204, ""},
		{"it was made", jsonType, `{"jsonrpc":"2.0","id":1,"method":"task.delete","params":["t1"]}`, 200, `{"jsonrpc":"2.0","id":1,"result":{"id":"t1","version":2}}` + "\n"},
		{"no JSON", jsonType, `{`, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":{"reason":"parse_error","detail":"the message is not one JSON value"}}}` + "\n"},
		{"nothing", jsonType, ``, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":{"reason":"parse_error","detail":"the message is not one JSON value"}}}` + "\n"},
		{"a batch", jsonType, `[` + ping + `,` + ping + `]`, 200, `[` + strings.TrimSpace(pong) + `,` + strings.TrimSpace(pong) + "]\n"},
		{"as long as allowed", jsonType, ping + strings.Repeat(" ", 2000-len(ping)), 200, pong},
		{"too long", jsonType, ping + strings.Repeat(" ", 2001-len(ping)), 413, ""},
		{"subscribe", jsonType, `{"jsonrpc":"2.0","id":1,"method":"task.subscribe"}`, 200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"task.subscribe needs a WebSocket connection","data":{"reason":"needs_websocket"}}}` + "\n"},
		{"in a batch", jsonType, `[{"jsonrpc":"2.0","id":1,"method":"task_subscribe"},` + ping + `]`, 200, `[{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"task_subscribe needs a WebSocket connection","data":{"reason":"needs_websocket"}}},` + strings.TrimSpace(pong) + "]\n"},
		{"writes, then a read", jsonType, `[{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"title":"x","id":"x"}},{"jsonrpc":"2.0","id":2,"method":"task.delete","params":["x"]},{"jsonrpc":"2.0","id":3,"method":"task.get","params":["y"]}]`, 200, ""},
	}
	for _, test := range tests {
		header := http.Header{}
		if test.contentType != "" {
			header.Set("Content-Type", test.contentType)
		}
		status, body := d.do("POST", "/rpc", test.body, header)
		if status != test.status || test.answer != "" && body != test.answer || status == 204 && body != "" {
			t.Errorf("%s: got %d %s, want %d %s", test.what, status, body, test.status, test.answer)
		}
	}
	if status, _ := d.do("PUT", "/rpc", ping, http.Header{"Content-Type": {jsonType}}); status != 405 {
		t.Errorf("PUT: got %d, want 405", status)
	}
	if status, _ := d.do("GET", "/rpc", "", nil); status != 426 {
		t.Errorf("GET without an upgrade: got %d, want 426", status)
	}
}

// TestHostAndOrigin tries what a browser can be tricked into. The port of the
// daemon stands for PORT.
func TestHostAndOrigin(t *testing.T) {
	t.Parallel()
	d := start(t, func(s *setup) {
		s.rpc.AllowedHosts = []string{"tasks.example", "board.example:8443"}
		s.rpc.AllowedOrigins = []string{"https://app.example", "chrome-extension://abc"}
	})
	_, port, _ := net.SplitHostPort(d.address)
	tests := []struct {
		host, origin string
		allowed      bool
	}{
		{"127.0.0.1:PORT", "", true},
		{"127.0.0.1", "", true},
		{"127.0.0.99:1", "", true},
		{"localhost:PORT", "", true},
		{"LOCALHOST", "", true},
		{"[::1]:PORT", "", true},
		{"[::1]", "", true},
		{"tasks.example", "", true},
		{"Tasks.Example:99", "", true},
		{"board.example:8443", "", true},
		{"board.example:1", "", false},
		{"evil.example", "", false},
		{"127.0.0.1.evil.example", "", false},
		{"127.0.0.1.evil.example:PORT", "", false},
		{"localhost.evil.example", "", false},
		{"evil.example.tasks.example", "", false},
		{"tasks.example.evil.example", "", false},
		{"10.0.0.1:PORT", "", false},
		{"0.0.0.0:PORT", "", false},
		{"[::]:PORT", "", false},
		{"localhost.", "", false}, // compared whole
		{"localhost.:PORT", "", false},
		{"127.0.0.1.", "", false},
		{"localhost:", "", true}, // RFC 3986, section 3.2.3: a port may be empty
		{"localhost:65536", "", false},
		{"[::ffff:127.0.0.1]", "", true},
		{"0:PORT", "", false},
		{"127.1", "", false},
		{"2130706433", "", false}, // 127.0.0.1 in one number
		{"0x7f.1", "", false},

		{"127.0.0.1:PORT", "http://127.0.0.1:PORT", true},
		{"localhost:PORT", "http://localhost:PORT", true},
		{"localhost:PORT", "https://localhost:PORT", true}, // behind a proxy that ends TLS
		{"127.0.0.1:PORT", "https://app.example", true},
		{"127.0.0.1:PORT", "chrome-extension://abc", true},
		{"127.0.0.1:PORT", "null", false},
		{"127.0.0.1:PORT", "https://evil.example", false},
		{"127.0.0.1:PORT", "http://localhost:PORT", false}, // another name is another origin
		{"127.0.0.1:PORT", "http://127.0.0.1:1", false},
		{"127.0.0.1:PORT", "http://127.0.0.1:PORT.evil.example", false},
		{"127.0.0.1:PORT", "http://evil@127.0.0.1:PORT", false},
		{"127.0.0.1:PORT", "file://127.0.0.1:PORT", false},
		{"127.0.0.1:PORT", "HTTP://127.0.0.1:PORT", true},
		{"127.0.0.1:PORT", "http://127.0.0.1:PORT/", false},
		{"127.0.0.1:PORT", "http://127.0.0.1:PORT#", false},
		{"127.0.0.1:PORT", "http://127.0.0.1", false},
		{"127.0.0.1:PORT", "127.0.0.1:PORT", false},
		{"127.0.0.1:PORT", " ", false},
		{"localhost:PORT", "http://local\u0068o\u017ft:PORT", false}, // a letter that counts as an s
		{"127.0.0.1:PORT", "https://app.example, https://app.example", false},
		{"127.0.0.1:PORT", "https://app.example.evil.example", false},
		{"127.0.0.1:PORT", "https://app.example:444", false},
		{"evil.example", "http://evil.example", false},
	}
	for _, test := range tests {
		host, origin := strings.ReplaceAll(test.host, "PORT", port), strings.ReplaceAll(test.origin, "PORT", port)
		tryAllWays(t, d, host, origin, test.allowed)
	}
}

// TestHostAndOriginAsSent sends what no client library would.
func TestHostAndOriginAsSent(t *testing.T) {
	t.Parallel()
	d := start(t, func(s *setup) { s.rpc.AllowedHosts = []string{""} }) // an empty variable of the environment
	requests := map[string]string{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n":                                                                "200",
		"GET /healthz HTTP/1.1\r\n":                                                                                   "400",
		"GET /healthz HTTP/1.1\r\nHost:\r\n":                                                                          "403",
		"GET /healthz HTTP/1.0\r\n":                                                                                   "403",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n":                                          "400",
		"GET /healthz HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n":                                          "400",
		"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n":                                             "403", // RFC 9112, section 3.2.2: it counts, Host does not
		"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n":                                                "200",
		"GET http://localhost@evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n":                                   "403",
		"GET //evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n":                                               "403",
		"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n":                                                                "403",
		"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n":                                                     "403",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n":     "403",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: http://localhost\r\n":        "403",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n":                                    "200",
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin:\r\n":                                                     "403",
		"GET /healthz HTTP/1.1\r\nHost: local\xc5\xbfhost\r\n":                                                        "400",
		"GET /healthz HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n": "403",
	}
	for _, host := range []string{
		"localhost:evil", "localhost:80:80", "evil.example:80:127.0.0.1", "[localhost]", "[127.0.0.1]", "[::1", "::1",
		"[::1%lo]", "[::1%25lo]", "evil@localhost", "localhost@evil.example", "127.0.0.1/evil.example", "[127.0.0.1]evil.example", "[::1]evil.example",
	} {
		requests["GET /healthz HTTP/1.1\r\nHost: "+host+"\r\n"] = "40" // 400 where net/http knows that it is none
	}
	for request, want := range requests {
		conn := must(net.Dial("tcp", d.address))
		fmt.Fprint(conn, request+"Connection: close\r\n\r\n")
		answer := string(must(io.ReadAll(conn)))
		conn.Close()
		if !strings.HasPrefix(answer, "HTTP/1.1 "+want) && !strings.HasPrefix(answer, "HTTP/1.0 "+want) {
			t.Errorf("%q: got %.60q, want %s", request, answer, want)
		}
	}
}

// The address that a connection came in on is no name that somebody could have made
// resolve to it. With TLS the own origin is that of https alone.
func TestOwnAddressAndOrigin(t *testing.T) {
	t.Parallel()
	g := guard{}
	for _, test := range []struct {
		local, host, origin string
		tls                 bool
		refused             string
	}{
		{"192.0.2.7", "192.0.2.7:7420", "", false, ""},
		{"192.0.2.7", "[::ffff:192.0.2.7]", "", false, ""},
		{"::ffff:192.0.2.7", "192.0.2.7", "", false, ""},
		{"192.0.2.7", "192.0.2.8", "", false, refusedHost},
		{"192.0.2.7", "tasks.example", "", false, refusedHost},
		{"2001:db8::1", "[2001:db8::1]:7420", "", false, ""},
		{"2001:db8::1", "[2001:DB8:0::1]", "", false, ""},
		{"2001:db8::1", "[2001:db8::2]", "", false, refusedHost},
		{"fe80::1%eth0", "[fe80::1]", "", false, ""},
		{"192.0.2.7", "192.0.2.7", "http://192.0.2.7", false, ""},
		{"192.0.2.7", "192.0.2.7", "https://192.0.2.7", true, ""},
		{"192.0.2.7", "192.0.2.7", "http://192.0.2.7", true, refusedOrigin},
		{"127.0.0.1", "localhost", "http://localhost", true, refusedOrigin},
		{"127.0.0.1", "localhost", "https://localhost", true, ""},
	} {
		r := httptest.NewRequest("GET", "/rpc", nil)
		r.Host = test.host
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		if test.tls {
			r.TLS = new(tls.ConnectionState)
		}
		address := netip.MustParseAddr(test.local)
		local := net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, 7420))
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
		got := ""
		if why := g.check(r); why != nil {
			got = why.reason
		}
		if got != test.refused {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}

// A Unix socket has no name that a page could use; what a proxy in front of it
// sends as Origin is checked all the same.
func TestHostAndOriginOnAUnixSocket(t *testing.T) {
	t.Parallel()
	d := start(t, func(s *setup) {
		s.listen = func() net.Listener { return must(net.Listen("unix", filepath.Join(t.TempDir(), "s"))) }
	})
	socket := d.address
	d.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	tryAllWays(t, d, "localhost", "", true)
	tryAllWays(t, d, "whatever.example", "", true)
	tryAllWays(t, d, "whatever.example", "https://evil.example", false)
	tryAllWays(t, d, "whatever.example", "null", false)
}

func tryAllWays(t *testing.T, d *daemon, host, origin string, allowed bool) {
	t.Helper()
	header := http.Header{"Host": {host}, "Content-Type": {"application/json"}}
	if origin != "" {
		header.Set("Origin", origin)
	}
	conn, err := d.tryConnect(header)
	if err == nil {
		conn.CloseNow()
	}
	refused, _ := errors.AsType[*wire.DialError](err)
	if (err == nil) != allowed || !allowed && (refused == nil || refused.Status != 403) {
		t.Errorf("host %s, origin %s: a WebSocket got %v, allowed should be %v", host, origin, err, allowed)
	}
	want := map[bool]int{true: 200, false: 403}[allowed]
	if status, _ := d.do("POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"server.ping"}`, header); status != want {
		t.Errorf("host %s, origin %s: a POST got %d, want %d", host, origin, status, want)
	}
	for _, path := range []string{"/", "/openrpc.json", "/metrics", "/healthz", "/readyz"} {
		if status, _ := d.do("GET", path, "", header); status != want {
			t.Errorf("host %s, origin %s: GET %s got %d, want %d", host, origin, path, status, want)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	d := start(t, func(s *setup) { s.rpc.Limits.MaxConnections = 2 })
	first := d.connect()
	d.connect()
	_, err := d.tryConnect(nil)
	if refused, ok := errors.AsType[*wire.DialError](err); !ok || refused.Status != 503 {
		t.Fatalf("got %v, want 503", err)
	}
	if status, _ := d.post(`{"jsonrpc":"2.0","id":1,"method":"server.ping"}`); status != 200 {
		t.Errorf("a POST got %d, want 200", status)
	}
	first.conn.Close(wire.CloseNormal, "")
	for { // its place is free as soon as its session has ended
		conn, err := d.tryConnect(nil)
		if err == nil {
			conn.CloseNow()
			return
		}
	}
}

// unready is a Store that cannot be read.
type unready struct{ Store }

func (unready) Bounds(context.Context) (b schema.Bounds, err error) {
	return b, errors.New("secret")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	d := start(t)
	broken := start(t, func(s *setup) { s.store = func(store Store) Store { return unready{store} } })
	for _, test := range []struct {
		daemon *daemon
		path   string
		status int
	}{{d, "/healthz", 200}, {d, "/readyz", 200}, {broken, "/healthz", 200}, {broken, "/readyz", 503}, {d, "/nothing", 404}} {
		if status, body := test.daemon.do("GET", test.path, "", nil); status != test.status || strings.Contains(body, "secret") {
			t.Errorf("%s: got %d %s, want %d", test.path, status, body, test.status)
		}
	}
	d.shutDown()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		if status, _ := d.handle("GET", path, ""); status != want {
			t.Errorf("%s during shutdown: got %d, want %d", path, status, want)
		}
	}
}

// handle asks the server without a listener, which a shutdown has closed.
func (d *daemon) handle(method, path, body string) (int, string) {
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	d.http.Handler.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	d := start(t)
	p := d.connect()
	p.subscribe(`{"debounce_ms":60000}`)
	p.live()
	p.call("task.create", `{"title":"x"}`)
	p.call("task.update", `{"id":"t1","title":"y"}`)
	p.call("task.update", `{"id":"t1","title":"z"}`)
	p.call("task.flush", `{}`)
	p.call("task.delete", `{"id":"t1"}`)
	for e := p.event(); e.ChangeType != "deleted"; {
		e = p.event()
	}
	p.call("task.unsubscribe", `{"subscription":"s1"}`) // what it has sent is counted now
	_, text := d.do("GET", "/metrics", "", nil)
	for _, problem := range must(promlint.New(strings.NewReader(text)).Lint()) {
		t.Errorf("promlint: %s: %s", problem.Metric, problem.Text)
	}
	for _, line := range []string{
		`task_events_emitted_total{type="created"} 1`, `task_events_emitted_total{type="updated"} 2`,
		`task_events_emitted_total{type="deleted"} 1`, "task_event_deliveries_total 3", "task_event_debounce_rate 0.25",
		"task_events_held_back 0", `task_event_emission_latency_seconds_count `, "descartes_connections ",
		"descartes_subscriptions ", "descartes_slowest_subscription_lag ", "descartes_commit_duration_seconds_count 4",
		"descartes_writes_per_commit_sum 4", "go_goroutines ", "process_",
	} {
		if !strings.Contains("\n"+text, "\n"+line) {
			t.Errorf("/metrics has no line %s", line)
		}
	}
}

// A body that does not come is no empty message.
func TestCutOffPost(t *testing.T) {
	t.Parallel()
	d := start(t)
	conn := must(net.Dial("tcp", d.address))
	defer conn.Close()
	fmt.Fprintf(conn, "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}")
	check(t, conn.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && response.StatusCode != 400 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, %v, want 400", response, err)
	}
}
