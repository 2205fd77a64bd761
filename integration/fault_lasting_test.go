package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// TestLostFiles does to the files of a running daemon what cannot be undone. What
// would be written from then on is refused: nobody would find it.
func TestLostFiles(t *testing.T) {
	const moved, overwritten = "its file was removed, moved or replaced", "its file was overwritten"
	for _, test := range []struct {
		name, reason string
		lose         func(t *testing.T, db, other string) error // other is another database
		unreadable   bool
		settled      bool // the log is moved into the file, which is copied, and written to, before
	}{
		{"removed", moved, func(_ *testing.T, db, _ string) error { return os.Remove(db) }, false, false},
		{"log removed", moved, func(_ *testing.T, db, _ string) error { return os.Remove(db + "-wal") }, false, false},
		{"index of the log removed", moved, func(_ *testing.T, db, _ string) error { return os.Remove(db + "-shm") }, false, false},
		{"folder removed", moved, func(_ *testing.T, db, _ string) error { return os.RemoveAll(filepath.Dir(db)) }, false, false},
		{"replaced", moved, func(_ *testing.T, db, other string) error { return os.Rename(other, db) }, false, false},
		{"overwritten by another database", overwritten, overwrite, true, false},
		{"overwritten by an older copy of itself", overwritten, func(t *testing.T, db, other string) error {
			return overwrite(t, db, other+".copy")
		}, true, true},
		{"cut off", overwritten, func(_ *testing.T, db, _ string) error { return os.Truncate(db, 0) }, true, false},
		{"cut in half", overwritten, func(_ *testing.T, db, _ string) error { return os.Truncate(db, 8<<10) }, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			directory := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(directory, 0o700); err != nil {
				t.Fatal(err)
			}
			p := admit(t, filepath.Join(directory, "descartes.db"))
			other := filepath.Join(t.TempDir(), "other.db")
			if out, err := exec.Command(binary, "backup", other, "--db", p.db).CombinedOutput(); err != nil {
				t.Fatalf("backup: %v: %s", err, out)
			}
			if test.settled {
				p.awaitCheckpoint()
				if err := overwrite(t, other+".copy", p.db); err != nil {
					t.Fatal(err)
				}
				p.mustWrite()
				p.awaitCheckpoint()
				p.mustRead() // from the file alone
			}
			if err := test.lose(t, p.db, other); err != nil {
				t.Fatal(err)
			}
			before := len(p.made)
			p.mustFail(test.reason)
			if len(p.made) > before {
				t.Errorf("%d writes were answered", len(p.made)-before)
			}
			if !test.unreadable {
				p.mustRead()
			} else if _, err := p.client.Get(t.Context(), p.made[0]); err != nil && schema.CodeOf(err) != schema.CodeStorageUnavailable {
				t.Errorf("get: %v", err)
			}
			if status, text := p.ready(); status != http.StatusServiceUnavailable || !strings.Contains(text, test.reason) {
				t.Errorf("ready: %d %s", status, text)
			}
			p.mustTell()
			p.mustFail(test.reason)
			lines := 1
			if test.unreadable {
				lines = 4 // also that reading fails, that the file is damaged, and of the tokens
			}
			if errors, _ := p.logged(); errors < 1 || errors > lines {
				t.Errorf("%d lines say that it fails", errors)
			}
			p.mustStop()
		})
	}
}

// awaitCheckpoint waits until the log has been moved into the file, which happens
// when nobody writes.
func (p *patient) awaitCheckpoint() {
	p.t.Helper()
	await(p.t, "an empty log", func() bool {
		info, err := os.Stat(p.db + "-wal")
		return err == nil && info.Size() == 0
	})
	// Another write, even one that is refused, begins only when that is over.
	if _, err := p.client.Delete(p.t.Context(), schema.DeleteParams{ID: "none"}); schema.CodeOf(err) != schema.CodeTaskNotFound {
		p.t.Errorf("delete: %v", err)
	}
}

// overwrite copies one file into another as cp does.
func overwrite(t *testing.T, to, from string) error {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// TestLockedQueue: everybody who waits for a lock is told after five seconds,
// however many they are.
func TestLockedQueue(t *testing.T) {
	t.Parallel()
	p := admit(t, database(t))
	letGo := holdLock(t, p.db, "BEGIN IMMEDIATE")
	const clients, writes = 4, 250 // more than fit into three commits
	began := time.Now()
	var group sync.WaitGroup
	for range clients {
		c := p.dial()
		for range writes {
			group.Go(func() {
				if _, err := c.Create(t.Context(), schema.Draft{Title: "waits"}); schema.CodeOf(err) != schema.CodeStorageUnavailable {
					t.Errorf("a write ended with %v", err)
				}
			})
		}
	}
	group.Wait()
	if took := time.Since(began); took < 5*time.Second || took > 8*time.Second {
		t.Errorf("the last one was told after %v", took)
	}
	letGo()
	p.mustWrite()
}

// TestFileDescriptors: without any left, nobody new gets in; those who are go on.
func TestFileDescriptors(t *testing.T) {
	t.Parallel()
	p := admit(t, database(t))
	others := []*client.Client{p.dial(), p.dial(), p.dial(), p.dial()}
	restore := p.limit(unix.RLIMIT_NOFILE, 4) // fewer than it has
	refused := make(chan error, 1)
	go func() {
		c, err := client.Dial(t.Context(), p.url, client.Options{})
		if err == nil {
			err = c.Close()
		}
		refused <- err
	}()
	var group sync.WaitGroup
	for _, c := range others {
		group.Go(func() {
			for range 100 {
				if _, err := c.List(t.Context(), schema.ListParams{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		p.mustWrite()
		p.mustRead()
	}
	group.Wait()
	p.mustTell()
	select {
	case err := <-refused: // on a slow machine it has lost its patience
		if err == nil {
			t.Error("somebody new got in")
		}
		restore()
	default:
		restore()
		if err := <-refused; err != nil {
			t.Errorf("who waited: %v", err)
		}
	}
	p.dial()
	p.mustStop()
	p.mustBeSound()
}

// TestFailingDisk: a disk that cannot write, or cannot sync what was written, is
// an error like any other; and what was refused does not come back after a crash,
// although it may be in the log as a whole.
func TestFailingDisk(t *testing.T) {
	for _, call := range []string{"fdatasync,fsync", "pwrite64"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			p := admit(t, database(t))
			detach := p.inject(call, "error=EIO")
			p.mustFail("failed")
			p.mustRead()
			p.kill()
			detach()
			p.mustBeSound()
			p.start(t, p.db)
			p.mustRead()
			p.mustWrite()
		})
	}
}

// inject makes system calls of a daemon go as strace(1) can make them, until detach,
// which the end of the test calls, too.
func (d *daemon) inject(calls, how string) (detach func()) {
	d.t.Helper()
	tracer := exec.Command(need(d.t, "strace"), "-f", "-qq", "-o", "/dev/null", "-p", strconv.Itoa(d.cmd.Process.Pid),
		"-e", "trace="+calls, "-e", "inject="+calls+":"+how)
	if err := tracer.Start(); err != nil {
		d.t.Fatal(err)
	}
	detach = sync.OnceFunc(func() {
		_ = tracer.Process.Signal(syscall.SIGINT)
		_ = tracer.Wait()
	})
	d.t.Cleanup(detach)
	return detach
}
