//go:build unix

package main

import (
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

const dropBoth = `{"operations":[{"op":"delete","id":"a"},{"op":"delete","id":"b"}]}`

// skipIgnored skips what nobody would notice: under nohup a hangup is ignored by
// everybody.
func skipIgnored(t *testing.T, which os.Signal) {
	t.Helper()
	if signal.Ignored(which) {
		t.Skipf("%v is ignored here", which)
	}
}

// A signal ends a worker that waits at once.
func TestSignalWhileWaiting(t *testing.T) {
	url := tempDaemon(t).urls[0]
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			skipIgnored(t, signal)
			createTasks(t, url, `{"id":"a","title":"t"}`)
			p, w := workProcess(t, url, "--", "true")
			w.errors.await(t, "done a")
			_ = p.Process.Signal(signal)
			w.ends(0)
			// Its request went with it.
			createTasks(t, url, `{"id":"b","title":"t"}`)
			if b := getTask(t, url, "b"); b.Status != schema.Todo {
				t.Errorf("%+v", b)
			}
			setTask(t, url, "task.apply", dropBoth)
		})
	}
}

// stopped and an exit code is a script that runs until a signal.
const stopped = `exec "$SELF" ` + awaitSignal + " "

// A signal reaches the commands, which are waited for; unfinished tasks go back.
func TestSignalWhileWorking(t *testing.T) {
	url := tempDaemon(t).urls[0]
	for name, test := range map[string]struct {
		signal syscall.Signal
		flags  string
		script string
		status schema.Status
		code   int
		out    string
		says   string
	}{
		"interrupt":     {syscall.SIGINT, "", stopped + "1", schema.Todo, 0, "got interrupt", "released a to todo: exit status 1"},
		"terminate":     {syscall.SIGTERM, "", stopped + "1", schema.Todo, 0, "got terminated", "released a to todo: exit status 1"},
		"terminal gone": {syscall.SIGHUP, "", stopped + "1", schema.Todo, 0, "got hangup", "released a to todo: exit status 1"},
		"dies of it":    {syscall.SIGTERM, "--on-failure blocked", "echo runs; sleep 1000; echo never", schema.Todo, 0, "", "released a to todo: signal: terminated"},
		"finishes":      {syscall.SIGTERM, "", stopped + "0", schema.Done, 0, "got terminated", "done a"},
		"once":          {syscall.SIGTERM, "--once", "echo runs; sleep 1000", schema.Todo, 1, "", "released a to todo: signal: terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			skipIgnored(t, test.signal)
			createTasks(t, url, `{"id":"a","title":"t"}`, `{"id":"b","title":"t"}`)
			p, w := workProcess(t, url, append(strings.Fields(test.flags), "--", "sh", "-c", test.script)...)
			w.out.await(t, "runs")
			_ = p.Process.Signal(test.signal)
			w.errors.await(t, test.says)
			w.ends(test.code)
			if out := w.out.String(); !strings.Contains(out, test.out) || strings.Contains(out, "never") {
				t.Errorf("printed %s", out)
			}
			if a, b := getTask(t, url, "a"), getTask(t, url, "b"); a.Status != test.status || b.Status != schema.Todo {
				t.Errorf("%+v %+v", a, b)
			}
			setTask(t, url, "task.apply", dropBoth)
		})
	}
}

// A worker that was interrupted takes no further task, however long its commands need
// to end, and not what they give back.
func TestSignalEndsTheClaimThatWaits(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`)
	gates := newGates(t, "end")
	p, w := workProcess(t, url, "--parallel", "2", "--", "sh", "-c",
		`trap : TERM; "$SELF" `+awaitSignal+` 0; read x < "$GATES/end"; exit 1`)
	w.out.await(t, "runs a")
	awaitWaitingClaims(t, url, 1)
	_ = p.Process.Signal(syscall.SIGTERM)
	w.out.await(t, "got terminated")
	awaitWaitingClaims(t, url, 0)
	createTasks(t, url, `{"id":"b","title":"t"}`)
	gates.open(t, "end")
	w.ends(0)
	a, b := getTask(t, url, "a"), getTask(t, url, "b")
	if a.Status != schema.Todo || a.Version != 4 || b.Status != schema.Todo || b.Version != 3 {
		t.Errorf("%+v %+v", a, b)
	}
}

// A command that is stopped hears a signal nevertheless.
func TestSignalWhileStopped(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`)
	p, w := workProcess(t, url, "--", "sh", "-c", `echo runs; kill -STOP $$; sleep 1000`)
	w.out.await(t, "runs")
	_ = p.Process.Signal(syscall.SIGTERM)
	w.errors.await(t, "released a to todo: signal: terminated")
	w.ends(0)
}

// The second signal kills what the first one did not stop.
func TestSecondSignalKillsCommands(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`, `{"id":"b","title":"t"}`)
	p, w := workProcess(t, url, "--parallel", "2", "--", os.Args[0], awaitSignal, "never")
	w.out.await(t, "runs a")
	w.out.await(t, "runs b")
	_ = p.Process.Signal(syscall.SIGTERM)
	w.out.await(t, "got terminated\ngot terminated\n")
	_ = p.Process.Signal(syscall.SIGTERM)
	w.ends(0)
	for _, id := range []string{"a", "b"} {
		if task := getTask(t, url, id); task.Status != schema.Todo || task.LeasedBy != nil {
			t.Errorf("%+v", task)
		}
	}
}

// A worker that is interrupted while the daemon is away does not try for ever.
func TestSignalWhileTheDaemonIsAway(t *testing.T) {
	d := tempDaemon(t)
	createTasks(t, d.urls[0], `{"id":"a","title":"t"}`)
	p, w := workProcess(t, d.urls[0], "--", os.Args[0], awaitSignal, "never")
	w.out.await(t, "runs")
	d.stop(0)
	_ = p.Process.Signal(syscall.SIGTERM)
	w.out.await(t, "got terminated")
	_ = p.Process.Signal(syscall.SIGTERM)
	w.errors.await(t, "a could not be released, its claim runs out: ")
	w.ends(0)
}

// awaitWaitingClaims waits until so many claims wait at the daemon.
func awaitWaitingClaims(t *testing.T, url string, n int64) {
	t.Helper()
	c, err := client.Dial(t.Context(), url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		stats, err := c.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats.WaitingClaims == n {
			return
		}
		if !pause(t.Context(), 5*time.Millisecond) {
			t.Fatalf("%d claims wait, not %d", stats.WaitingClaims, n)
		}
	}
}
