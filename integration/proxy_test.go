package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// proxy is nginx with docs/running/nginx.conf in front of a daemon.
type proxy struct {
	address string
	tls     *tls.Config // trusts it
}

// startProxy starts nginx with that file, changed only where another port, daemon or
// certificate, or a shorter time, stands in it.
func startProxy(t *testing.T, d *daemon, changes ...string) proxy {
	t.Helper()
	nginx := need(t, "nginx")
	directory := t.TempDir()
	address, listening := handedOver(t, "tcp", "127.0.0.1:0")
	p := proxy{address: address.String()}
	certificate, key := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem")
	p.tls = serverCertificate(t, certificate, key)
	server := strings.NewReplacer(append([]string{
		"127.0.0.1:7420", strings.TrimSuffix(strings.TrimPrefix(d.url, "ws://"), "/rpc"),
		"listen 443 ssl", "listen " + p.address + " ssl",
		"/etc/letsencrypt/live/tasks.example.com/fullchain.pem", certificate,
		"/etc/letsencrypt/live/tasks.example.com/privkey.pem", key,
	}, changes...)...).Replace(running(t, "nginx.conf"))
	config := filepath.Join(directory, "nginx.conf")
	text := fmt.Sprintf(`daemon off; pid %[1]s/pid; worker_processes 1; events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	%[2]s
}
`, directory, server)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(nginx, "-e", "stderr", "-p", directory, "-c", config)
	command.Env = append(os.Environ(), "NGINX=3;") // as it hands its sockets over to a newer nginx
	command.ExtraFiles = []*os.File{listening}
	command.Stderr = testLog{t}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	return p
}

// serverCertificate writes a certificate for 127.0.0.1 and example.com, and gives what
// trusts it.
func serverCertificate(t *testing.T, certificate, key string) *tls.Config {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	private, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &tls.Config{RootCAs: roots}
}

// status asks for a path under the name of the proxy in public.
func (p proxy) status(t *testing.T, path string) int {
	t.Helper()
	trust := p.tls.Clone()
	trust.ServerName = "example.com"
	web := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: trust, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.address)
		},
	}}
	answer, err := web.Get("https://tasks.example.com" + path)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// dial connects as the board's page of the proxy would, by its origin.
func (p proxy) dial(t *testing.T, options client.Options) *client.Client {
	t.Helper()
	options.TLS, options.Header = p.tls, http.Header{"Origin": {"https://" + p.address}}
	c, err := client.Dial(t.Context(), "wss://"+p.address+"/rpc", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The daemon is reached through nginx as docs/running.md says: by its public name when
// that is allowed, over WebSocket, by pages of that origin.
func TestNginx(t *testing.T) {
	t.Parallel()
	strict := startProxy(t, serve(t, database(t)))
	if status := strict.status(t, "/readyz"); status != http.StatusForbidden {
		t.Errorf("a name that is not allowed is answered %d", status)
	}
	p := startProxy(t, serve(t, database(t), "--allow-host", "tasks.example.com"))
	for path, want := range map[string]int{"/readyz": 200, "/": 200, "/metrics": 404} {
		if status := p.status(t, path); status != want {
			t.Errorf("%s is answered %d, want %d", path, status, want)
		}
	}
	c := p.dial(t, client.Options{})
	events := subscribe(t, c, schema.SubscribeParams{})
	task := create(t, c, "through a proxy")
	if event := next(t, events); event.TaskID != task.ID {
		t.Errorf("got %+v", event)
	}
}

// TestIdleThroughNginx waits for DESCARTES_PROXY_IDLE on connections that say nothing by
// themselves, one with a subscription and one without, through a proxy that cuts after 25
// s of silence: the daemon's pings keep them.
func TestIdleThroughNginx(t *testing.T) {
	idle, err := time.ParseDuration(os.Getenv("DESCARTES_PROXY_IDLE"))
	if err != nil {
		t.Skip("DESCARTES_PROXY_IDLE is not set")
	}
	p := startProxy(t, serve(t, database(t)), "proxy_read_timeout 75s", "proxy_read_timeout 25s")
	silent, subscribed := p.dial(t, client.Options{}), p.dial(t, client.Options{})
	events := subscribe(t, subscribed, schema.SubscribeParams{})
	for began := time.Now(); time.Since(began) < idle; {
		event, err := events.Next(t.Context())
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		t.Logf("after %v: %s", time.Since(began).Round(time.Millisecond), event.ChangeType)
	}
	create(t, silent, "still there")
	next(t, events)
}
