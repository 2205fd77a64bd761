package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v3"
)

func TestServe(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "descartes.sock")
	d := tempDaemon(t, "--socket", socket)
	if len(d.urls) != 2 || d.urls[1] != "ws+unix://"+socket || strings.Contains(d.urls[0], ":0/") {
		t.Fatalf("ready %v", d.urls)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	for _, url := range d.urls {
		if r := descartes(t, "call", "--url", url, "server.ping"); r.out != "\"pong\"\n" {
			t.Errorf("%s: %+v", url, r)
		}
	}
	d.stop(0)
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// Each start that is refused exits with its code and one line.
func TestServeRefusals(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := tempDaemon(t, "--socket", filepath.Join(dir, "live.sock"))
	address := strings.TrimSuffix(strings.TrimPrefix(other.urls[0], "ws://"), "/rpc")
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"address in use":       {[]string{"--listen", address}, 1, address + " is in use"},
		"beyond loopback":      {[]string{"--listen", "0.0.0.0:0"}, 1, "descartes token add NAME"},
		"every address":        {[]string{"--listen", ":0"}, 1, "descartes token add NAME"},
		"no address":           {[]string{"--listen", "7420"}, 2, "HOST:PORT"},
		"damaged file":         {[]string{"--db", file("text.db", strings.Repeat("no database ", 1000))}, 1, "text.db: "},
		"no such folder":       {[]string{"--db", filepath.Join(dir, "none", "x.db")}, 1, "descartes: open " + filepath.Join(dir, "none", "x.db") + ": no such file or directory"},
		"socket in use":        {[]string{"--socket", filepath.Join(dir, "live.sock")}, 1, "live.sock is in use"},
		"socket is a file":     {[]string{"--socket", file("plain", "")}, 1, "plain is a file"},
		"unknown flag":         {[]string{"--lisen", "x"}, 2, "did you mean --listen?"},
		"argument":             {[]string{"now"}, 2, `"now"`},
		"bad duration":         {[]string{"--debounce", "soon"}, 2, "debounce"},
		"too long a window":    {[]string{"--debounce", "2m"}, 2, "--debounce must be"},
		"no connections":       {[]string{"--max-connections", "0"}, 2, "--max-connections must be"},
		"log level":            {[]string{"--log-level", "loud"}, 2, "--log-level must be"},
		"log format":           {[]string{"--log-format", "xml"}, 2, "--log-format must be"},
		"no config file":       {[]string{"--config", filepath.Join(dir, "none")}, 2, "none"},
		"unknown config key":   {[]string{"--config", file("a", "lisen = x\n")}, 2, `line 1: "lisen`},
		"config value":         {[]string{"--config", file("b", "\n# yes\ndebounce = soon\n")}, 2, "line 3: debounce"},
		"config in the config": {[]string{"--config", file("c", "config = d\n")}, 2, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "tasks.db")
			r := descartes(t, append([]string{"serve", "--db", db, "--listen", "127.0.0.1:0"}, test.args...)...)
			if r.code != test.code || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 || r.out != "" {
				t.Errorf("%+v, want %d and %q", r, test.code, test.says)
			}
		})
	}
}

// Who names a proxy's host while everybody may come in is warned, until there is a token.
func TestProxyWithoutTokens(t *testing.T) {
	const warning = "whoever reaches a proxy"
	db := filepath.Join(t.TempDir(), "tasks.db")
	warns := func(args ...string) bool {
		d := serveDaemon(t, append([]string{"--db", db, "--listen", "127.0.0.1:0"}, args...)...)
		d.stop(0)
		return strings.Contains(d.errors.String(), warning)
	}
	if warns() || !warns("--allow-host", "tasks.example.com") {
		t.Error("a warning without a proxy, or none with one")
	}
	if r := descartes(t, "token", "add", "me", "--db", db); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if warns("--allow-host", "tasks.example.com") {
		t.Error("a warning although there is a token")
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "descartes.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	tempDaemon(t, "--socket", socket)
}

func TestSettingPrecedence(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("db = file\nallow-host = a\nallow-host = b\nmax-batch=7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		db   string
	}{
		"default":           {nil, nil, "descartes.db"},
		"file":              {nil, []string{"--config", config}, "file"},
		"file by variable":  {map[string]string{"DESCARTES_CONFIG": config}, nil, "file"},
		"environment":       {map[string]string{"DESCARTES_DB": "env"}, []string{"--config", config}, "env"},
		"command line":      {map[string]string{"DESCARTES_DB": "env"}, []string{"--config", config, "--db", "flag"}, "flag"},
		"flag over default": {nil, []string{"--db", "flag"}, "flag"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			seen := false
			command := serveCommand()
			command.Action = func(_ context.Context, cmd *cli.Command) error {
				seen = true
				if got := cmd.String("db"); got != test.db {
					t.Errorf("db is %q, want %q", got, test.db)
				}
				if hosts := cmd.StringSlice("allow-host"); cmd.String("config") != "" && strings.Join(hosts, " ") != "a b" {
					t.Errorf("hosts are %q", hosts)
				}
				if n := cmd.Int64("max-batch"); cmd.String("config") != "" && n != 7 {
					t.Errorf("max-batch is %d", n)
				}
				return nil
			}
			if err := command.Run(t.Context(), append([]string{"serve"}, test.args...)); err != nil || !seen {
				t.Fatal(err, seen)
			}
		})
	}
}

// Every setting of the daemon can be given in the environment.
func TestEverySettingHasAVariable(t *testing.T) {
	for _, f := range serveFlags() {
		name := f.Names()[0]
		want := "DESCARTES_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if vars := f.(cli.DocGenerationFlag).GetEnvVars(); len(vars) != 1 || vars[0] != want {
			t.Errorf("--%s has %v, want %s", name, vars, want)
		}
	}
}

func TestSignals(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			socket, db := filepath.Join(dir, "s"), filepath.Join(dir, "tasks.db")
			p := startProcess(t, "serve", "--db", db, "--listen", "127.0.0.1:0", "--socket", socket, "--log-format", "json")
			url := readReady(t, p.out, p.errors)[0]
			watching := startProcess(t, "watch", "--url", url, "--json")
			bookmark := make([]byte, 10)
			if _, err := watching.out.Read(bookmark); err != nil {
				t.Fatal(err, watching.errors)
			}
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := p.Wait(); err != nil {
				t.Fatalf("%v: %s", err, p.errors)
			}
			if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is still there: %v", err)
			}
			for line := range bytes.Lines([]byte(p.errors.String())) {
				if !json.Valid(line) {
					t.Errorf("the log has %s", line)
				}
			}
		})
	}
}

// A daemon that waits for a peer that does not go away ends at once when it is
// told a second time.
func TestSecondSignal(t *testing.T) {
	p := startProcess(t, "serve", "--db", filepath.Join(t.TempDir(), "tasks.db"), "--listen", "127.0.0.1:0")
	url := readReady(t, p.out, p.errors)[0]
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/rpc"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /rpc HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Wait()
	}()
	for again := time.Tick(time.Millisecond); ; <-again {
		select {
		case <-ended:
			if status := p.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("ended with %s: %s", p.ProcessState, p.errors)
			}
			return
		default:
			_ = p.Process.Signal(syscall.SIGTERM)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:0": true, "localhost:0": true, "[::1]:0": true, "127.9.9.9:1": true,
		"10.0.0.1:1": false, "[::]:1": false, "example.org:1": false, ":1": false,
	} {
		if isLoopback(address) != ok {
			t.Errorf("%s is loopback: %v, want %v", address, !ok, ok)
		}
	}
}
