package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// largeFile fills a database file that a daemon has made, as if that many tasks
// had been created and changed by daemons before.
const largeFile = `
BEGIN;
UPDATE journal_state SET writer = 1;
INSERT INTO tasks (id, title, created_at, updated_at, version, ready, document)
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %[1]d)
  SELECT printf('t%%07d', i), 'task', i, i, i, 1, '' FROM n;
UPDATE tasks SET document = (SELECT document FROM documents WHERE documents.id = tasks.id);
INSERT INTO journal (seq, task_id, change_type, task, new_status, previous_status, previous, origin, timestamp)
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %[2]d)
  SELECT i, printf('t%%07d', 1 + i %% %[1]d), 'updated', '{"id":"t","title":"task"}', 'todo', 'todo', '{}', 'rpc',
         CAST(strftime('%%s', 'now') AS INTEGER) * 1000 FROM n;
UPDATE journal_state SET writer = 0, last_seq = %[2]d, indexed = %[2]d;
COMMIT;`

// A start does not depend on what is stored: nothing is loaded into memory.
func TestStartWithALargeFile(t *testing.T) {
	need(t, "sqlite3")
	tasks, events := 10_000, 100_000
	if os.Getenv("CI") == "true" {
		tasks, events = 100_000, 1_000_000
	}
	db := database(t)
	serve(t, db).stop()
	if err := shell(t, db, fmt.Sprintf(largeFile, tasks, events)); err != nil {
		t.Fatal(err)
	}
	d := serve(t, db)
	t.Logf("ready after %v with %d tasks and %d events, %d MiB resident", d.took, tasks, events, d.resident()>>20)
	if limit := 500 * time.Millisecond; d.took > limit {
		t.Errorf("ready after %v, more than %v", d.took, limit)
	}
	if limit := int64(64 << 20); d.resident() > limit {
		t.Errorf("%d bytes resident", d.resident())
	}
	stats, err := d.dial().Stats(t.Context())
	if err != nil || stats.Tasks[schema.Todo] != int64(tasks) || stats.Journal.Events != int64(events) {
		t.Errorf("stats %+v, %v", stats, err)
	}
}

// Between two bookmarks, 15 s of nothing, an idle daemon costs under 0.5 % of a core,
// and what the sqlite3 shell writes then is seen long before the daemon would look by
// itself.
func TestIdleCostsNothing(t *testing.T) {
	need(t, "sqlite3")
	t.Parallel()
	d := serve(t, database(t))
	s := subscribe(t, d.dial(), schema.SubscribeParams{})
	before, began := d.cpu(), time.Now()
	if event, err := s.Next(t.Context()); err != nil || event.ChangeType != schema.Bookmark {
		t.Fatalf("event %+v, %v", event, err)
	}
	share := float64(d.cpu()-before) / float64(time.Since(began))
	t.Logf("%.2f %% of a core", 100*share)
	if share > 0.005 {
		t.Errorf("idle costs %.2f %% of a core", 100*share)
	}
	if err := shell(t, d.db, "INSERT INTO tasks (id, title) VALUES ('x', 'out of the blue')"); err != nil {
		t.Fatal(err)
	}
	committed := time.Now() // at the latest: the shell has ended
	event := next(t, s)
	latency := time.Since(committed)
	t.Logf("seen %v after the shell had ended", latency)
	if event.TaskID != "x" || latency > 500*time.Millisecond {
		t.Errorf("%+v came after %v", event, latency)
	}
}

// resident gives the resident memory of the daemon in bytes.
func (d *daemon) resident() int64 {
	d.t.Helper()
	return d.procField("statm", 1) * int64(os.Getpagesize())
}

// cpu gives the processor time that the daemon has used.
func (d *daemon) cpu() time.Duration {
	d.t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	return time.Duration(d.procField("stat", 13)+d.procField("stat", 14)) * tick
}

// procField gives a number of a file in /proc/PID, counted from 0.
func (d *daemon) procField(file string, field int) int64 {
	d.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file))
	if os.IsNotExist(err) {
		d.t.Skip("there is no /proc here")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(text))[field], 10, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}
