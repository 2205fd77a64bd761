package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// gate is a daemon with tokens, on TCP and on a socket, whose log is read.
type gate struct {
	*daemon
	socket string
	log    string            // the file that it logs to, a JSON object a line
	tokens map[string]string // by name: reader, writer, revoked
}

// openGate starts a daemon with a token of each kind.
func openGate(t *testing.T, flags ...string) *gate {
	t.Helper()
	dir := t.TempDir()
	g := &gate{socket: filepath.Join(dir, "s"), log: filepath.Join(dir, "log"), tokens: make(map[string]string)}
	db := filepath.Join(dir, "descartes.db")
	flags = append(flags, "--log-format", "json", "--socket", g.socket)
	arguments := append([]string{"-c", `exec "$0" "$@" 2>` + g.log, binary}, serveArguments(db, flags...)...)
	g.daemon = launch(t, db, exec.Command("sh", arguments...))
	g.awaitReady()
	for name, scope := range map[string]string{"reader": "read", "writer": "write", "revoked": "write"} {
		g.tokens[name] = strings.TrimSpace(g.token("add", name, "--scope", scope))
	}
	g.token("revoke", "revoked")
	t.Cleanup(g.mustKeepSecrets)
	return g
}

// token runs "descartes token" on the daemon's file.
func (g *gate) token(command string, args ...string) string {
	g.t.Helper()
	cmd := exec.Command(binary, append([]string{"token", command, "--db", g.db}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("token %s %s: %v: %s", command, args, err, &errs)
	}
	return string(out)
}

// refusal is a line of the log that says who was turned away.
type refusal struct {
	Level, Message, Reason, Remote, Path, Token, Host, Origin string
}

// refusals gives the refusals that the log has.
func (g *gate) refusals() (all []refusal) {
	g.t.Helper()
	text, err := os.ReadFile(g.log)
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r refusal
		if err := json.Unmarshal(line, &r); err != nil {
			g.t.Fatalf("log line %q: %v", line, err)
		}
		if r.Reason != "" {
			all = append(all, r)
		}
	}
	return all
}

// mustKeepSecrets checks that nothing that was ever logged, and nothing in the file,
// has a token.
func (g *gate) mustKeepSecrets() {
	g.t.Helper()
	for _, path := range []string{g.log, g.db, g.db + "-wal"} {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			g.t.Error(err)
		}
		for name, token := range g.tokens {
			if bytes.Contains(text, []byte(token)) {
				g.t.Errorf("%s has the token of %s", filepath.Base(path), name)
			}
		}
	}
	if text, _ := os.ReadFile(g.log); g.t.Failed() {
		g.t.Logf("the daemon's log:\n%s", text)
	}
}

// way is one of the ways into the daemon.
type way struct {
	name         string
	socket       bool
	method, path string
	upgrade      bool
	welcome      int // the status for who may come in
}

func waysIn() []way {
	return []way{
		{"WebSocket", false, "GET", "/rpc", true, 101},
		{"POST", false, "POST", "/rpc", false, 200},
		{"board", false, "GET", "/", false, 200},
		{"metrics", false, "GET", "/metrics", false, 200},
		{"socket WebSocket", true, "GET", "/rpc", true, 101},
		{"socket POST", true, "POST", "/rpc", false, 200},
	}
}

const pingRequest = `{"jsonrpc":"2.0","id":1,"method":"server.ping"}`

// knock makes the request of a way in, as visitor has it, and gives the answer.
func (g *gate) knock(w way, body string, visitor func(*http.Request)) (*http.Response, string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), w.method, "http://"+g.host()+w.path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if w.method == "POST" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
	}
	if w.upgrade {
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}
	}
	visitor(r)
	transport := &http.Transport{DisableKeepAlives: true}
	if w.socket {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", g.socket)
		}
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		g.t.Fatalf("%s: %v", w.name, err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response, ""
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatalf("%s: %v", w.name, err)
	}
	return response, string(answer)
}

