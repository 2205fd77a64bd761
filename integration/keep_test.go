package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/schema"
)

// A backup that is made while 16 writers never pause holds every write that was
// answered before it began, nothing half, and hinders nobody.
func TestBackupUnderLoad(t *testing.T) {
	d := serve(t, database(t))
	ctx, stop := context.WithCancel(t.Context())
	var answered struct {
		sync.Mutex
		ids []string
	}
	var writers sync.WaitGroup
	enough := make(chan struct{}) // so many were answered that the copy takes some time
	for i := range 16 {
		c := d.dial()
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				task, err := c.Create(ctx, schema.Draft{Title: fmt.Sprint("writer ", i), Description: new(strings.Repeat("x", 2000))})
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				answered.Lock()
				if answered.ids = append(answered.ids, task.ID); len(answered.ids) == 1500 {
					close(enough)
				}
				answered.Unlock()
			}
		})
	}
	<-enough
	for round := range 2 {
		answered.Lock()
		before := slices.Clone(answered.ids)
		answered.Unlock()
		target := filepath.Join(t.TempDir(), "copy.db")
		took := mustRun(t, "backup", "--db", d.db, target).took
		answered.Lock()
		meanwhile := len(answered.ids) - len(before)
		answered.Unlock()
		t.Logf("backup %d of %d tasks: %v, %d writes meanwhile", round, len(before), took, meanwhile)
		if meanwhile == 0 {
			t.Error("nobody could write meanwhile")
		}
		mustRun(t, "check", "--db", target)
		f := kit.ReadFile(t, target)
		for _, id := range before {
			if _, there := f.Tasks[id]; !there {
				t.Fatalf("task %s was answered before the backup, which has %d tasks", id, len(f.Tasks))
			}
		}
	}
	mustRun(t, "check", "--db", d.db) // while it is written
	stop()
	writers.Wait()
}

