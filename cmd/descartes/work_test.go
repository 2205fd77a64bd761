//go:build unix

package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// A worker does what is ready, in the order of the dependencies, and its commands
// are told all they need.
func TestWork(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"first\n\u001b[2Jtask"}`, `{"id":"b","title":"t","dependencies":["a"]}`, `{"id":"c","title":"t","dependencies":["b"],"priority":"high"}`)
	out, errs := worked(t, url, 0, "--wait", "0s", "--", "sh", "-c", `cat; echo "$DESCARTES_TASK_ID $DESCARTES_URL $0"; "$SELF" renew >&2`, "-x")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 {
		t.Fatalf("%s%s", out, errs)
	}
	for i, id := range []string{"a", "b", "c"} {
		task, err := schema.ParseTask([]byte(lines[2*i]))
		if err != nil || task.ID != id || task.Status != schema.InProgress || *task.LeasedBy != "worker" || *task.AssignedTo != "worker" {
			t.Errorf("%s got %s, %v", id, lines[2*i], err)
		}
		if want := id + " " + url + " -x"; lines[2*i+1] != want {
			t.Errorf("got %q, want %q", lines[2*i+1], want)
		}
		if task := getTask(t, url, id); task.Status != schema.Done || task.LeasedBy != nil || *task.AssignedTo != "worker" {
			t.Errorf("afterwards %+v", task)
		}
	}
	said := strings.Split(strings.TrimSpace(errs), "\n")
	if len(said) != 9 || said[0] != "descartes: claimed a  first  [2Jtask" || !strings.HasPrefix(said[1], `{"expires_at":`) || !strings.HasPrefix(said[8], "descartes: done c  in ") {
		t.Errorf("said %s", errs)
	}
}

func TestWorkOnce(t *testing.T) {
	url := tempDaemon(t).urls[0]
	for name, test := range map[string]struct {
		flags, script string
		code          int
		status        schema.Status // "": there is no task
		assigned      bool
		says          string
	}{
		"nothing":            {"", "true", exitNothing, "", false, ""},
		"done":               {"", "true", 0, schema.Done, true, "done a  in "},
		"failed":             {"", "exit 7", 1, schema.Todo, false, "released a to todo: exit status 7"},
		"failed, blocked":    {"--on-failure blocked", "exit 7", 1, schema.Blocked, true, "released a to blocked: exit status 7"},
		"killed":             {"", "kill -9 $$", 1, schema.Todo, false, "released a to todo: signal: killed"},
		"done by itself":     {"", `"$SELF" release --status done`, 0, schema.Done, true, "ended a, which is done"},
		"done by an update":  {"", `"$SELF" call task.update '{"id":"a","status":"done"}'`, 0, schema.Done, true, "ended a, which is done"},
		"blocked by itself":  {"", `"$SELF" release --status blocked`, 0, schema.Blocked, true, "ended a, which is blocked"},
		"released by itself": {"", `"$SELF" release`, 0, schema.Todo, false, "ended a, which is todo"},
		"done, then failed":  {"", `"$SELF" release --status done; exit 7`, 1, schema.Done, true, "ended a, which is done: exit status 7"},
		"done with token": {
			"", `"$SELF" call task.update '{"id":"a","status":"done","lease_token":"'$DESCARTES_LEASE_TOKEN'"}'`, 0, schema.Done, true, "ended a, which is done",
		},
		"deleted":           {"", `"$SELF" call task.delete '{"id":"a"}'`, 0, "", false, "ended a, which is gone"},
		"reads no input":    {"", "exec <&-", 0, schema.Done, true, "done a"},
		"taken by somebody": {"", `"$SELF" release; "$SELF" claim --assigned-to other`, 0, schema.InProgress, true, "ended a, which is in_progress"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.code != exitNothing {
				createTasks(t, url, `{"id":"a","title":"t"}`)
				defer descartes(t, "call", "--url", url, "task.delete", `{"id":"a"}`) // it may be gone
			}
			flags := append(strings.Fields(test.flags), "--once", "--wait", "0s", "--", "sh", "-c", test.script)
			_, errs := worked(t, url, test.code, flags...)
			if !strings.Contains(errs, test.says) {
				t.Errorf("said %s, want %q", errs, test.says)
			}
			if test.status == "" {
				return
			}
			if task := getTask(t, url, "a"); task.Status != test.status || (task.AssignedTo != nil) != test.assigned {
				t.Errorf("afterwards %+v, want %s", task, test.status)
			}
		})
	}
}

// What a command leaves in the background does not keep the worker.
func TestWorkLeavesTheBackground(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t","description":"`+strings.Repeat("long ", 13_000)+`","metadata":{"k":"`+strings.Repeat("x", 60_000)+`"}}`)
	gates := newGates(t, "background")
	_, errs := worked(t, url, 0, "--once", "--", "sh", "-c", `sh -c 'read x < "$GATES/background"; cat > /dev/null' 0<&0 &`)
	if !strings.Contains(errs, "done a") {
		t.Errorf("said %s", errs)
	}
	gates.open(t, "background")
}

