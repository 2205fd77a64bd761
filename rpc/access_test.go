package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/schema"
)

// addToken makes a token, as another process would.
func (d *daemon) addToken(name string, scope schema.Scope) (secret string) {
	d.t.Helper()
	secret = schema.NewToken()
	hash := schema.HashToken(secret)
	d.exec(`INSERT INTO tokens (name, hash, scope, created_at) VALUES (?, ?, ?, 1)`, name, hash[:], string(scope))
	return secret
}

// revoke revokes a token, as another process would.
func (d *daemon) revoke(name string) {
	d.t.Helper()
	d.exec(`UPDATE tokens SET revoked_at = 2 WHERE name = ?`, name)
}

// holding gives the header of a request by a token, or by none.
func holding(secret string) http.Header {
	header := http.Header{"Content-Type": {"application/json"}}
	if secret != "" {
		header.Set("Authorization", "Bearer "+secret)
	}
	return header
}

// connectAs connects by a token.
func (d *daemon) connectAs(secret string) *peer {
	d.t.Helper()
	conn, err := d.tryConnect(holding(secret))
	check(d.t, err)
	d.t.Cleanup(func() { conn.CloseNow() })
	return &peer{t: d.t, conn: conn}
}

// handshake asks for a WebSocket as a browser does, and gives the status and the
// subprotocol of the answer.
func (d *daemon) handshake(header http.Header) (status int, subprotocol string) {
	d.t.Helper()
	r := must(http.NewRequest("GET", "http://"+d.address+"/rpc", nil))
	r.Header = header.Clone()
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	response := must((&http.Transport{DisableKeepAlives: true}).RoundTrip(r))
	response.Body.Close()
	return response.StatusCode, response.Header.Get("Sec-WebSocket-Protocol")
}

const pingCall = `{"jsonrpc":"2.0","id":1,"method":"server.ping"}`

// TestCredentials tries every way to show a token, and to show none.
func TestCredentials(t *testing.T) {
	t.Parallel()
	d := start(t)
	good, other, revoked := d.addToken("good", schema.ScopeRead), d.addToken("other", schema.ScopeWrite), d.addToken("gone", schema.ScopeWrite)
	d.revoke("gone")
	const authorization, protocol = "Authorization", "Sec-Websocket-Protocol"
	for _, test := range []struct {
		what   string
		header http.Header
		status int // 0: let in
	}{
		{"nothing", http.Header{}, 401},
		{"header", http.Header{authorization: {"Bearer " + good}}, 0},
		{"lower case, spaces", http.Header{authorization: {"bearer   " + good + " "}}, 0},
		{"subprotocol", http.Header{protocol: {"bearer." + good}}, 0},
		{"subprotocol among others", http.Header{protocol: {"jsonrpc, bearer." + good, "x"}}, 0},
		{"both the same", http.Header{authorization: {"Bearer " + good}, protocol: {"jsonrpc,bearer." + good}}, 0},
		{"both different", http.Header{authorization: {"Bearer " + good}, protocol: {"bearer." + other}}, 401},
		{"two headers", http.Header{authorization: {"Bearer " + good, "Bearer " + good}}, 401},
		{"two subprotocols", http.Header{protocol: {"bearer." + good + ",bearer." + other}}, 401},
		{"wrong", http.Header{authorization: {"Bearer " + schema.NewToken()}}, 401},
		{"wrong subprotocol", http.Header{protocol: {"jsonrpc, bearer.x"}}, 401},
		{"other case", http.Header{authorization: {"Bearer " + strings.ToUpper(good)}}, 401},
		{"too short", http.Header{authorization: {"Bearer " + good[:len(good)-1]}}, 401},
		{"without its prefix", http.Header{authorization: {"Bearer " + strings.TrimPrefix(good, schema.TokenPrefix)}}, 401},
		{"the name", http.Header{authorization: {"Bearer good"}}, 401},
		{"the hash", http.Header{authorization: {fmt.Sprintf("Bearer %x", schema.HashToken(good))}}, 401},
		{"revoked", http.Header{authorization: {"Bearer " + revoked}}, 401},
		{"empty", http.Header{authorization: {"Bearer"}}, 401},
		{"empty subprotocol", http.Header{protocol: {"bearer."}}, 401},
		{"two in one", http.Header{authorization: {"Bearer " + good + " " + other}}, 401},
		{"another scheme", http.Header{authorization: {"Basic " + good}}, 401},
		{"no scheme", http.Header{authorization: {good}}, 401},
	} {
		header := test.header.Clone()
		if got, _ := d.handshake(header); got != test.status && (test.status != 0 || got != 101) {
			t.Errorf("%s: a WebSocket got %d, want %d", test.what, got, test.status)
		}
		header.Set("Content-Type", "application/json")
		status, body := d.do("POST", "/rpc", pingCall, header)
		if test.status == 0 && status != 200 || test.status != 0 && (status != test.status || !strings.HasPrefix(body, `{"jsonrpc":"2.0","id":null,"error":{"code":-32007,`)) {
			t.Errorf("%s: a POST got %d %s, want %d", test.what, status, body, test.status)
		}
		if strings.Contains(body, good) || strings.Contains(body, other) || strings.Contains(body, revoked) {
			t.Errorf("%s: a token is told: %s", test.what, body)
		}
	}
	for offer, want := range map[string]string{"bearer." + good: "bearer." + good, "bearer." + good + ", jsonrpc": "jsonrpc"} {
		if status, got := d.handshake(http.Header{protocol: {offer}}); status != 101 || got != want {
			t.Errorf("%s is answered %d %s, want %s", offer, status, got, want)
		}
	}
	for _, query := range []string{"?token=" + good, "?access_token=" + good, "?bearer=" + good} {
		if status, _ := d.do("POST", "/rpc"+query, pingCall, http.Header{"Content-Type": {"application/json"}}); status != 401 {
			t.Errorf("a token in the URL: got %d, want 401", status)
		}
	}
}

