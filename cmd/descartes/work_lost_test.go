//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// A task that was taken away and given to somebody else, or is to be done again, is
// claimed again like any other.
func TestWorkClaimsAgainWhatItLost(t *testing.T) {
	url := tempDaemon(t).urls[0]
	t.Chdir(t.TempDir())
	createTasks(t, url, `{"id":"a","title":"t"}`)
	w := startWork(t, url, "--lease", "1s", "--", "sh", "-c", `[ -e lost ] || { touch lost; echo runs; exec sleep 1000; }`)
	w.out.await(t, "runs")
	setTask(t, url, "task.update", `{"id":"a","status":"todo","assigned_to":"other"}`)
	w.errors.await(t, "lost a: ")
	w.errors.await(t, "done a")
	w.interrupt()
	w.ends(0)
}

// short is how long claims hold that are to run out, or to be renewed, in a test.
const short = 2 * time.Second

// awaitExpiry returns when a short claim that is made now has run out: one that was
// made before, and is as short, has been renewed or is over.
func awaitExpiry(t *testing.T, url string) {
	t.Helper()
	c, err := client.Dial(t.Context(), url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	clock, err := c.Create(t.Context(), schema.Draft{Title: "clock"})
	if err != nil {
		t.Fatal(err)
	}
	changes, err := c.Subscribe(t.Context(), schema.SubscribeParams{
		Filter: &schema.EventFilter{Filter: schema.Filter{IDs: []string{clock.ID}}}, DebounceMS: new(int64),
	})
	if err != nil {
		t.Fatal(err)
	}
	claimed, err := c.Claim(t.Context(), schema.ClaimParams{AssignedTo: "clock", ID: &clock.ID, LeaseMS: new(short.Milliseconds())})
	if err != nil || claimed == nil {
		t.Fatal(claimed, err)
	}
	for event, err := range changes.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Origin == schema.OriginLease {
			break
		}
	}
	if _, err := c.Delete(t.Context(), schema.DeleteParams{ID: clock.ID}); err != nil {
		t.Fatal(err)
	}
}

// setTask changes a task, as somebody else does.
func setTask(t *testing.T, url, method, params string) {
	t.Helper()
	if r := descartes(t, "call", "--url", url, method, params); r.code != 0 {
		t.Fatalf("%s %s: %+v", method, params, r)
	}
}