// A worker waits for tasks, also for longer than one of them takes, and takes only
// those of its filter.
func TestWorkWaits(t *testing.T) {
	url := tempDaemon(t).urls[0]
	w := startWork(t, url, "--filter", `{"priority_at_least":"high"}`, "--", "true")
	for _, id := range []string{"a", "b"} {
		createTasks(t, url, `{"id":"low-`+id+`","title":"t"}`, `{"id":"`+id+`","title":"t","priority":"high"}`)
		w.errors.await(t, "done "+id)
	}
	w.interrupt()
	w.ends(0)
	if task := getTask(t, url, "low-a"); task.Status != schema.Todo {
		t.Errorf("%+v", task)
	}
}

// Up to so many commands run at a time, and a worker that is to end when nothing is
// ready stays for what they make ready.
func TestWorkParallel(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`, `{"id":"b","title":"t"}`, `{"id":"c","title":"t"}`, `{"id":"d","title":"t","dependencies":["a","b","c"]}`)
	gates := newGates(t, "a", "b", "c", "d")
	w := startWork(t, url, "--parallel", "2", "--wait", "0s", "--filter", `{"ids":["a","b","c","d"]}`, "--", "sh", "-c", `echo "runs $DESCARTES_TASK_ID"; read x < "$GATES/$DESCARTES_TASK_ID"`)
	w.out.await(t, "runs a")
	w.out.await(t, "runs b")
	if said := w.errors.String(); strings.Contains(said, "claimed c") {
		t.Errorf("said %s", said)
	}
	gates.open(t, "b")
	gates.open(t, "c")
	w.errors.await(t, "done c")
	awaitExpiry(t, url) // longer than a claim waits beside a command
	gates.open(t, "a")
	gates.open(t, "d")
	w.ends(0)
	if said := w.errors.String(); strings.Count(said, "done ") != 4 || !strings.Contains(said, "done d") {
		t.Errorf("said %s", said)
	}
}

// A token is handed on, and names the worker.
func TestWorkWithToken(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	token := strings.TrimSpace(descartes(t, "token", "add", "robot", "--db", db, "--scope", "write").out)
	url := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0").urls[0]
	asSelf(t)
	if r := descartes(t, "call", "--url", url, "--token", token, "task.create", `{"id":"a","title":"t"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	r := descartes(t, "work", "--url", url, "--token", token, "--once", "sh", "-c", `"$SELF" call server.ping; cat`)
	if r.code != 0 || !strings.HasPrefix(r.out, "\"pong\"\n{") || !strings.Contains(r.out, `"leased_by":"robot"`) {
		t.Errorf("%+v", r)
	}
	if strings.Contains(r.errors, token) {
		t.Errorf("the token is told: %s", r.errors)
	}
	// A worker whose token is revoked ends.
	ended := make(chan result, 1)
	go func() {
		ended <- descartes(t, "work", "--url", url, "--token", token, "true")
	}()
	if r := descartes(t, "token", "revoke", "robot", "--db", db); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := <-ended; r.code != 1 || !strings.Contains(r.errors, "does not accept this token") && !strings.HasPrefix(r.errors, "error -32007 ") {
		t.Errorf("%+v", r)
	}
}

// After failures the next claim waits longer and longer, until something succeeds.
func TestWorkHoldsBack(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`)
	c, err := client.Dial(t.Context(), url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for script, want := range map[string][]time.Duration{
		"exit 1":          {0, 1, 2, 4, 8, 16, 32, 60, 60},
		`"$SELF" release`: {0, 1, 2},
	} {
		var waits []time.Duration
		asSelf(t)
		t.Setenv("DESCARTES_URL", url)
		w := &worker{
			client: c, claims: c, params: schema.ClaimParams{AssignedTo: "me"}, command: []string{"sh", "-c", script},
			wait: -1, parallel: 1, lease: time.Minute, onFailure: schema.Todo, killed: t.Context(),
			stdout: newScreen(), stderr: newScreen(),
			pause: func(_ context.Context, d time.Duration) bool {
				waits = append(waits, d/time.Second)
				return len(waits) < len(want)
			},
		}
		if err := w.work(t.Context()); err != nil || !slices.Equal(waits, want) {
			t.Errorf("%s: waited %d s, want %d; %v", script, waits, want, err)
		}
	}
	var w worker
	for _, o := range []outcome{broken, again, lost, broken} {
		w.settled(o)
	}
	if d := w.holdBack(); d != 4*time.Second {
		t.Errorf("after three failures it waits %s", d)
	}
	for _, o := range []outcome{done, left} {
		w.settled(broken)
		if w.settled(o); w.holdBack() != 0 {
			t.Errorf("after %v it waits %s", o, w.holdBack())
		}
	}
}