// What is open to all is closed to a wrong token; everything else is closed to none.
func TestPathsAndTokens(t *testing.T) {
	t.Parallel()
	d := start(t)
	good := d.addToken("a", schema.ScopeRead)
	wrong := holding(schema.NewToken())
	for path, open := range map[string]bool{
		"/": true, "/openrpc.json": true, "/healthz": true, "/readyz": true,
		"/metrics": false, "/rpc": false, "/nothing": false, "/healthz/": false, "//healthz": false, "/openrpc.json/..%2fmetrics": false,
	} {
		if status, _ := d.do("GET", path, "", nil); (status == 401) == open {
			t.Errorf("%s without a token: %d", path, status)
		}
		if status, _ := d.do("GET", path, "", wrong); status != 401 {
			t.Errorf("%s with a wrong token: %d", path, status)
		}
		if status, _ := d.do("GET", path, "", http.Header{"Authorization": {"Bearer"}}); status != 401 {
			t.Errorf("%s with an empty token: %d", path, status)
		}
		if status, _ := d.do("GET", path, "", holding(good)); status == 401 {
			t.Errorf("%s with a token: %d", path, status)
		}
	}
}

// RFC 6750, section 3: what a 401 says.
func TestChallenge(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.addToken("a", schema.ScopeRead)
	for what, test := range map[string]struct {
		header http.Header
		want   string
	}{
		"no token":  {http.Header{}, `Bearer realm="descartes"`},
		"bad token": {holding("x"), `Bearer realm="descartes", error="invalid_token"`},
	} {
		r := must(http.NewRequestWithContext(t.Context(), "GET", "http://"+d.address+"/metrics", nil))
		r.Header = test.header
		response := must((&http.Transport{DisableKeepAlives: true}).RoundTrip(r))
		response.Body.Close()
		if got := response.Header.Get("WWW-Authenticate"); got != test.want {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// No method of the table that writes can be reached by a token that may only read,
// by no way in; whatever it is called with.
func TestReadTokenCannotWrite(t *testing.T) {
	t.Parallel()
	d := start(t)
	reader := d.addToken("reader", schema.ScopeRead)
	p := d.connectAs(reader)
	const forbidden = `"error":{"code":-32008,"message":"the token may only read; nothing was changed","data":{"reason":"forbidden"}}`
	writing := 0
	for name, m := range d.methods {
		if m.write == nil {
			continue
		}
		writing++
		want := `{"jsonrpc":"2.0","id":7,` + forbidden + `}`
		for _, params := range []string{`{"title":"x","id":"x","operations":[{"op":"create","title":"x"}]}`, `[]`, `{}`} {
			call := request(7, name, params)
			p.send(call)
			p.expect(want)
			p.send(`[` + call + `,` + pingCall + `]`)
			p.expect(`[` + want + `,{"jsonrpc":"2.0","id":1,"result":"pong"}]`)
			p.send(strings.Replace(call, `"id":7,`, "", 1)) // a notification
			if status, body := d.do("POST", "/rpc", call, holding(reader)); status != 200 || body != want+"\n" {
				t.Errorf("POST %s: %d %s", call, status, body)
			}
		}
	}
	if writing < 8 {
		t.Errorf("only %d methods write", writing)
	}
	p.send(pingCall)
	p.expect(`{"jsonrpc":"2.0","id":1,"result":"pong"}`) // the notifications are over
	if stats := d.emitter.Stats(); stats.Changes != 0 || d.emitter.Newest().Seq != 0 {
		t.Errorf("%d changes, the journal is at %v", stats.Changes, d.emitter.Newest())
	}
	p.subscribe(`{"snapshot":true}`)
	p.live()
}

// The name of the token is the actor of its changes, everywhere.
func TestActor(t *testing.T) {
	t.Parallel()
	d := start(t)
	ann, bob := d.addToken("ann", schema.ScopeWrite), d.addToken("bob@ci-1.x_", schema.ScopeWrite)
	watcher := d.connectAs(ann)
	watcher.subscribe(`{"debounce_ms":0}`)
	watcher.live()
	watcher.call("task.create", `{"id":"t","title":"x"}`)
	d.do("POST", "/rpc", request(1, "task.apply", `{"operations":[{"op":"update","id":"t","title":"y"}]}`), holding(bob))
	d.exec(`UPDATE tasks SET title = 'z'`)
	want := []string{`"actor":"ann"`, `"actor":"bob@ci-1.x_"`, `"actor":null`}
	history := watcher.call("task.history", `{}`)
	for i, actor := range want {
		if i >= len(watcher.events) {
			watcher.events = append(watcher.events, []byte(watcher.next()))
		}
		if !strings.Contains(string(watcher.events[i]), actor) {
			t.Errorf("event %d is %s, want %s", i, watcher.events[i], actor)
		}
		if !strings.Contains(history, actor) {
			t.Errorf("history has no %s: %s", actor, history)
		}
	}
}

// tokenStore is a TokenStore of which a test says what it gives.
type tokenStore func(ctx context.Context) ([]schema.Token, error)

func (f tokenStore) Tokens(ctx context.Context) ([]schema.Token, error) { return f(ctx) }

// A token works as soon as it is made, and not any more as soon as it is revoked;
// with the last one gone a daemon on loopback asks for none, another one still does.
func TestTokensTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	for _, always := range []bool{false, true} {
		inBubble(t, func(t *testing.T, overPipe func(*setup)) {
			d := start(t, overPipe, func(s *setup) { s.rpc.AlwaysTokens = always })
			expect := func(what string, header http.Header, want int) {
				t.Helper()
				if status, _ := d.do("POST", "/rpc", pingCall, header); status != want {
					t.Errorf("always %v, %s: %d, want %d", always, what, status, want)
				}
			}
			nobody := http.Header{"Content-Type": {"application/json"}}
			beforeAnd := map[bool]int{false: 200, true: 401}[always]
			expect("no tokens", nobody, beforeAnd)
			expect("a token where there are none", holding("x"), beforeAnd)
			first := holding(d.addToken("first", schema.ScopeRead))
			expect("first, none", nobody, 401)
			expect("first", first, 200)
			second := holding(d.addToken("second", schema.ScopeRead))
			expect("second", second, 200)
			d.revoke("first")
			expect("revoked", first, 401)
			expect("the other", second, 200)
			d.revoke("second")
			expect("all revoked", second, 401)
			expect("all revoked, none", nobody, 401)
			d.exec(`DELETE FROM tokens`)
			expect("all removed", nobody, beforeAnd)
		})
	}
}

// However many try bad tokens at once, they share two readings of the list.
func TestBadTokensShareReadings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var readings atomic.Int64
		let := make(chan struct{}, 1)
		let <- struct{}{}
		a := newAccess(tokenStore(func(context.Context) ([]schema.Token, error) {
			readings.Add(1)
			<-let
			return []schema.Token{{Name: "a"}}, nil
		}), false, zerolog.Nop())
		a.changed, a.tick = func() {}, func() {}
		a.begin()
		readings.Store(0)
		refused := make(chan *refusal, 500)
		for range cap(refused) {
			go func() {
				_, why := a.check(&http.Request{Header: holding("x")}, false)
				refused <- why
			}()
		}
		synctest.Wait()
		close(let)
		for range cap(refused) {
			if why := <-refused; why == nil || why.reason != refusedBadToken {
				t.Errorf("got %+v", why)
			}
		}
		if n := readings.Load(); n > 2 {
			t.Errorf("%d readings", n)
		}
		a.end()
		a.end()
	})
}

