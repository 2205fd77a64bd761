package rpc

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

// Whoever does not finish a handshake has 10 s for it: the headers of a request,
// however slowly they come, and the handshake of TLS before it.
func TestHandshakeHasToComeIn10s(t *testing.T) {
	t.Parallel()
	const first = "GET /rpc HTTP/1.1\r\nHost: localhost\r\n"
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS() // for its certificate
	secure.Close()
	for name, test := range map[string]struct {
		tls bool
		say func(conn net.Conn) // nil: the whole handshake of TLS, and no more
	}{
		"nothing":     {false, func(net.Conn) {}},
		"some of it":  {false, func(conn net.Conn) { io.WriteString(conn, first) }},
		"slow loris":  {false, func(conn net.Conn) { drip(conn, first+strings.Repeat("X: y\r\n", 100)) }},
		"no TLS":      {true, func(net.Conn) {}},
		"some TLS":    {true, func(conn net.Conn) { conn.Write([]byte{22, 3, 1, 2, 0}) }},
		"slow TLS":    {true, func(conn net.Conn) { drip(conn, "\x16\x03\x01\x02\x00"+strings.Repeat("\x01", 100)) }},
		"TLS, then 0": {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, overPipe func(*setup)) {
				d := start(t, overPipe, func(s *setup) {
					if test.tls {
						pipes := s.listen()
						s.listen = func() net.Listener { return tls.NewListener(pipes, secure.TLS) }
					}
				})
				conn := must(d.dial(t.Context(), "tcp", d.address))
				began := time.Now()
				var talk sync.WaitGroup
				if test.say != nil {
					talk.Go(func() { test.say(conn) })
				} else {
					secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
					check(t, secure.Handshake())
					conn = secure
				}
				for err := error(nil); err == nil; {
					_, err = conn.Read(make([]byte, 1))
				}
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("closed after %v", took)
				}
				conn.Close()
				talk.Wait()
			})
		})
	}
}

// drip sends a byte a second.
func drip(conn net.Conn, text string) {
	for i := range len(text) {
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// A request that is refused does not keep its place until its body has come.
func TestRefusedBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		conn := must(d.dial(t.Context(), "tcp", d.address))
		defer conn.Close()
		began := time.Now()
		io.WriteString(conn, "POST /rpc HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
		response := must(http.ReadResponse(bufio.NewReader(conn), nil))
		if took := time.Since(began); response.StatusCode != 403 || took > refusedBodyTimeout {
			t.Errorf("got %d after %v", response.StatusCode, took)
		}
		response.Body.Close()
	})
}

func TestHeadersHaveALimit(t *testing.T) {
	t.Parallel()
	d := start(t)
	for size, want := range map[int]int{64 << 10: 200, 70 << 10: 431} {
		status, _ := d.do("GET", "/healthz", "", http.Header{"X": {strings.Repeat("x", size)}})
		if status != want {
			t.Errorf("a header of %d bytes: got %d, want %d", size, status, want)
		}
	}
}

// refusalLog is a log that is read while it is written.
type refusalLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *refusalLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *refusalLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A stranger who opens connections and says nothing keeps nobody out: those that
// have waited longest go.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	var log refusalLog
	d := start(t, func(s *setup) { s.rpc.Limits.MaxConnections, s.rpc.Log = 1, zerolog.New(&log) })
	const room, more = 1 + spareConnections, 5
	silent := make([]net.Conn, room+more)
	for i := range silent {
		silent[i] = must(net.Dial("tcp", d.address))
		defer silent[i].Close()
	}
	p := d.connect() // a session, which takes one place of the two that it needs for a moment
	p.call("server.ping", `{}`)
	for i, conn := range silent {
		conn.SetReadDeadline(time.Now().Add(handshakeTimeout - 2*time.Second)) // when it would go anyway
		if i > more {
			conn.SetReadDeadline(time.Now())
		}
		_, err := conn.Read(make([]byte, 1))
		late, _ := err.(net.Error)
		if isOpen := late != nil && late.Timeout(); isOpen != (i > more) && i != more+1 {
			t.Errorf("connection %d of %d: %v", i, len(silent), err)
		}
	}
	if status, _ := d.post(`{"jsonrpc":"2.0","id":1,"method":"server.ping"}`); status != 200 {
		t.Errorf("a POST got %d", status)
	}
	_, err := d.tryConnect(nil)
	if refused, _ := errors.AsType[*wire.DialError](err); refused == nil || refused.Status != 503 {
		t.Errorf("one session too many: %v", err)
	}
	p.call("server.ping", `{}`)
	if text := log.String(); !strings.Contains(text, `"reason":"too many connections"`) || strings.Count(text, "\n") > 2*refusalLines {
		t.Errorf("the log has %s", text)
	}
}

// A connection that is between two requests waits like a new one; one whose request
// is being answered is never in the way.
func TestOnlyIdleConnectionsGo(t *testing.T) {
	t.Parallel()
	store, option := slowStore()
	store.asked, store.let = make(chan struct{}, 1), make(chan struct{})
	d := start(t, option, func(s *setup) { s.rpc.Limits.MaxConnections = 1 })
	ask := func(conn net.Conn, method, params string) {
		body := request(1, method, params)
		fmt.Fprintf(conn, "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	status := func(conn net.Conn) int {
		t.Helper()
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Error(err)
			return 0
		}
		io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	busy, idle := must(net.Dial("tcp", d.address)), must(net.Dial("tcp", d.address))
	defer busy.Close()
	defer idle.Close()
	ask(busy, "task.get", `{"id":"slow"}`)
	<-store.asked
	ask(idle, "server.ping", `{}`)
	if got := status(idle); got != 200 {
		t.Fatalf("got %d", got)
	}
	gone := make(chan error, 1)
	go func() {
		_, err := idle.Read(make([]byte, 1))
		gone <- err
	}()
	// It may count as idle a moment after its answer is here, behind those who came
	// meanwhile: then it is their turn first.
	for range 2 * spareConnections {
		defer must(net.Dial("tcp", d.address)).Close()
	}
	idle.SetReadDeadline(time.Now().Add(20 * time.Second))
	if err := <-gone; err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the idle one got %v", err)
	}
	close(store.let)
	if got := status(busy); got != 200 {
		t.Errorf("the busy one got %d", got)
	}
}

// Connections that end leave nothing behind.
func TestNewcomersAreForgotten(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		d.connect()
		d.do("GET", "/healthz", "", nil)
		must(d.dial(t.Context(), "tcp", "")).Close()
		synctest.Wait()
		d.newcomers.mu.Lock()
		defer d.newcomers.mu.Unlock()
		if len(d.newcomers.conns) != 0 || d.newcomers.idle.Len() != 0 {
			t.Errorf("%d connections, %d of them idle", len(d.newcomers.conns), d.newcomers.idle.Len())
		}
	})
}
