package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

const token = "descartes_c2VjcmV0"

// doorkeeper is a fake daemon that looks at each handshake before it lets it in.
type doorkeeper struct {
	t    *testing.T
	mu   sync.Mutex
	open []*wire.Conn
	look func(r *http.Request) (status int, reason string) // 0: come in
}

// keepDoor starts a daemon on a listener, or on a port of its own.
func keepDoor(t *testing.T, start func(*httptest.Server), look func(*http.Request) (int, string)) (*doorkeeper, *httptest.Server) {
	t.Helper()
	d := &doorkeeper{t: t, look: look}
	server := httptest.NewUnstartedServer(d)
	var conns sync.WaitGroup
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn := d.admit(w, r); conn != nil {
			conns.Add(1)
			conn.Serve(wire.Limits{}, d.subscribed(conn), func(error) { conns.Done() })
		}
	})
	start(server)
	t.Cleanup(func() {
		d.close(wire.CloseNormal, "")
		conns.Wait()
		server.Close()
	})
	return d, server
}

// ServeHTTP makes it a handler, which httptest needs before it starts.
func (d *doorkeeper) ServeHTTP(http.ResponseWriter, *http.Request) {}

func (d *doorkeeper) admit(w http.ResponseWriter, r *http.Request) *wire.Conn {
	if status, reason := d.look(r); status != 0 {
		http.Error(w, reason, status)
		return nil
	}
	conn, err := wire.Accept(w, r, wire.Options{})
	if err != nil {
		d.t.Error(err)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, conn)
	return conn
}

// subscribed answers everything, and begins each subscription with a bookmark.
func (d *doorkeeper) subscribed(conn *wire.Conn) func(*wire.Request) {
	return func(r *wire.Request) {
		_ = conn.Write(r.Answer([]byte(`"s1"`), nil))
		if r.Method == schema.MethodSubscribe {
			_ = conn.Write(wire.AppendNotification(nil, schema.NotifyEvent, []byte(`{"subscription":"s1","result":`+mark1+`}`)))
		}
	}
}

// close closes every connection.
func (d *doorkeeper) close(code int, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.open {
		_ = conn.Close(code, reason)
	}
	d.open = nil
}

func welcome(*http.Request) (int, string) { return 0, "" }

func TestRefusalsHaveMeanings(t *testing.T) {
	for status, want := range map[int]error{401: client.ErrUnauthorized, 403: client.ErrForbidden, 503: client.ErrUnavailable} {
		_, server := keepDoor(t, (*httptest.Server).Start, func(r *http.Request) (int, string) {
			return status, "because of " + r.Header.Get("Authorization")
		})
		_, err := client.Dial(t.Context(), server.URL, client.Options{Token: token})
		refused, ok := errors.AsType[*client.RefusedError](err)
		if !errors.Is(err, want) || !ok || refused.Status != status || !strings.Contains(err.Error(), "because of Bearer [token]") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A subscription does not knock for ever on a door that stays closed, but waits for
// a daemon that is full.
func TestSubscriptionAndRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		code   int // of the close frame that ends the first connection
		reason string
		then   []int // the status of each handshake after it, 0: come in
		end    error // nil: it goes on
	}{
		"revoked and told so":        {wire.ClosePolicy, wire.ReasonRevoked, nil, client.ErrUnauthorized},
		"tokens are needed now":      {wire.ClosePolicy, wire.ReasonTokenNeeded, nil, client.ErrUnauthorized},
		"revoked while away":         {wire.CloseGoingAway, "", []int{401}, client.ErrUnauthorized},
		"too slow, then revoked":     {wire.ClosePolicy, "too slow", []int{401}, client.ErrUnauthorized},
		"no longer an allowed name":  {wire.CloseGoingAway, "", []int{403}, client.ErrForbidden},
		"no longer there":            {wire.CloseGoingAway, "", []int{404}, nil},
		"too slow":                   {wire.ClosePolicy, "too slow", []int{0}, nil},
		"full for a while":           {wire.CloseGoingAway, "", []int{503, 503, 503, 0}, nil},
		"a proxy without its daemon": {wire.CloseGoingAway, "", []int{502, 504, 429, 0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var then []int
			d, server := keepDoor(t, (*httptest.Server).Start, func(*http.Request) (status int, _ string) {
				mu.Lock()
				defer mu.Unlock()
				if len(then) > 0 {
					status, then = then[0], then[1:]
				}
				return status, "as the test says"
			})
			c := dial(t, server.URL, client.Options{Token: token, Reconnect: true, Backoff: quickly})
			sub, err := c.Subscribe(t.Context(), schema.SubscribeParams{})
			must(t, err)
			nextAny(t, sub)
			mu.Lock()
			then = test.then
			mu.Unlock()
			d.close(test.code, test.reason)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			event, err := sub.Next(ctx)
			refused, _ := errors.AsType[*client.RefusedError](err)
			switch {
			case test.then != nil && test.then[0] == 404:
				if refused == nil || refused.Status != 404 {
					t.Errorf("got %+v, %v", event, err)
				}
			case !errors.Is(err, test.end) || test.end == nil && event.ChangeType != schema.Bookmark:
				t.Errorf("got %+v, %v, want %v", event, err, test.end)
			case err != nil && strings.Contains(err.Error(), token):
				t.Errorf("%v shows the token", err)
			}
			if test.end != nil {
				if _, again := sub.Next(ctx); !errors.Is(again, test.end) {
					t.Errorf("then %v", again)
				}
			}
		})
	}
}

