package clients

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// address is where docs/clients.md says that the daemon is.
const address = "127.0.0.1:7420"

// binary is the built command.
var binary string

func TestMain(m *testing.M) {
	directory, err := os.MkdirTemp("", "descartes-clients")
	if err == nil {
		binary = filepath.Join(directory, "descartes")
		build := exec.Command("go", "build", "-o", binary, "./cmd/descartes")
		build.Dir, build.Stderr = "../..", os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the binary:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(directory)
	os.Exit(code)
}

// serve starts a daemon with an empty database, and gives its host and port.
func serve(t *testing.T) string {
	t.Helper()
	return serveFile(t, filepath.Join(t.TempDir(), "descartes.db"))
}

func serveFile(t *testing.T, db string) string {
	t.Helper()
	daemon := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--db", db)
	daemon.Stderr = os.Stderr
	out, err := daemon.StdoutPipe()
	must(t, err)
	must(t, daemon.Start())
	t.Cleanup(func() {
		must(t, daemon.Process.Signal(syscall.SIGTERM))
		if err := daemon.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	_, rest, found := strings.Cut(line, "ready ws://")
	host, _, _ := strings.Cut(rest, "/rpc")
	if !found {
		t.Fatalf("serve printed %q", line)
	}
	return host
}

// need gives the path of a tool, or skips the test.
func need(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		skip(t, tool+" is not installed")
	}
	return path
}

// skip skips a test, but not in CI.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
