//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// twoDaemons starts two on one file, which wants a token, and gives the URL that names
// both: the second one by its socket.
func twoDaemons(t *testing.T) (one, two *daemon, urls string) {
	t.Helper()
	folder := t.TempDir()
	db := filepath.Join(folder, "tasks.db")
	one = serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	two = serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0", "--socket", filepath.Join(folder, "s"))
	return one, two, one.urls[0] + ", " + two.urls[1]
}

// Every command goes to the first daemon that answers, whatever ways its URLs are
// written in, and with a token.
func TestSeveralDaemons(t *testing.T) {
	folder := t.TempDir()
	db := filepath.Join(folder, "tasks.db")
	t.Setenv("DESCARTES_TOKEN", strings.TrimSpace(descartes(t, "token", "add", "somebody", "--scope", "write", "--db", db).out))
	one := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	two := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0", "--socket", filepath.Join(folder, "s"))
	urls := []string{one.urls[0], two.urls[1], "http" + strings.TrimSuffix(strings.TrimPrefix(two.urls[0], "ws"), "/rpc")}
	t.Setenv("DESCARTES_URL", strings.Join(urls, ","))
	t.Setenv(patienceVariable, "1m")
	made(t, "One", "--id", "one")
	for _, lost := range []string{"none", "the first"} {
		if lost == "the first" {
			one.stop(0)
		}
		for _, line := range []string{"list", "get one", "call server.ping", "watch --snapshot --count 1", "claim --assigned-to me --id one", "board --print", "history", "stats"} {
			r := descartes(t, strings.Fields(line)...)
			wrong := r.code != 0 || r.errors != ""
			if line == "board --print" && lost == "the first" { // a browser opens no socket
				wrong = r.code != 2 || !strings.Contains(r.errors, "a browser cannot open the Unix socket")
			}
			if line == "claim --assigned-to me --id one" && lost == "the first" {
				wrong = r.code != exitNothing // it was claimed
			}
			if wrong {
				t.Errorf("%s is away: %s: %+v", lost, line, r)
			}
		}
		if got := completed(t, "get", "o"); got != "one" {
			t.Errorf("%s is away: completed %s", lost, got)
		}
	}
	two.stop(0)
	if r := descartes(t, "list"); r.code != 1 || !strings.Contains(r.errors, "no daemon answers at "+strings.Join(urls, ",")+" (connect: ") {
		t.Errorf("%+v", r)
	}
	if r := descartes(t, "list", "--url", urls[0]+","); r.code != 2 || !strings.Contains(r.errors, "is no URL of a daemon") {
		t.Errorf("%+v", r)
	}
}

// A watch goes on at the next daemon with its cursor.
func TestWatchGoesOnAtTheNextDaemon(t *testing.T) {
	one, two, urls := twoDaemons(t)
	w := startWatch(t, "--url", urls, "--count", "2", "--debounce", "0s")
	createTasks(t, urls, `{"id":"a","title":"t"}`)
	w.out.await(t, `"task_id":"a"`)
	one.stop(0)
	createTasks(t, two.urls[0], `{"id":"b","title":"t"}`)
	w.ends(0, "connecting again\ndescartes: connected again\n")
	if strings.Count(w.out.String(), `"task_id":"a"`) != 1 || strings.Count(w.out.String(), `"task_id":"b"`) != 1 {
		t.Errorf("showed %s", w.out)
	}
}

// A worker keeps its claim when its daemon is lost: the next one renews it, and hears
// that the task is done.
func TestWorkGoesOnAtTheNextDaemon(t *testing.T) {
	one, two, urls := twoDaemons(t)
	createTasks(t, urls, `{"id":"a","title":"t"}`)
	gates := newGates(t, "a")
	w := startWork(t, urls, "--once", "--lease", short.String(), "--", "sh", "-c", `echo runs; read x < "$GATES/a"`)
	w.out.await(t, "runs")
	one.stop(0)
	awaitExpiry(t, two.urls[0])
	if task := getTask(t, two.urls[0], "a"); task.LeasedBy == nil || *task.LeasedBy != "worker" {
		t.Errorf("not renewed: %+v", task)
	}
	gates.open(t, "a")
	w.ends(0)
	if task := getTask(t, two.urls[0], "a"); task.Status != "done" {
		t.Errorf("%+v", task)
	}
}
