package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// patient is a daemon to which something is done, with a client and a subscriber
// that are connected all the time, and what they were told.
type patient struct {
	*daemon
	log    string // the file that it logs to, a JSON object a line
	client *client.Client
	events *client.Subscription
	made   []string // ids of the tasks whose creation was answered
}

// admit starts a daemon on a file.
func admit(t *testing.T, db string, flags ...string) *patient {
	t.Helper()
	p := &patient{log: filepath.Join(t.TempDir(), "log")}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("the daemon's log:\n%s", text)
		}
	})
	p.start(t, db, flags...)
	p.events = subscribe(t, p.client, schema.SubscribeParams{})
	p.mustWrite()
	return p
}

// start starts the daemon, once more if it has ended.
func (p *patient) start(t *testing.T, db string, flags ...string) {
	t.Helper()
	arguments := append(serveArguments(db, flags...), "--log-format", "json")
	p.daemon = launch(t, db, exec.Command("sh", append([]string{"-c", `exec "$0" "$@" 2>>` + p.log, binary}, arguments...)...))
	p.awaitReady()
	p.client = p.dial()
}

// write creates a task of some kilobytes, and remembers it if that was answered.
func (p *patient) write() error {
	task, err := p.client.Create(p.t.Context(), schema.Draft{
		Title: fmt.Sprint("task ", len(p.made)), Description: new(strings.Repeat("text ", 800)),
	})
	if err == nil {
		p.made = append(p.made, task.ID)
	}
	return err
}

func (p *patient) mustWrite() {
	p.t.Helper()
	if err := p.write(); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// mustFail writes until a write is refused: what is broken need not be touched by
// the first one.
func (p *patient) mustFail(reason string) {
	p.t.Helper()
	var err error
	for range 5000 {
		if err = p.write(); err != nil {
			break
		}
	}
	if schema.CodeOf(err) != schema.CodeStorageUnavailable || !strings.Contains(err.Error(), reason) {
		p.t.Fatalf("a write ended with %v, want code %d and %q", err, schema.CodeStorageUnavailable, reason)
	}
}

// mustRead reads what has been written.
func (p *patient) mustRead() {
	p.t.Helper()
	if _, err := p.client.Get(p.t.Context(), p.made[0]); err != nil {
		p.t.Errorf("get: %v", err)
	}
	page, err := p.client.List(p.t.Context(), schema.ListParams{Limit: new(int64(1000))})
	if err != nil || len(page.Tasks) != min(len(p.made), 1000) {
		p.t.Errorf("list: %d tasks of %d, %v", len(page.Tasks), len(p.made), err)
	}
}

// ready gives the answer of /readyz.
func (p *patient) ready() (status int, text string) {
	p.t.Helper()
	answer, err := http.Get(p.page("/readyz"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// mustTell waits until the subscriber has got the creation of every task, in order
// and once.
func (p *patient) mustTell() {
	p.t.Helper()
	for i, id := range p.made {
		if event := next(p.t, p.events); event.TaskID != id || event.Seq != int64(i+1) {
			p.t.Fatalf("event %d is %s of %s, want %s", i+1, event.ChangeType, event.TaskID, id)
		}
	}
}

// logged counts the lines of the log that are errors, and those that say that one
// is over.
func (p *patient) logged() (errors, over int) {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var entry struct{ Level, Message string }
		if err := json.Unmarshal(line, &entry); err != nil {
			p.t.Errorf("log line %q: %v", line, err)
		}
		switch {
		case entry.Level == "error":
			errors++
		case entry.Message == "the database works again":
			over++
		}
	}
	return errors, over
}

// mustStop ends the daemon with a signal, as if nothing had happened.
func (p *patient) mustStop() {
	p.t.Helper()
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 10*time.Second {
		p.t.Errorf("the stop took %v", took)
	}
}

// mustBeSound checks a file that nobody has open, which has every task that was
// answered.
func (p *patient) mustBeSound() {
	p.t.Helper()
	if out, err := exec.Command(binary, "check", "--db", p.db).CombinedOutput(); err != nil {
		p.t.Errorf("check: %v: %s", err, out)
	}
	out, err := exec.Command(need(p.t, "sqlite3"), p.db, "PRAGMA integrity_check; SELECT id FROM tasks ORDER BY version").Output()
	if want := "ok\n" + strings.Join(p.made, "\n") + "\n"; err != nil || string(out) != want {
		p.t.Errorf("the file has %d lines, want %d: %v", bytes.Count(out, []byte("\n")), strings.Count(want, "\n"), err)
	}
}

// await waits until something that gives no signal is so.
func await(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(30 * time.Second)
	for !isSo() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("%s: not in 30 s", what)
		}
	}
}

// needRoot skips a test that only root can run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("only root can do this")
	}
	t.Skip("only root can do this")
}

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) (directory string) {
	t.Helper()
	needRoot(t)
	directory = t.TempDir()
	if err := unix.Mount("tmpfs", directory, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(directory, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return directory
}

// fillDisk takes all the room that there is, but for some bytes, and gives what makes
// room again.
func fillDisk(t *testing.T, directory string, but int64) (free func()) {
	t.Helper()
	path := filepath.Join(directory, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err == nil {
		err = file.Truncate(max(size-but, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		// A child that another test is just starting may have the file open still, and
		// would keep its room.
		if err := errors.Join(os.Truncate(path, 0), os.Remove(path)); err != nil {
			t.Error(err)
		}
	}
}

// limit sets a limit of the running daemon (setrlimit(2)), and gives what takes it
// back.
func (p *patient) limit(resource int, value uint64) (restore func()) {
	p.t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(p.cmd.Process.Pid, resource, nil, &before); err != nil {
		p.t.Fatal(err)
	}
	set := unix.Rlimit{Cur: value, Max: before.Max}
	if err := unix.Prlimit(p.cmd.Process.Pid, resource, &set, nil); err != nil {
		p.t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(p.cmd.Process.Pid, resource, &before, nil); err != nil && !p.done {
			p.t.Error(err)
		}
	}
}

// holdLock has another process lock the database until it is let go.
func holdLock(t *testing.T, db, begin string) (letGo func()) {
	t.Helper()
	shell := exec.Command(need(t, "sqlite3"), db)
	input, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(input, ".timeout 5000\n"+begin+";\nSELECT 'locked';")
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("sqlite3 said %q, %v", line, err)
	}
	return func() {
		input.Close()
		if err := shell.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// move renames a file away, and gives what brings it back.
func move(t *testing.T, path string) (back func()) {
	t.Helper()
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(path+".away", path); err != nil {
			t.Error(err)
		}
	}
}