// While a command runs its claim is renewed; one that is done already is let alone.
func TestWorkRenews(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`)
	gates := newGates(t, "a")
	w := startWork(t, url, "--once", "--lease", short.String(), "--filter", `{"ids":["a"]}`, "--", "sh", "-c", `echo runs; read x < "$GATES/a"`)
	w.out.await(t, "runs")
	awaitExpiry(t, url)
	if task := getTask(t, url, "a"); task.LeasedBy == nil || *task.LeasedBy != "worker" {
		t.Errorf("not renewed: %+v", task)
	}
	setTask(t, url, "task.update", `{"id":"a","status":"done"}`)
	awaitExpiry(t, url)
	gates.open(t, "a")
	w.ends(0)
	if said := w.errors.String(); !strings.Contains(said, "ended a, which is done\n") {
		t.Errorf("said %s", said)
	}
}

// A command whose claim is lost is stopped, with all it has started, and the next
// task is taken.
func TestWorkLosesClaims(t *testing.T) {
	url := tempDaemon(t).urls[0]
	for name, test := range map[string]struct{ grace, method, params, script, out string }{
		"blocked":     {"1h", "task.update", `{"id":"a","status":"blocked"}`, stopped + "0", "got terminated"},
		"deleted":     {"1h", "task.delete", `{"id":"a"}`, `echo runs; sleep 1000; echo never`, ""},
		"stubborn":    {"0s", "task.update", `{"id":"a","status":"blocked"}`, `trap '' TERM; echo runs; sleep 1000; echo never`, ""},
		"child stays": {"1h", "task.update", `{"id":"a","status":"blocked"}`, `(trap '' TERM; sleep 1000) & echo runs; wait`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			createTasks(t, url, `{"id":"a","title":"t"}`)
			defer descartes(t, "call", "--url", url, "task.delete", `{"id":"a"}`) // it may be gone
			p, w := workProcess(t, url, "--lease", "1s", "--grace", test.grace, "--filter", `{"ids":["a","b"]}`, "--",
				"sh", "-c", `[ $DESCARTES_TASK_ID = a ] || exit 0; `+test.script)
			w.out.await(t, "runs")
			setTask(t, url, test.method, test.params)
			w.errors.await(t, "lost a: ")
			createTasks(t, url, `{"id":"b","title":"t"}`)
			w.errors.await(t, "done b")
			setTask(t, url, "task.delete", `{"id":"b"}`)
			if err := p.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			w.ends(0)
			if out := w.out.String(); !strings.Contains(out, test.out) || strings.Contains(out, "never") {
				t.Errorf("printed %q, want %q", out, test.out)
			}
		})
	}
}

// restartable is a daemon that can be started again at its address.
func restartable(t *testing.T) (d *daemon, again func() *daemon) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	d = serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	address := strings.TrimSuffix(strings.TrimPrefix(d.urls[0], "ws://"), "/rpc")
	return d, func() *daemon { return serveDaemon(t, "--db", db, "--listen", address) }
}

// A command survives a restart of the daemon, and so does its claim.
func TestWorkWhileTheDaemonRestarts(t *testing.T) {
	d, again := restartable(t)
	createTasks(t, d.urls[0], `{"id":"a","title":"t"}`)
	gates := newGates(t, "a")
	w := startWork(t, d.urls[0], "--once", "--lease", "12s", "--", "sh", "-c", `echo runs; read x < "$GATES/a"`)
	w.out.await(t, "runs")
	d.stop(0)
	w.errors.await(t, "; trying again\n")
	again()
	w.errors.await(t, "the daemon answers again\n")
	gates.open(t, "a")
	w.ends(0)
	if task := getTask(t, d.urls[0], "a"); task.Status != schema.Done {
		t.Errorf("%+v", task)
	}
	if said := w.errors.String(); strings.Count(said, "\n") != 4 {
		t.Errorf("said %s", said)
	}
}

// What was done while the daemon was away is said when it is back; what was lost
// meanwhile is lost.
func TestWorkEndsWhileTheDaemonIsAway(t *testing.T) {
	for name, test := range map[string]struct {
		lease string
		code  int
		says  string
	}{
		"done": {"1h", 0, "done a"},
		"lost": {short.String(), 1, "lost a before its command had ended: "},
	} {
		t.Run(name, func(t *testing.T) {
			d, again := restartable(t)
			other := tempDaemon(t)
			createTasks(t, d.urls[0], `{"id":"a","title":"t"}`)
			gates := newGates(t, "a")
			w := startWork(t, d.urls[0], "--once", "--lease", test.lease, "--", "sh", "-c", `echo runs; read x < "$GATES/a"`)
			w.out.await(t, "runs")
			d.stop(0)
			if test.code != 0 {
				awaitExpiry(t, other.urls[0])
			}
			gates.open(t, "a")
			w.errors.await(t, "; trying again\n")
			again()
			w.ends(test.code)
			if said := w.errors.String(); !strings.Contains(said, test.says) {
				t.Errorf("said %s", said)
			}
		})
	}
}

// A worker that waits connects again by itself.
func TestWorkWaitsForTheDaemon(t *testing.T) {
	d, again := restartable(t)
	createTasks(t, d.urls[0], `{"id":"a","title":"t"}`)
	w := startWork(t, d.urls[0], "--", "true")
	w.errors.await(t, "done a")
	d.stop(0)
	w.errors.await(t, "; trying again\n")
	d = again()
	createTasks(t, d.urls[0], `{"id":"b","title":"t"}`)
	w.errors.await(t, "done b")
	w.interrupt()
	w.ends(0)
}
