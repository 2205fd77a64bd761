package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// taskLines writes a file to be imported: tasks of about the given size, every
// third of which depends on the next line.
func taskLines(t *testing.T, tasks, size int) string {
	t.Helper()
	var lines bytes.Buffer
	for i := range tasks {
		var dependencies []string
		if i%3 == 0 && i+1 < tasks {
			dependencies = []string{fmt.Sprintf("task-%07d", i+1)}
		}
		line, err := json.Marshal(schema.Draft{
			ID: fmt.Sprintf("task-%07d", i), Title: fmt.Sprint("task ", i), Dependencies: dependencies,
			Description: new(strings.Repeat("word ", size/5)), Metadata: json.RawMessage(`{"labels":["one","two"],"estimate":3.50}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	path := filepath.Join(t.TempDir(), "tasks.jsonl")
	if err := os.WriteFile(path, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command is a run of the binary that does not serve.
type command struct {
	*exec.Cmd
	out, errors bytes.Buffer
	took        time.Duration
	peak        int64 // most memory that it was seen to have, in bytes; 0 where there is no /proc
}

func newCommand(arguments ...string) *command {
	c := &command{Cmd: exec.Command(binary, arguments...)}
	c.Stdout, c.Stderr = &c.out, &c.errors
	return c
}

// mustRun runs a command that succeeds.
func mustRun(t *testing.T, arguments ...string) *command {
	t.Helper()
	c, began := newCommand(arguments...), time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- c.Wait() }()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			c.look()
			continue
		case err := <-ended:
			if err != nil {
				t.Fatalf("%q: %v: %s", arguments, err, &c.errors)
			}
		}
		c.took = time.Since(began)
		return c
	}
}

// look notes the most memory that the command has had so far, without the pages of its
// binary. What the system tells of a process that has ended (ru_maxrss) is at least what
// its parent had.
func (c *command) look() {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	if err != nil {
		return // it has ended
	}
	kibibytes := func(name string) (n int64) {
		_, line, _ := strings.Cut(string(status), "\n"+name+":")
		_, _ = fmt.Sscan(line, &n) // of a process that ends it is not there
		return n
	}
	c.peak = max(c.peak, (kibibytes("VmHWM")-kibibytes("RssFile"))<<10)
}

// cpu gives the processor time that the command has used.
func (c *command) cpu() time.Duration {
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// Every daemon pushes what is imported: each task once, in the order of the
// journal, between what others write at the same time.
func TestImportIsPushed(t *testing.T) {
	const tasks = 2000
	db := database(t)
	first, second := serve(t, db), serve(t, db)
	writer, subscribers := first.dial(), []*daemon{first, second}
	ctx, stop := context.WithCancel(t.Context())
	var seen [2]int
	done := make(chan error, len(subscribers))
	for i, d := range subscribers {
		s := subscribe(t, d.dial(), schema.SubscribeParams{})
		go func() {
			last := int64(0)
			for seen[i] < tasks {
				event, err := s.Next(t.Context())
				if err != nil {
					done <- err
					return
				}
				if event.ChangeType == schema.Bookmark {
					continue
				}
				if last != 0 && event.Seq != last+1 || event.ChangeType != schema.Created || event.Origin != schema.OriginRPC {
					done <- fmt.Errorf("event %+v after %d", event, last)
					return
				}
				if last = event.Seq; strings.HasPrefix(event.TaskID, "task-") {
					seen[i]++
				}
			}
			done <- nil
		}()
	}
	wrote := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if _, err := writer.Create(context.Background(), schema.Draft{Title: "meanwhile"}); err != nil {
				t.Error(err)
				break
			}
		}
		wrote <- n
	}()
	c := mustRun(t, "import", "--db", db, taskLines(t, tasks, 200))
	if got, want := c.out.String(), fmt.Sprintf("imported %d tasks\n", tasks); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	for range subscribers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	stop()
	n := <-wrote
	t.Logf("%d tasks imported in %v, beside %d writes of a client", tasks, c.took, n)
	if stats, err := writer.Stats(t.Context()); err != nil || stats.Tasks[schema.Todo] != int64(tasks+n) {
		t.Errorf("stats %+v, %v; %d writes", stats, err, n)
	}
}

// An import that ends in the middle of its transaction, killed or interrupted,
// leaves nothing, and the daemon beside it goes on.
func TestImportCutOff(t *testing.T) {
	lines := taskLines(t, 40_000, 300)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		db := database(t)
		d := serve(t, db)
		before := create(t, d.dial(), "before")
		c := newCommand("import", "--db", db, lines)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// What does not fit into SQLite's cache is in the log before the commit.
		awaitSize(t, db+"-wal", 4<<20)
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := c.Wait()
		if signal == syscall.SIGINT && (c.ProcessState.ExitCode() != 1 || c.errors.String() != "descartes: import: interrupted\n") {
			t.Errorf("interrupted: %v: %s", err, &c.errors)
		}
		if err == nil {
			t.Fatalf("the import was over before %v: %s", signal, &c.out)
		}
		after := create(t, d.dial(), "after")
		if after.Version != before.Version+1 {
			t.Errorf("%v: the next event is %d after %d", signal, after.Version, before.Version)
		}
		if out := mustRun(t, "check", "--db", db).out.String(); !strings.Contains(out, "2 tasks, 2 events") {
			t.Errorf("%v: %s", signal, out)
		}
		mustRun(t, "import", "--db", db, taskLines(t, 10, 100))
	}
}

// awaitSize waits until a file is that large.
func awaitSize(t *testing.T, path string, size int64) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-look.C {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not grow", path)
		}
	}
}

// The memory of an export and of an import does not grow with what is in the
// tasks: here that is more than they may have.
func TestExchangeInConstantMemory(t *testing.T) {
	const tasks, size, limit = 1000, 48 << 10, 32 << 20
	db := database(t)
	for _, c := range []*command{
		mustRun(t, "import", "--db", db, taskLines(t, tasks, size)),
		mustRun(t, "export", "--db", db, filepath.Join(t.TempDir(), "export.jsonl")),
	} {
		t.Logf("%s of %d MiB: %d MiB", c.Args[1], tasks*size>>20, c.peak>>20)
		if c.peak > limit {
			t.Errorf("%s had %d MiB, more than %d", c.Args[1], c.peak>>20, limit>>20)
		}
	}
}

// What is exported and imported is exported the same: 10,000 tasks, 30,000 of
// them with CI=true, 100,000 with DESCARTES_EXCHANGE_LARGE=1, which shows what they cost.
func TestExchangeManyTasks(t *testing.T) {
	tasks := 10_000
	switch {
	case os.Getenv("DESCARTES_EXCHANGE_LARGE") != "":
		tasks = 100_000
	case os.Getenv("CI") == "true":
		tasks = 30_000
	}
	lines := taskLines(t, tasks, 300)
	var exports []string
	for range 2 {
		db := database(t)
		in := mustRun(t, "import", "--db", db, lines)
		lines = filepath.Join(t.TempDir(), "export.jsonl")
		out := mustRun(t, "export", "--db", db, lines)
		for _, c := range []*command{in, out} {
			t.Logf("%s: %v, %v of a processor, %d MiB", c.Args[1], c.took, c.cpu(), c.peak>>20)
		}
		if limit := int64(32 << 20); in.peak > limit+int64(800*tasks) || out.peak > limit {
			t.Errorf("the memory of the export may be %d MiB, that of the import 800 bytes a task more", limit>>20)
		}
		if want := fmt.Sprintf("exported %d tasks\n", tasks); out.errors.String() != want {
			t.Errorf("export said %q, want %q", &out.errors, want)
		}
		export, err := os.ReadFile(lines)
		if err != nil {
			t.Fatal(err)
		}
		exports = append(exports, regexp.MustCompile(`"updated_at":\d+,"version":\d+`).ReplaceAllString(string(export), ""))
		mustRun(t, "check", "--db", db)
	}
	if exports[0] != exports[1] {
		t.Error("what was exported and imported is exported differently")
	}
}
