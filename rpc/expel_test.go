package rpc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// outWithin is the promise: how long after its token somebody is out.
const outWithin = 3 * time.Second

// Who may not stay is out within 3 s, whatever the connection does.
func TestExpelled(t *testing.T) {
	t.Parallel()
	revoke := func(d *daemon) { d.revoke("a") }
	remove := func(d *daemon) { d.exec(`DELETE FROM tokens WHERE name = 'a'`) }
	for name, test := range map[string]struct {
		begin  func(p *peer) // what the connection does
		end    func(d *daemon)
		takes  bool // the peer reads what comes
		reason string
	}{
		"idle":                {func(*peer) {}, revoke, true, wire.ReasonRevoked},
		"removed":             {func(*peer) {}, remove, true, wire.ReasonRevoked},
		"subscribed":          {func(p *peer) { p.subscribe(`{}`) }, revoke, true, wire.ReasonRevoked},
		"in a replay":         {func(p *peer) { p.subscribe(`{"since":"start"}`) }, revoke, true, wire.ReasonRevoked},
		"stalled in a replay": {func(p *peer) { p.subscribe(`{"since":"start"}`); p.event() }, revoke, false, ""},
		"stalled":             {func(p *peer) { p.send(request(1, "task.list", `{}`)) }, revoke, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, overPipe func(*setup)) {
				d := start(t, overPipe)
				stays := d.connectAs(d.addToken("stays", schema.ScopeWrite))
				for range 20 {
					stays.call("task.apply", `{"operations":[`+strings.Repeat(`{"op":"create","title":"x"},`, 99)+`{"op":"create","title":"x"}]}`)
				}
				p := d.connectAs(d.addToken("a", schema.ScopeRead))
				test.begin(p)
				synctest.Wait()
				began := time.Now()
				test.end(d)
				if test.takes {
					expectExpelled(p, test.reason)
				} else {
					for d.Connections() > 1 {
						time.Sleep(time.Millisecond)
					}
				}
				if took := time.Since(began); took > outWithin {
					t.Errorf("out after %v", took)
				}
				if stays.call("server.ping", `{}`) != `"pong"` {
					t.Error("another one is out too")
				}
			})
		})
	}
}

// expectExpelled reads on to the end of the connection.
func expectExpelled(p *peer, reason string) {
	p.t.Helper()
	for {
		_, err := p.read()
		if err == nil {
			continue
		}
		if code := wire.CloseCode(err); code != wire.ClosePolicy || !strings.Contains(err.Error(), reason) {
			p.t.Errorf("ended with %v, want 1008 %s", err, reason)
		}
		return
	}
}

// Those who came in while no token was needed go when there is one.
func TestFirstTokenExpelsEverybody(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		p := d.connect()
		p.subscribe(`{}`)
		began := time.Now()
		d.addToken("first", schema.ScopeRead)
		expectExpelled(p, wire.ReasonTokenNeeded)
		if took := time.Since(began); took > outWithin {
			t.Errorf("out after %v", took)
		}
	})
}

// What somebody has asked for, and is not begun when the token is revoked, is not
// done.
func TestExpelledWritesAreNotMade(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		store, option := slowStore()
		d := start(t, overPipe, option)
		p := d.connectAs(d.addToken("a", schema.ScopeWrite))
		p.send(request(0, "task.get", `{"id":"slow"}`)) // which everything after it waits for
		<-store.asked
		for i := range 10 {
			p.send(request(i, "task.create", `{"title":"too late"}`))
		}
		d.revoke("a")
		expectExpelled(p, wire.ReasonRevoked)
		close(store.let)
		for d.Connections() > 0 {
			time.Sleep(time.Millisecond)
		}
		if n := d.emitter.Stats().Changes; n != 0 {
			t.Errorf("%d changes were made", n)
		}
	})
}

// A token that is revoked while the body of its POST is on its way makes no change.
func TestRevokedBeforeTheBody(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		secret := d.addToken("a", schema.ScopeWrite)
		conn := must(d.dial(t.Context(), "tcp", d.address))
		defer conn.Close()
		body := request(1, "task.create", `{"title":"too late"}`)
		fmt.Fprintf(conn, "POST /rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n", secret, len(body))
		synctest.Wait() // the token was good; the body is missing
		d.revoke("a")
		d.access.refresh(t.Context())
		fmt.Fprint(conn, body)
		response := must(http.ReadResponse(bufio.NewReader(conn), nil))
		if n := d.emitter.Stats().Changes; response.StatusCode != 401 || n != 0 {
			t.Errorf("answered %s, %d changes", response.Status, n)
		}
	})
}

// A token that is revoked while the answer to its handshake is on its way does not
// make a connection that nobody closes.
func TestRevokedDuringTheHandshake(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		secret := d.addToken("a", schema.ScopeWrite)
		conn := must(d.dial(t.Context(), "tcp", d.address))
		defer conn.Close()
		fmt.Fprintf(conn, "GET /rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", secret)
		synctest.Wait() // the answer is being written: a pipe holds nothing
		d.revoke("a")
		d.access.refresh(t.Context())
		in := bufio.NewReader(conn)
		response := must(http.ReadResponse(in, nil))
		frame := make([]byte, 4)
		must(io.ReadFull(in, frame))
		if response.StatusCode != 101 || frame[0] != 0x88 || binary.BigEndian.Uint16(frame[2:]) != wire.ClosePolicy {
			t.Errorf("answered %s, then % x", response.Status, frame)
		}
	})
}