// Without Reconnect, too, a call and a subscription say that the token was revoked.
func TestRevokedWhileConnected(t *testing.T) {
	d, server := keepDoor(t, (*httptest.Server).Start, welcome)
	c := dial(t, server.URL, client.Options{Token: token})
	sub, err := c.Subscribe(t.Context(), schema.SubscribeParams{})
	must(t, err)
	nextAny(t, sub)
	must(t, c.Ping(t.Context())) // the daemon knows both connections
	d.close(wire.ClosePolicy, wire.ReasonRevoked)
	if _, err := sub.Next(t.Context()); !errors.Is(err, client.ErrUnauthorized) || errors.Is(err, client.ErrDisconnected) {
		t.Errorf("subscription: %v", err)
	}
	if err := c.Ping(t.Context()); !errors.Is(err, client.ErrUnauthorized) || !strings.Contains(err.Error(), wire.ReasonRevoked) {
		t.Errorf("call: %v", err)
	}
}

// The token is shown on every way in, a socket too.
func TestTokenOnASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	seen := make(chan string, 2)
	keepDoor(t, func(s *httptest.Server) {
		l, err := net.Listen("unix", path)
		must(t, err)
		must(t, s.Listener.Close())
		s.Listener = l
		s.Start()
	}, func(r *http.Request) (int, string) {
		seen <- r.Header.Get("Authorization")
		return 0, ""
	})
	c := dial(t, "ws+unix://"+path, client.Options{Token: token})
	_, err := c.Subscribe(t.Context(), schema.SubscribeParams{})
	must(t, err)
	for range 2 {
		if got := <-seen; got != "Bearer "+token {
			t.Errorf("got %q", got)
		}
	}
}

// Only a certificate of a trusted authority is the daemon's, and a subscription does
// not send its token to anybody else.
func TestTLS(t *testing.T) {
	_, server := keepDoor(t, (*httptest.Server).StartTLS, welcome)
	server.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusted := client.Options{Token: token, TLS: &tls.Config{RootCAs: roots}}
	c := dial(t, server.URL, trusted)
	sub, err := c.Subscribe(t.Context(), schema.SubscribeParams{})
	must(t, err)
	nextAny(t, sub)
	_, err = client.Dial(t.Context(), server.URL, client.Options{Token: token})
	if !errors.Is(err, client.ErrUntrusted) || errors.Is(err, client.ErrUnreachable) || strings.Contains(err.Error(), "\n") {
		t.Errorf("untrusted: %v", err)
	}
	if _, err = client.Dial(t.Context(), strings.Replace(server.URL, "https", "ws", 1), trusted); err == nil {
		t.Error("plain text to a port with TLS")
	}
}

func TestTokensThatCannotBeSent(t *testing.T) {
	d := startDaemon(t)
	for _, bad := range []string{token + "\n", "two words", "tökén", token + "\x00"} {
		_, err := client.Dial(t.Context(), d.url(), client.Options{Token: bad})
		if err == nil || errors.Is(err, client.ErrUnreachable) || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err := client.Dial(t.Context(), "ws://:"+token+"@"+d.address+"/rpc", client.Options{})
	if err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("in the URL: %v", err)
	}
}