// Who comes from another origin, by another name, without, with a wrong or with a
// revoked token is turned away on every way in, and the log says why. The daemon
// logs before it answers.
func TestWhoMayComeIn(t *testing.T) {
	bearer := func(g *gate, name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+g.tokens[name]) }
	}
	for _, test := range []struct {
		name    string
		visitor func(g *gate) func(*http.Request)
		status  int      // of a refusal, 0: there is none
		reason  string   // in the log
		but     []string // ways that are open all the same
	}{
		{"a writer", func(g *gate) func(*http.Request) { return bearer(g, "writer") }, 0, "", nil},
		{"a reader", func(g *gate) func(*http.Request) { return bearer(g, "reader") }, 0, "", nil},
		{"without a token", func(*gate) func(*http.Request) { return func(*http.Request) {} }, 401, "no token", []string{"board"}},
		{"a token in the URL", func(g *gate) func(*http.Request) {
			return func(r *http.Request) {
				r.URL.RawQuery = "token=" + g.tokens["writer"] + "&access_token=" + g.tokens["writer"]
			}
		}, 401, "no token", []string{"board"}},
		{"another scheme", func(g *gate) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth("writer", g.tokens["writer"]) }
		}, 401, "no token", []string{"board"}},
		{"a wrong token", func(g *gate) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+g.tokens["writer"]+"x") }
		}, 401, "bad token", nil},
		{"an empty token", func(*gate) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }
		}, 401, "bad token", nil},
		{"two tokens", func(g *gate) func(*http.Request) {
			return func(r *http.Request) {
				r.Header["Authorization"] = []string{"Bearer " + g.tokens["writer"], "Bearer " + g.tokens["reader"]}
			}
		}, 401, "bad token", nil},
		{"a revoked token", func(g *gate) func(*http.Request) { return bearer(g, "revoked") }, 401, "revoked token", nil},
		{"a name that resolves here", func(g *gate) func(*http.Request) {
			return func(r *http.Request) { bearer(g, "writer")(r); r.Host = "127.0.0.1.evil.example" }
		}, 403, "host", []string{"socket WebSocket", "socket POST"}},
		{"a page of another origin", func(g *gate) func(*http.Request) {
			return func(r *http.Request) { bearer(g, "writer")(r); r.Header.Set("Origin", "http://127.0.0.1:1") }
		}, 403, "origin", nil},
		{"a page without an origin", func(g *gate) func(*http.Request) {
			return func(r *http.Request) { bearer(g, "writer")(r); r.Header.Set("Origin", "null") }
		}, 403, "origin", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := openGate(t)
			for _, w := range waysIn() {
				known := len(g.refusals())
				response, answer := g.knock(w, pingRequest, test.visitor(g))
				logged := g.refusals()[known:]
				if test.status == 0 || slices.Contains(test.but, w.name) {
					if response.StatusCode != w.welcome || len(logged) != 0 {
						t.Errorf("%s: got %d %s, want %d; logged %+v", w.name, response.StatusCode, answer, w.welcome, logged)
					}
					continue
				}
				if response.StatusCode != test.status || strings.Contains(answer, "pong") {
					t.Errorf("%s: got %d %s, want %d", w.name, response.StatusCode, answer, test.status)
				}
				if test.status == 401 && !strings.HasPrefix(response.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s: challenged with %q", w.name, response.Header.Get("WWW-Authenticate"))
				}
				if test.status == 401 && w.method == "POST" && !strings.HasPrefix(answer, `{"jsonrpc":"2.0","id":null,"error":{"code":-32007,`) {
					t.Errorf("%s: got %s", w.name, answer)
				}
				if len(logged) != 1 || logged[0].Level != "warn" || logged[0].Reason != test.reason || logged[0].Path != w.path {
					t.Errorf("%s: logged %+v, want the reason %q", w.name, logged, test.reason)
				}
			}
		})
	}
}

// A revoked token's name is in the log; the token of a page is its subprotocol.
func TestTokenOfAPage(t *testing.T) {
	g := openGate(t)
	socket := waysIn()[0]
	for name, want := range map[string]int{"writer": 101, "revoked": 401} {
		offer := "bearer." + g.tokens[name]
		response, _ := g.knock(socket, "", func(r *http.Request) { r.Header.Set("Sec-Websocket-Protocol", offer) })
		if got := response.Header.Get("Sec-Websocket-Protocol"); response.StatusCode != want || want == 101 && got != offer {
			t.Errorf("%s: got %d, %q", name, response.StatusCode, got)
		}
	}
	if logged := g.refusals(); len(logged) != 1 || logged[0].Token != "revoked" {
		t.Errorf("logged %+v", logged)
	}
}

