package rpc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/schema"
)

// logLines is a log of JSON lines that is read while it is written.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// with gives the lines that have a message.
func (l *logLines) with(t *testing.T, message string) (found []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.text.Bytes()) {
		var decoded map[string]any
		if err := json.Unmarshal(line, &decoded); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if text, _ := decoded["message"].(string); strings.HasPrefix(text, message) {
			found = append(found, decoded)
		}
	}
	return found
}

func withLog(log *logLines) func(*setup) {
	return func(s *setup) { s.rpc.Log = zerolog.New(log) }
}

// Each refusal is one line that names the reason, and one in the metric.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	var log logLines
	d := start(t, withLog(&log))
	reader, gone := d.addToken("reader", schema.ScopeRead), d.addToken("gone", schema.ScopeWrite)
	d.revoke("gone")
	post := func(header http.Header, key, value string) {
		header = header.Clone()
		header.Set("Content-Type", "application/json")
		if key != "" {
			header.Set(key, value)
		}
		d.do("POST", "/rpc", request(1, "task.create", `{"title":"x"}`), header)
	}
	post(holding(reader), "Host", "127.0.0.1.evil.example")
	post(holding(reader), "Origin", "https://evil.example")
	post(http.Header{}, "", "")
	post(holding("descartes_wrong"), "", "")
	post(holding(gone), "", "")
	post(holding(reader), "", "")
	want := []map[string]any{
		{"reason": "host", "host": "127.0.0.1.evil.example"},
		{"reason": "origin", "origin": "https://evil.example"},
		{"reason": "no token"},
		{"reason": "bad token"},
		{"reason": "revoked token", "token": "gone"},
		{"reason": "forbidden", "token": "reader", "method": "task.create"},
	}
	lines := log.with(t, "refused")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %v", len(lines), len(want), lines)
	}
	_, metrics := d.do("GET", "/metrics", "", holding(reader))
	for i, line := range lines {
		want[i]["level"], want[i]["path"], want[i]["message"], want[i]["remote"] = "warn", "/rpc", "refused", line["remote"]
		if remote, _ := line["remote"].(string); fmt.Sprint(line) != fmt.Sprint(want[i]) || !strings.HasPrefix(remote, "127.0.0.1:") {
			t.Errorf("line %d is %v, want %v", i, line, want[i])
		}
		if counted := fmt.Sprintf("descartes_refusals_total{reason=%q} 1\n", line["reason"]); !strings.Contains(metrics, counted) {
			t.Errorf("/metrics has no %s", counted)
		}
	}
}

// What a stranger sends cannot make lines of its own, nor long ones; and many
// refusals are few lines, which does not hide those for another reason.
func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		var log logLines
		d := start(t, overPipe, withLog(&log))
		long := strings.Repeat("e", 10_000)
		for _, header := range []http.Header{
			{"Host": {"evil.example"}, "Origin": {"x"}},
			{"Host": {long}},
			{"Origin": {long}},
			{"Origin": {"\"}{\"level\":\"error\",\"message\":\"forged\t"}},
		} {
			if _, body := d.do("GET", "/%1b[2J%0a%7B"+long, "", header); len(body) > 200 {
				t.Errorf("the answer has %d bytes", len(body))
			}
		}
		for _, line := range log.with(t, "") {
			if text := must(json.Marshal(line)); len(text) > 500 || line["message"] != "refused" {
				t.Errorf("%d bytes: %.600s", len(text), text)
			}
		}

		time.Sleep(accessEvery) // a new second
		synctest.Wait()
		d.addToken("a", schema.ScopeRead)
		const many = 200
		for range many {
			d.do("GET", "/metrics", "", nil)
		}
		d.do("GET", "/metrics", "", holding("x"))
		if n := len(log.with(t, "refused")) - 4; n != refusalLines+1 {
			t.Errorf("%d refusals are %d lines, want %d", many+1, n, refusalLines+1)
		}
		time.Sleep(accessEvery)
		synctest.Wait()
		left := log.with(t, "refused, too often")
		if len(left) != 1 || left[0]["left_out"] != float64(many-refusalLines) || left[0]["reason"] != refusedNoToken {
			t.Errorf("the rest is told as %v", left)
		}
	})
}

