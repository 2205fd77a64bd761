package storage

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

func TestMoved(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	d.poll()
	select {
	case <-d.Moved():
		t.Error("a token for a commit of its own")
	default:
	}
	for _, who := range outsiders(t) {
		if err := who.run(d.config.Path, `UPDATE tasks SET title = title || '+'`); err != nil {
			t.Fatal(err)
		}
		select {
		case <-d.Moved():
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no token", who.name)
		}
	}
	// Noticed although a commit of its own came first.
	if err := outsiders(t)[0].run(d.config.Path, `UPDATE tasks SET title = title || '+'`); err != nil {
		t.Fatal(err)
	}
	do(t, d, setStatus("a", schema.Done))
	select {
	case <-d.Moved():
	case <-time.After(10 * time.Second):
		t.Fatal("no token")
	}
}

// mustShell starts the sqlite3 shell with a file open, and gives what ends it.
func mustShell(t *testing.T, path string) (end func()) {
	t.Helper()
	shell, err := exec.LookPath("sqlite3")
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal("the sqlite3 shell is missing")
	case err != nil:
		t.Skip("the sqlite3 shell is missing")
	}
	command := exec.Command(shell, path)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(input, "SELECT 'open', count(*) FROM tasks;")
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		input.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestShared(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	if d.shm.shared() {
		t.Error("somebody is there from the beginning")
	}
	end := mustShell(t, d.config.Path)
	defer end()
	if !d.shm.shared() {
		t.Error("the shell is not seen")
	}
	end()
	if d.shm.shared() {
		t.Error("somebody is still there")
	}
}

// A daemon that writes without end lets others in within the five seconds for
// which a daemon waits, too. The shell asks sixty times in them: TestPace says how
// often it is lucky.
func TestSaturated(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	mustShell(t, d.config.Path)() // without a shell there is nobody to let in
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			status := schema.Statuses()[i%2]
			if _, _, err := d.Apply(t.Context(), []schema.Change{change(setStatus("a", status))}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	const writes = 10
	for i := range writes {
		script := fmt.Sprintf(`INSERT INTO tasks (id, title) VALUES ('x%d', 'new')`, i)
		output, err := exec.Command("sqlite3", d.config.Path, ".timeout 5000", script).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, output)
		}
	}
	close(stop)
	<-stopped
}

// However long a commit takes, the lock is free for a fifth of the time.
func TestPace(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	defer mustShell(t, d.config.Path)()
	for _, test := range []struct{ commit, gap time.Duration }{
		{time.Millisecond, 0}, {40 * time.Millisecond, 0}, {40 * time.Millisecond, 2 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			var p pace
			var busy time.Duration
			began := time.Now()
			for range 1000 {
				p.yield(d.shm)
				busy += test.commit
				time.Sleep(test.commit)
				p.committed()
				time.Sleep(test.gap)
			}
			if all := time.Since(began); all-busy < all/5 {
				t.Errorf("commits of %v, %v apart: the lock is free for %v of %v", test.commit, test.gap, all-busy, all)
			}
		})
	}
}

func TestCheckpoint(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	d.checkpoint()
	info, err := os.Stat(d.config.Path + "-wal")
	if err != nil || info.Size() > 0 {
		t.Errorf("%v %v", info, err)
	}
	task(t, d, "a")
}