// Who may only read is refused every write, on every way in, and reads all the same.
func TestReadersDoNotWrite(t *testing.T) {
	g := openGate(t)
	ctx := t.Context()
	dial := func(url, name string) *client.Client {
		c, err := client.Dial(ctx, url, client.Options{Token: g.tokens[name]})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	made := create(t, dial(g.url, "writer"), "to be kept")
	writes := map[string]any{
		"task.create": map[string]any{"title": "x"},
		"task.update": map[string]any{"id": made.ID, "title": "x"},
		"task.delete": map[string]any{"id": made.ID},
		"task.apply":  map[string]any{"operations": []any{map[string]any{"op": "delete", "id": made.ID}}},
	}
	for _, url := range g.urls {
		reader := dial(url, "reader")
		for method, params := range writes {
			if err := reader.Call(ctx, method, params, nil); schema.CodeOf(err) != schema.CodeForbidden {
				t.Errorf("%s over %s: %v", method, url, err)
			}
		}
		if _, err := reader.Get(ctx, made.ID); err != nil {
			t.Errorf("get over %s: %v", url, err)
		}
		sub, err := reader.Subscribe(ctx, schema.SubscribeParams{Snapshot: new(true)})
		if err != nil {
			t.Fatal(err)
		}
		if e := next(t, sub); e.TaskID != made.ID {
			t.Errorf("subscription over %s: %+v", url, e)
		}
	}
	for _, w := range []way{waysIn()[1], waysIn()[5]} {
		for method, params := range writes {
			one := string(request(1, method, params))
			batch := fmt.Sprintf(`[%s,%s,{"jsonrpc":"2.0","method":%q,"params":%s}]`, one, pingRequest, method, encode(t, params))
			for _, body := range []string{one, batch} {
				response, answer := g.knock(w, body, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+g.tokens["reader"]) })
				if response.StatusCode != 200 || strings.Count(answer, `"code":-32008`) != 1 || strings.Contains(body, "ping") != strings.Contains(answer, "pong") {
					t.Errorf("%s %s: got %d %s", w.name, body, response.StatusCode, answer)
				}
			}
		}
	}
	page, err := dial(g.url, "writer").List(ctx, schema.ListParams{})
	if err != nil || len(page.Tasks) != 1 || page.Tasks[0].Version != made.Version {
		t.Errorf("there is %+v, %v", page, err)
	}
	if logged := g.refusals(); len(logged) == 0 || logged[0].Reason != "forbidden" || logged[0].Token != "reader" {
		t.Errorf("logged %+v", logged)
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// expelled is how soon a connection must end whose token is revoked.
const expelled = 3 * time.Second

// A revoked token's connections are closed with 1008, those too that are in the
// middle of a replay, or that take nothing; those of others stay.
func TestRevokedTokenEndsItsConnections(t *testing.T) {
	g := openGate(t)
	writer, err := client.Dial(t.Context(), g.url, client.Options{Token: g.tokens["writer"]})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	fillJournal(t, writer) // more than the sockets on the way hold

	idle := g.visit("reader")
	busy := g.visit("reader")
	for range 30 { // more than could be read before the end
		if _, err := busy.Write(frame(opText, request(1, schema.MethodSubscribe, map[string]any{"since": "start"}))); err != nil {
			t.Fatal(err)
		}
	}
	stalled := g.visit("reader")
	if _, err := stalled.Write(frame(opText, request(1, schema.MethodSubscribe, map[string]any{"since": "start"}))); err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, 2)
	for _, p := range []*peer{idle, busy} {
		go func() { ends <- p.untilClosed() }()
	}
	g.token("revoke", "reader")
	began := time.Now()
	for range 2 {
		if err := <-ends; err == nil || !strings.HasPrefix(err.Error(), "closed with 1008 the token was revoked") {
			t.Errorf("ended with %v", err)
		}
	}
	t.Logf("those that read are closed after %v", time.Since(began))
	for {
		stats, err := writer.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats.Connections == 1 {
			break
		}
		if time.Since(began) > expelled {
			t.Fatalf("%d connections after %v", stats.Connections, time.Since(began))
		}
	}
	if took := time.Since(began); took > expelled {
		t.Errorf("the last one is closed after %v", took)
	} else {
		t.Logf("the one that takes nothing is closed after %v", took)
	}
	_ = stalled.Close()
}

// fillJournal makes 16 MB of events.
func fillJournal(t *testing.T, c *client.Client) {
	t.Helper()
	description := strings.Repeat("x", 16<<10)
	for range 20 {
		operations := make([]schema.Operation, 50)
		for i := range operations {
			operations[i] = schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{Title: "large", Description: &description}}
		}
		if _, err := c.Apply(t.Context(), operations...); err != nil {
			t.Fatal(err)
		}
	}
}

// visit opens a WebSocket connection with a token.
func (g *gate) visit(name string) *peer {
	g.t.Helper()
	conn, err := g.connectTCP()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	p := newPeer(conn)
	hello := strings.TrimSuffix(fmt.Sprintf(handshake, g.host()), "\r\n") + "Authorization: Bearer " + g.tokens[name] + "\r\n\r\n"
	if _, err = io.WriteString(conn, hello); err == nil {
		err = p.upgraded()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

// untilClosed reads everything, and gives what the close frame says.
func (p *peer) untilClosed() error {
	for {
		opcode, payload, err := p.readFrame()
		switch {
		case err != nil:
			return err
		case opcode == opClose:
			return closed(payload)
		}
	}
}
