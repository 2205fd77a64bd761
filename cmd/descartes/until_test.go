//go:build unix

package main

import (
	"context"
	"strings"
	"testing"
)

// watching is a watch that runs while the test goes on.
type watching struct {
	t      *testing.T
	out    *screen
	errors *buffer
	stop   context.CancelFunc
	code   chan int
}

// startWatch starts a watch and waits until it has printed its first line: with JSON
// that is a snapshot or the bookmark.
func startWatch(t *testing.T, args ...string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{t: t, out: newScreen(), errors: new(buffer), stop: cancel, code: make(chan int, 1)}
	go func() {
		code := run(ctx, append([]string{"descartes", "watch", "--json"}, args...), strings.NewReader(""), w.out, w.errors)
		w.out.end()
		w.code <- code
	}()
	t.Cleanup(func() {
		cancel()
		<-w.out.ended()
	})
	w.out.await(t, `"live":true`)
	return w
}

func (w *watching) ends(want int, says string) {
	w.t.Helper()
	if code := <-w.code; code != want || !strings.Contains(w.errors.String(), says) {
		w.t.Errorf("the watch ends with %d, want %d, %q: %s%s", code, want, says, w.out, w.errors)
	}
}

// A watch until something is so ends at once if it is already, and else with the change
// that makes it so.
func TestWatchUntil(t *testing.T) {
	onNewDaemon(t)
	for _, id := range []string{"a", "b"} {
		made(t, "t", "--id", id)
	}
	do := func(args ...string) {
		t.Helper()
		if r := descartes(t, args...); r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
	}
	both := startWatch(t, "a", "b", "--until", "done")
	first := startWatch(t, "--until", "done")
	do("done", "b")
	first.ends(0, "")
	do("done", "a")
	both.ends(0, "")
	for _, args := range [][]string{
		{"a", "b", "--until", "done"},
		{"--filter", `{"ids":["a","b"]}`, "--until", `{"status":["done"]}`},
		{"--snapshot", "--until", "done"},
		{"--since", "start", "--until", "done"},
	} {
		if r := descartes(t, append([]string{"watch"}, args...)...); r.code != 0 || r.errors != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	one := startWatch(t, "a", "b", "--until", "todo")
	do("reopen", "a")
	do("delete", "b")
	one.ends(1, "the task b was deleted")
	interrupted := startWatch(t, "a", "--until", "blocked")
	interrupted.stop()
	interrupted.ends(130, "to go on from here: descartes watch --since ")
	if r := descartes(t, "watch", "a", "nobody", "--until", "done"); r.code != 1 || !strings.Contains(r.errors, "there is no task nobody") {
		t.Errorf("%+v", r)
	}
	if r := descartes(t, "watch", "a", "--until", "done", "--timeout", "50ms"); r.code != exitTimeout {
		t.Errorf("%+v", r)
	}
}

// A state that lasts a moment is seen, though updates are folded otherwise.
func TestWatchUntilBrief(t *testing.T) {
	onNewDaemon(t)
	made(t, "t", "--id", "a")
	w := startWatch(t, "a", "--until", "blocked", "--timeout", "20s")
	if r := descartes(t, "update", "a", "--priority", "high"); r.code != 0 { // from here on others would be folded
		t.Fatalf("%+v", r)
	}
	w.out.await(t, `"change_type":"updated"`)
	if r := descartesIn(t, `{"op":"update","id":"a","status":"blocked"}
{"op":"update","id":"a","status":"todo"}`, "apply"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	w.ends(0, "")
}

// It goes on over a restart, and what happened meanwhile counts.
func TestWatchUntilAway(t *testing.T) {
	db := t.TempDir() + "/tasks.db"
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	t.Setenv("DESCARTES_URL", d.urls[0])
	made(t, "t", "--id", "a")
	w := startWatch(t, "a", "--until", "done")
	d.stop(0)
	if r := descartesIn(t, `{"id":"a","title":"t","status":"done"}`, "import", "--db", db, "--on-conflict", "replace", "-"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	serveDaemon(t, "--db", db, "--listen", strings.TrimSuffix(strings.TrimPrefix(d.urls[0], "ws://"), "/rpc"))
	w.ends(0, "connected again")
}