// After a restore the daemon serves the state of the backup. Whoever comes with a
// cursor from before is told that the journal is another one.
func TestRestoredDaemon(t *testing.T) {
	d := serve(t, database(t))
	c := d.dial()
	kept := create(t, c, "kept")
	s := subscribe(t, c, schema.SubscribeParams{Since: new("start")})
	cursor := next(t, s).Cursor
	copied := filepath.Join(t.TempDir(), "copy.db")
	mustRun(t, "backup", "--db", d.db, copied)
	lost := create(t, c, "made later")
	if run := newCommand("restore", "--db", d.db, "--force", copied); run.Run() == nil || !strings.Contains(run.errors.String(), "a process has it open") {
		t.Errorf("while it is served: %s", &run.errors)
	}
	d.kill() // what it wrote last is in the log
	mustRun(t, "restore", "--db", d.db, "--force", copied)
	mustRun(t, "check", "--db", d.db)
	mustRun(t, "check", "--db", d.db+".before-restore")
	if f := kit.ReadFile(t, d.db+".before-restore"); len(f.Tasks) != 2 {
		t.Errorf("%d tasks are kept", len(f.Tasks))
	}

	c = serve(t, d.db).dial()
	if got, err := c.Get(t.Context(), kept.ID); err != nil || got.Version != kept.Version {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Get(t.Context(), lost.ID); schema.CodeOf(err) != schema.CodeTaskNotFound {
		t.Errorf("a task that the backup does not have: %v", err)
	}
	_, err := c.Subscribe(t.Context(), schema.SubscribeParams{Since: &cursor})
	var expired *schema.Error
	if !errors.As(err, &expired) || expired.Code != schema.CodeCursorExpired || expired.Data.ReasonDetail != "epoch" {
		t.Errorf("with the cursor %s from before: %v", cursor, err)
	}
	create(t, c, "and it goes on")
}

// Not even a shell that has only looked into the database may have it open.
func TestRestoreWhileShellReads(t *testing.T) {
	d := serve(t, database(t))
	create(t, d.dial(), "kept")
	copied := filepath.Join(t.TempDir(), "copy.db")
	mustRun(t, "backup", "--db", d.db, copied)
	d.stop()
	letGo := holdLock(t, d.db, "SELECT id FROM tasks WHERE id = ''")
	if run := newCommand("restore", "--db", d.db, "--force", copied); run.Run() == nil || !strings.Contains(run.errors.String(), "a process has it open") {
		t.Errorf("restore: %s", &run.errors)
	}
	letGo()
	mustRun(t, "restore", "--db", d.db, "--force", copied)

	// Of a file that it cannot read SQLite cannot tell who has it open.
	d = serve(t, d.db)
	file, err := os.OpenFile(d.db, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(make([]byte, 100), 0)
		err = errors.Join(err, file.Close())
	}
	if err == nil {
		err = os.Rename(d.db+".before-restore", d.db+".1")
	}
	if err != nil {
		t.Fatal(err)
	}
	if run := newCommand("restore", "--db", d.db, "--force", copied); run.Run() == nil || !strings.Contains(run.errors.String(), "a process has it open") {
		t.Errorf("restore over a damaged database: %s", &run.errors)
	}
	d.kill()
	mustRun(t, "restore", "--db", d.db, "--force", copied)
	serve(t, d.db)
}

// fileCalls are the system calls that change files.
const fileCalls = "pwrite64,fsync,fdatasync,ftruncate,link,linkat,rename,renameat,unlink,unlinkat"

// everyCall says how many system calls lie between two kills.
func everyCall() int {
	if os.Getenv("CI") == "true" {
		return 1
	}
	return 3
}

// killedAt runs a command that is killed when one of its threads makes its nth call
// that changes a file. It tells whether the command came to its end before, or to
// the line that it ends with when it is not to end.
func killedAt(t *testing.T, n int, arguments ...string) (finished bool) {
	t.Helper()
	trace := exec.Command(need(t, "strace"), append([]string{
		"-f", "-qq", "-o", os.DevNull, "-e", "trace=" + fileCalls,
		"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", fileCalls, n), binary,
	}, arguments...)...)
	trace.Env = append(os.Environ(), "GOMAXPROCS=1")
	trace.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := trace.StdoutPipe()
	if err == nil {
		err = trace.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if strings.HasPrefix(line, "ready ") {
		if err := syscall.Kill(-trace.Process.Pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	_ = trace.Wait() // it was killed, or has said so
	return line != ""
}

// contentOf gives everything that must not be lost, as sqlite3 reads it.
func contentOf(t *testing.T, db string) string {
	t.Helper()
	out, err := exec.Command(need(t, "sqlite3"), db, `SELECT last_seq FROM journal_state; SELECT document FROM tasks ORDER BY id;
		SELECT * FROM journal ORDER BY seq; SELECT * FROM dependencies`).Output()
	if err != nil {
		t.Fatalf("%s: %v", db, err)
	}
	return string(out)
}

// oldFile makes a file of the first format that was released.
func oldFile(t *testing.T, db string) {
	t.Helper()
	dump, err := os.Open("../storage/testdata/format-1.sql")
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	shell := exec.Command(need(t, "sqlite3"), "-bail", db)
	shell.Stdin = dump
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A daemon that is killed at any moment of a migration leaves a file that the next
// one brings to the present format, with all that it held.
func TestMigrationKilled(t *testing.T) {
	old := database(t)
	oldFile(t, old)
	want, whole := contentOf(t, old), readAll(t, old)
	kills := 0
	for n := 1; ; n += everyCall() {
		db := database(t)
		if err := os.WriteFile(db, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		finished := killedAt(t, n, serveArguments(db)...)
		mustRun(t, "check", "--db", db)
		if got := contentOf(t, db); got != want {
			t.Fatalf("killed at call %d: the file has\n%s", n, got)
		}
		if finished {
			break
		}
		kills++
		d := serve(t, db)
		d.stop()
		if out := mustRun(t, "check", "--db", db).out.String(); strings.Contains(out, "format 1\n") || contentOf(t, db) != want {
			t.Fatalf("killed at call %d, and opened again: %s", n, out)
		}
	}
	if t.Logf("killed %d times", kills); kills < 2 {
		t.Error("the migration was hardly killed")
	}
}

// A restore that is killed at any moment leaves the old database or the new one,
// and the next one succeeds.
func TestRestoreKilled(t *testing.T) {
	d := serve(t, database(t))
	c := d.dial()
	create(t, c, "of the backup")
	copied := filepath.Join(t.TempDir(), "copy.db")
	mustRun(t, "backup", "--db", d.db, copied)
	for range 3 {
		create(t, c, "of the old database")
	}
	d.kill() // there is a log
	old := map[string][]byte{"": readAll(t, d.db), "-wal": readAll(t, d.db+"-wal")}
	content := map[string]string{contentOf(t, d.db): "old", contentOf(t, copied): "new"}
	seen := make(map[string]int)
	for n := 1; ; n += everyCall() {
		db := database(t)
		for suffix, bytes := range old {
			if err := os.WriteFile(db+suffix, bytes, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		finished := killedAt(t, n, "restore", "--db", db, "--force", copied)
		mustRun(t, "check", "--db", db)
		which := content[contentOf(t, db)]
		if seen[which]++; which == "" || finished && which != "new" {
			t.Fatalf("killed at call %d: %q is there", n, which)
		}
		if finished {
			break
		}
		if which == "old" {
			mustRun(t, "restore", "--db", db, "--force", copied)
			if content[contentOf(t, db)] != "new" {
				t.Fatalf("killed at call %d, and again: it is not the new database", n)
			}
		}
		if content[contentOf(t, db+".before-restore")] != "old" {
			t.Fatalf("killed at call %d: what is kept is not the old database", n)
		}
	}
	if t.Logf("what was there after a kill: %v", seen); seen["old"] < 3 {
		t.Error("the restore was hardly killed")
	}
}