// While the file cannot be read those that are known stay, and nobody else comes in;
// a list that was never read lets nobody in. The log says so once, and when it is over.
func TestTokensThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var broken atomic.Bool
		broken.Store(true)
		a := newAccess(tokenStore(func(context.Context) ([]schema.Token, error) {
			if broken.Load() {
				return nil, errors.New("the disk is gone")
			}
			return []schema.Token{{Name: "a", Hash: schema.HashToken("good")}}, nil
		}), false, zerolog.New(&log))
		a.changed, a.tick = func() {}, func() {}
		a.begin()
		try := func(header http.Header) (reason string) {
			time.Sleep(accessEvery)
			if _, why := a.check(&http.Request{Header: header}, false); why != nil {
				return why.reason
			}
			return ""
		}
		got := []string{try(nil), try(holding("good"))}
		broken.Store(false)
		got = append(got, try(nil), try(holding("good")), try(holding("new")))
		broken.Store(true)
		got = append(got, try(nil), try(holding("good")), try(holding("new")))
		want := []string{refusedNoToken, refusedBadToken, refusedNoToken, "", refusedBadToken, refusedNoToken, "", refusedBadToken}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		a.end()
		if strings.Count(log.String(), "cannot be read") != 2 || strings.Count(log.String(), "can be read again") != 1 {
			t.Errorf("logged: %s", log.String())
		}
	})
}
