package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// A backup is what the database was at one moment, however much is committed while
// it is made: a commit after every step does not make it start over.
func TestBackupWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	for i := range 60 {
		do(t, d, large(fmt.Sprint("t", i)))
	}
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var steps []int64
	target := filepath.Join(t.TempDir(), "copy.db")
	written, err := Backup(ctx, path, target, false, func(done, total int64) {
		if steps = append(steps, done); len(steps) > 50 {
			giveUp() // it has started over again and again
		}
		do(t, d, create(fmt.Sprint("meanwhile", len(steps))), setStatus("t1", schema.Statuses()[len(steps)%4]))
	})
	if err != nil || len(steps) < 3 || !slices.IsSorted(steps) {
		t.Fatalf("steps %v, %v", steps, err)
	}
	same(t, "copy", written, Copy{Path: target, Tasks: 60, Seq: 60, Bytes: written.Bytes})
	report := sound(t, target)
	same(t, "tasks, events", []int64{report.Tasks, report.Events}, []int64{60, 60})
	if epoch, _, _ := strings.Cut(keptOf(t, target)[0], "|"); epoch != d.epoch {
		t.Errorf("the copy has epoch %s, not %s", epoch, d.epoch)
	}
}

// A backup is one file, for its owner only, that sqlite3 can read where nobody can
// write.
func TestBackupIsOneFile(t *testing.T) {
	path := wear(t)
	target := filepath.Join(t.TempDir(), "a #1? 100%.db")
	written, err := Backup(t.Context(), path, target, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := contents(t, filepath.Dir(target))
	if len(files) != 1 || int64(len(files[filepath.Base(target)])) != written.Bytes {
		t.Errorf("%d files, %+v", len(files), written)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	same(t, "contents", keptOf(t, target), keptOf(t, path))
	same(t, "files of the original", len(contents(t, filepath.Dir(path))), 1)
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("without the sqlite3 shell, which is missing")
	}
	out, err := exec.Command(shell, "-readonly", target, "SELECT count(*) FROM tasks").CombinedOutput()
	if string(out) != "6\n" {
		t.Errorf("the shell reads %q, %v", out, err)
	}
	same(t, "files", len(contents(t, filepath.Dir(target))), 1)
}

func TestBackupRefuses(t *testing.T) {
	path, folder := wear(t), t.TempDir()
	d := mustOpen(t, path) // so that there is a log
	do(t, d, create("new"))
	there, inUse := filepath.Join(folder, "there.db"), filepath.Join(folder, "in-use.db")
	hard, soft, lost := filepath.Join(folder, "hard.db"), filepath.Join(folder, "soft.db"), filepath.Join(folder, "lost.db")
	for _, name := range []string{there, inUse, inUse + "-wal"} {
		if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Link(path, hard), os.Symlink(path, soft), os.Symlink("nowhere", lost)); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.db")
	execute(t, other, `CREATE TABLE t (a)`)
	for _, test := range []struct {
		name, from, target string
		replace            bool
		want               string
	}{
		{"exists", path, there, false, "exists"},
		{"itself", path, path, true, "part of the database itself"},
		{"its log", path, path + "-wal", true, "part of the database itself"},
		{"a log to come", path, path + "-journal", false, "part of the database itself"},
		{"itself by another name", path, hard, true, "part of the database itself"},
		{"itself by a link", path, soft, true, "part of the database itself"},
		{"a link to nothing", path, lost, false, "not a file"},
		{"a folder", path, folder, true, "not a file"},
		{"a database in use", path, inUse, true, "in-use.db-wal is there"},
		{"no folder", path, filepath.Join(folder, "none", "x.db"), false, "no such file"},
		{"no database", filepath.Join(folder, "none.db"), filepath.Join(folder, "x.db"), false, "no such file"},
		{"another application", other, filepath.Join(folder, "x.db"), false, "another application"},
		{"no SQLite", there, filepath.Join(folder, "x.db"), false, "damaged"},
	} {
		before := contents(t, folder)
		if _, err := Backup(t.Context(), test.from, test.target, test.replace, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		same(t, test.name+": files", contents(t, folder), before)
	}
	if _, err := Backup(t.Context(), path, there, true, nil); err != nil {
		t.Error(err)
	}
	same(t, "tasks", sound(t, there).Tasks, 7)
}

// What cannot be finished leaves nothing behind, and a damaged database makes no
// backup.
func TestBackupLeavesNothing(t *testing.T) {
	path, folder := wear(t), t.TempDir()
	target := filepath.Join(folder, "copy.db")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Backup(ended, path, target, false, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	inTheMiddle, cancel := context.WithCancel(t.Context())
	if _, err := Backup(inTheMiddle, path, target, false, func(int64, int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("in the middle: %v", err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(file[3*4096 : 4*4096])
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), path, target, false, nil); !errors.Is(err, errDamaged) {
		t.Errorf("of a damaged file: %v", err)
	}
	same(t, "files", contents(t, folder), map[string]string{})
}

// On a disk that becomes full there is neither half a backup nor what led to it.
func TestBackupDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	for i := range 20 {
		do(t, d, large(fmt.Sprint("t", i)))
	}
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount: %v: %s", err, out)
		}
		t.Skipf("cannot mount a small disk: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}()
	if _, err := Backup(t.Context(), path, filepath.Join(disk, "copy.db"), false, nil); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
	same(t, "files", contents(t, disk), map[string]string{})
	if _, err := Restore(t.Context(), RestoreConfig{From: backupOf(t, path), Path: filepath.Join(disk, "copy.db")}); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
	same(t, "files", contents(t, disk), map[string]string{})
}

// backupOf makes a backup in a folder of its own.
func backupOf(t *testing.T, path string) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "backup.db")
	if _, err := Backup(t.Context(), path, target, false, nil); err != nil {
		t.Fatal(err)
	}
	return target
}
