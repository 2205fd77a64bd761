package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
)

// inheriting is a daemon that is handed files over, as sd_listen_fds(3) says: from
// descriptor 3 on, for the process whose id is in LISTEN_PID.
func inheriting(files []*os.File, arguments ...string) *exec.Cmd {
	command := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary, "serve"}, arguments...)...)
	command.Env = append(os.Environ(), fmt.Sprint("LISTEN_FDS=", len(files)))
	command.ExtraFiles = files
	return command
}

// handedOver gives the file of a listener that a manager keeps open.
func handedOver(t *testing.T, network, address string) (net.Addr, *os.File) {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if unix, is := listener.(*net.UnixListener); is {
		unix.SetUnlinkOnClose(false)
	}
	file, err := listener.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	t.Cleanup(func() { file.Close() })
	return listener.Addr(), file
}

// Sockets that a manager has opened are listened on in place of its own, TCP and Unix,
// and stay when the daemon ends.
func TestInheritedSockets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	tcp, first := handedOver(t, "tcp", "127.0.0.1:0")
	_, second := handedOver(t, "unix", path)
	db := database(t)
	for range 2 {
		d := launch(t, db, inheriting([]*os.File{first, second}, "--db", db))
		d.awaitReady()
		if got, want := strings.Join(d.urls, " "), fmt.Sprintf("ws://%s/rpc ws+unix://%s", tcp, path); got != want {
			t.Errorf("ready %s, want %s", got, want)
		}
		for _, url := range d.urls {
			c, err := client.Dial(t.Context(), url, client.Options{})
			if err != nil {
				t.Fatal(url, err)
			}
			create(t, c, url)
			c.Close()
		}
		d.stop()
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
}

// Who comes to an inherited socket while no daemon is there is not refused, but waits
// and is answered by the next one.
func TestNobodyIsRefusedBetweenDaemons(t *testing.T) {
	t.Parallel()
	address, file := handedOver(t, "tcp", "127.0.0.1:0")
	db := database(t)
	for range 2 {
		var early [8]net.Conn
		for i := range early {
			conn, err := net.Dial("tcp", address.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			early[i] = conn
		}
		d := launch(t, db, inheriting([]*os.File{file}, "--db", db))
		d.awaitReady()
		for _, conn := range early {
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != http.StatusOK {
				t.Error(answer.Status)
			}
		}
		d.stop()
	}
}

// Restarts on an inherited socket cut nobody either, however they fall among those who
// come and go.
func TestRestartsCutNobody(t *testing.T) {
	t.Parallel()
	address, file := handedOver(t, "tcp", "127.0.0.1:0")
	db := database(t)
	start := func() *daemon {
		d := launch(t, db, inheriting([]*os.File{file}, "--db", db, "--log-level", "error"))
		d.awaitReady()
		return d
	}
	d := start()
	const visitors, restarts, between = 4, 3, 100
	visited, enough := make(chan error), make(chan struct{})
	var visiting sync.WaitGroup
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range visitors {
		visiting.Go(func() {
			for {
				err := visit(web, "http://"+address.String()+"/healthz")
				select {
				case visited <- err:
				case <-enough:
					return
				}
			}
		})
	}
	await := func(visits int) {
		for range visits {
			if err := <-visited; err != nil {
				t.Error(err)
			}
		}
	}
	for range restarts {
		await(between)
		d.stop()
		d = start()
	}
	await(between)
	close(enough)
	visiting.Wait()
}

// visit asks whether a daemon lives, on a connection of its own.
func visit(web *http.Client, url string) error {
	answer, err := web.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "ok\n" {
		return fmt.Errorf("%q, %w", text, err)
	}
	return nil
}

// An inherited socket opens no door that --listen would not.
func TestInheritedRefusals(t *testing.T) {
	t.Parallel()
	_, everywhere := handedOver(t, "tcp", "0.0.0.0:0")
	_, loopback := handedOver(t, "tcp", "127.0.0.1:0")
	plain, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for name, test := range map[string]struct {
		file      *os.File
		arguments []string
		code      int
		says      string
	}{
		"beyond loopback without a token": {everywhere, nil, 1, "descartes token add NAME"},
		"and --listen":                    {loopback, []string{"--listen", "127.0.0.1:0"}, 2, "take --listen and --socket out"},
		"and --socket":                    {loopback, []string{"--socket", "s"}, 2, "take --listen and --socket out"},
		"no socket":                       {plain, nil, 1, "on which nobody can listen"},
	} {
		t.Run(name, func(t *testing.T) {
			command := inheriting([]*os.File{test.file}, append([]string{"--db", database(t)}, test.arguments...)...)
			var errors bytes.Buffer
			command.Stderr = &errors
			_ = command.Run()
			if code := command.ProcessState.ExitCode(); code != test.code || !strings.Contains(errors.String(), test.says) {
				t.Errorf("exits with %d: %s", code, errors.String())
			}
		})
	}
}
