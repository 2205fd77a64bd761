package wire

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
	"testing"
	"time"
)

func TestDialUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan *Conn, 1)
	var host, httpPath string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, httpPath = r.Host, r.URL.Path
		accepting(t, Options{}, conns)(w, r)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	for _, url := range []string{"ws+unix://" + path, "ws+unix:" + path} {
		client := dial(t, url, DialOptions{})
		expectPassage(t, client, receive(t, conns))
		if host != "localhost" || httpPath != "/rpc" {
			t.Error(host, httpPath)
		}
	}
}

func expectPassage(t *testing.T, from, to *Conn) {
	t.Helper()
	want := strings.Repeat("x", 100_000)
	written := make(chan error, 1)
	go func() { written <- from.Write([]byte("1"), []byte(want)) }()
	expectMessage(t, to, "1")
	expectMessage(t, to, want)
	if err := receive(t, written); err != nil {
		t.Error(err)
	}
}

func TestDialTLS(t *testing.T) {
	conns := make(chan *Conn, 1)
	server := httptest.NewTLSServer(accepting(t, Options{WriteTimeout: time.Second}, conns))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	url := "wss" + strings.TrimPrefix(server.URL, "https")
	client := dial(t, url, DialOptions{TLS: &tls.Config{RootCAs: roots}})
	accepted := receive(t, conns)
	expectPassage(t, client, accepted)
	expectPassage(t, accepted, client)

	ended := make(chan error, 1)
	go func() { _, err := client.Read(); ended <- err }()
	_ = accepted.Close(CloseGoingAway, "")
	if err := receive(t, ended); CloseCode(err) != CloseGoingAway {
		t.Error(err)
	}
}

func TestTLSPeerThatTakesNothing(t *testing.T) {
	conns := make(chan *Conn, 1)
	server := httptest.NewTLSServer(accepting(t, Options{WriteTimeout: 50 * time.Millisecond}, conns))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	dial(t, "wss"+strings.TrimPrefix(server.URL, "https"), DialOptions{TLS: &tls.Config{RootCAs: roots}})
	accepted := receive(t, conns)
	big := make([]byte, 32<<20) // more than any socket buffer
	if err := accepted.Write(big); !errors.Is(err, ErrStalled) {
		t.Error(err)
	}
}

func TestDialRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/rpc", http.StatusFound)
			return
		}
		http.Error(w, "bad token "+r.Header.Get("Authorization"), http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := Dial(ctx, url+"/rpc", DialOptions{Header: http.Header{"Authorization": {"Bearer x"}}})
	refused, ok := errors.AsType[*DialError](err)
	if !ok || refused.Status != http.StatusUnauthorized || refused.Body != "bad token Bearer x\n" {
		t.Error(err)
	}
	_, err = Dial(ctx, url+"/moved", DialOptions{})
	if refused, ok = errors.AsType[*DialError](err); !ok || refused.Status != http.StatusFound {
		t.Error(err)
	}
}

func TestDialErrors(t *testing.T) {
	for _, url := range []string{"http://localhost/", "ws+unix:", "ws+unix://host/path", "::", "ws://127.0.0.1:1/rpc", "ws+unix:/nowhere/x.sock"} {
		if _, err := Dial(context.Background(), url, DialOptions{}); err == nil || errors.As(err, new(*DialError)) {
			t.Errorf("%s: %v", url, err)
		}
	}
	stuck, cancel := context.WithCancel(context.Background())
	near, far := net.Pipe()
	defer far.Close()
	_, err := Dial(stuck, "ws://x/rpc", DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) {
		cancel() // with the handshake under way
		return near, nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