// No token, and no hash of one, is in the log, at any level, or in an answer.
func TestNothingTellsAToken(t *testing.T) {
	t.Parallel()
	var log logLines
	d := start(t, withLog(&log))
	good, gone, wrong := d.addToken("good", schema.ScopeRead), d.addToken("gone", schema.ScopeWrite), schema.NewToken()
	var told strings.Builder
	try := func(secret string) {
		p, err := d.tryConnect(holding(secret))
		if err == nil {
			check(t, p.Write([]byte(request(1, "task.create", `{"title":1}`))))
			told.Write(must(p.Read()))
			p.CloseNow()
		} else {
			told.WriteString(err.Error())
		}
		d.handshake(http.Header{"Sec-Websocket-Protocol": {"bearer." + secret}})
		for _, path := range []string{"/rpc", "/", "/metrics", "/openrpc.json", "/rpc?token=" + secret, "/" + "no"} {
			for _, method := range []string{"GET", "POST", "PUT"} {
				_, body := d.do(method, path, pingCall, holding(secret))
				told.WriteString(body)
			}
		}
		// A handshake that fails later than at its token.
		d.do("GET", "/rpc", "", http.Header{"Authorization": {"Bearer " + secret}, "Connection": {"Upgrade"}, "Upgrade": {"x"}})
	}
	try(wrong)
	try(good)
	try(gone)
	d.revoke("gone")
	try(gone)
	d.shutDown() // the log is complete
	all := told.String() + log.text.String()
	for name, secret := range map[string]string{"good": good, "gone": gone, "wrong": wrong} {
		hash := schema.HashToken(secret)
		for _, form := range []string{secret, strings.TrimPrefix(secret, schema.TokenPrefix), string(hash[:]), hex.EncodeToString(hash[:])} {
			if i := strings.Index(all, form); i >= 0 {
				t.Errorf("the token %s, or its hash, is told: %.300q", name, all[max(0, i-100):])
			}
		}
	}
	if !strings.Contains(all, `"token":"gone"`) {
		t.Error("the log names nobody: this proves nothing")
	}
}

// What went wrong inside is told to the log alone, and there without a stack.
func TestPanicsAreLoggedWithoutAStack(t *testing.T) {
	t.Parallel()
	var log logLines
	d := start(t, withLog(&log), func(s *setup) { s.store = func(store Store) Store { return faulty{store} } })
	p := d.connect()
	const answer = `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal error","data":{"reason":"internal"}}}`
	p.send(request(1, "task.get", `{"id":"panic"}`))
	p.expect(answer)
	if _, body := d.post(request(1, "task.get", `{"id":"panic"}`)); body != answer+"\n" {
		t.Errorf("a POST is answered %s", body)
	}
	lines := log.with(t, "request")
	errors := slices.DeleteFunc(lines, func(line map[string]any) bool { return line["level"] != "error" })
	if len(errors) != 2 {
		t.Fatalf("%d errors are logged", len(errors))
	}
	for _, line := range errors {
		text, _ := line["error"].(string)
		if !strings.HasPrefix(text, "panic at transcript_test.go:") || strings.ContainsAny(text, "/\n") {
			t.Errorf("logged: %q", text)
		}
	}
}

// Of what net/http logs the first line is enough: after a panic the others are a stack.
func TestHTTPLogsNoStack(t *testing.T) {
	var log logLines
	httpLog(zerolog.New(&log)).Print("http: panic serving 127.0.0.1:1: oh\ngoroutine 1 [running]:\n\t/src/rpc/server.go:1")
	if text := log.text.String(); !strings.Contains(text, "oh") || strings.Contains(text, "goroutine") {
		t.Errorf("logged: %s", text)
	}
}

// A panic outside of any method ends that connection alone.
func TestPanicInAHandler(t *testing.T) {
	t.Parallel()
	var log logLines
	d := start(t, withLog(&log), func(s *setup) { s.store = func(store Store) Store { return unreadable{store} } })
	conn := must(net.Dial("tcp", d.address))
	defer conn.Close()
	fmt.Fprint(conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("it is answered")
	}
	lines := log.with(t, "request failed")
	if len(lines) != 1 || !strings.HasPrefix(fmt.Sprint(lines[0]["error"]), "panic at refusal_test.go:") {
		t.Errorf("logged: %v", lines)
	}
	if status, _ := d.post(pingCall); status != 200 {
		t.Errorf("a POST got %d", status)
	}
}

// unreadable is a Store that panics.
type unreadable struct{ Store }

func (unreadable) Unusable() error { panic("the secret of the inside") }
