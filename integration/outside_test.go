package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// The sqlite3 shell writes into the file: an event within 50 ms of its commit.
func TestShellWritesAreEvents(t *testing.T) {
	need(t, "sqlite3")
	d := serve(t, database(t))
	c := d.dial()
	task := create(t, c, "written by the shell")
	s := subscribe(t, c, schema.SubscribeParams{})

	if err := shell(t, d.db, fmt.Sprintf("BEGIN; UPDATE tasks SET status='blocked' WHERE id='%s'; ROLLBACK", task.ID)); err != nil {
		t.Fatal(err)
	}
	var latencies []time.Duration
	status := schema.Todo
	for i := range 20 {
		want := []schema.Status{schema.Done, schema.InProgress}[i%2]
		if err := shell(t, d.db, fmt.Sprintf("UPDATE tasks SET status='%s' WHERE id='%s'", want, task.ID)); err != nil {
			t.Fatal(err)
		}
		committed := time.Now() // at the latest: the shell has ended
		event := next(t, s)
		latencies = append(latencies, time.Since(committed))
		if event.Origin != schema.OriginExternal || event.PreviousStatus != status || event.NewStatus != want || event.Own {
			t.Fatalf("event %+v, want an external one from %s to %s", event, status, want)
		}
		status = want
	}
	slices.Sort(latencies)
	median := latencies[len(latencies)/2]
	t.Logf("after the shell had ended: median %v, slowest %v", median, latencies[len(latencies)-1])
	if limit := 50 * time.Millisecond; median > limit {
		t.Errorf("the event comes %v after its commit, more than %v", median, limit)
	}
}

// A daemon that commits without a pause lets another process write, too.
func TestShellGetsInWhileSaturated(t *testing.T) {
	need(t, "sqlite3")
	d := serve(t, database(t))
	c := d.dial()
	task := create(t, c, "wanted by everybody")
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 32 {
		w := d.dial()
		writers.Go(func() {
			for ctx.Err() == nil {
				if _, err := w.Create(ctx, schema.Draft{Title: strings.Repeat("x", 400)}); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 10 {
		if err := shell(t, d.db, fmt.Sprintf("UPDATE tasks SET description='%d' WHERE id='%s'", i, task.ID)); err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	stop()
	writers.Wait()
	got, err := c.Get(t.Context(), task.ID)
	if err != nil || got.Description == nil || *got.Description != "9" {
		t.Errorf("after ten writes of the shell: %+v, %v", got, err)
	}
}

// Two daemons on one file see each other's changes.
func TestTwoDaemons(t *testing.T) {
	db := database(t)
	first, second := serve(t, db), serve(t, db)
	a, b := first.dial(), second.dial()
	s := subscribe(t, b, schema.SubscribeParams{})
	task := create(t, a, "seen from the other")
	if event := next(t, s); event.TaskID != task.ID || event.Seq != task.Version || event.Origin != schema.OriginRPC {
		t.Errorf("event %+v of task %+v", event, task)
	}
	if _, err := b.Update(t.Context(), schema.UpdateParams{
		ID: task.ID, Patch: schema.Patch{Status: schema.Some(schema.Done)}, ExpectedVersion: &task.Version,
	}); err != nil {
		t.Error(err)
	}
	if got, err := a.Get(t.Context(), task.ID); err != nil || got.Status != schema.Done {
		t.Errorf("the first daemon has %+v, %v", got, err)
	}
}

// A subscription goes on where it was when the daemon is killed and started again,
// and outside writes in between are events, too.
func TestRestartLosesNothing(t *testing.T) {
	need(t, "sqlite3")
	db := database(t)
	d := serve(t, db)
	c := d.dial()
	s := subscribe(t, c, schema.SubscribeParams{})
	first := create(t, c, "before")
	cursor := next(t, s).Cursor
	missed := create(t, c, "not seen before the end")
	d.kill()
	if err := shell(t, db, fmt.Sprintf("UPDATE tasks SET title='meanwhile' WHERE id='%s'", first.ID)); err != nil {
		t.Fatal(err)
	}
	again := serve(t, db)
	resumed := subscribe(t, again.dial(), schema.SubscribeParams{Since: &cursor})
	if event := next(t, resumed); event.TaskID != missed.ID || event.ChangeType != schema.Created {
		t.Errorf("first event after the restart: %+v", event)
	}
	if event := next(t, resumed); event.TaskID != first.ID || event.Origin != schema.OriginExternal {
		t.Errorf("second event after the restart: %+v", event)
	}
}

// 64 connections share commits, and each write is in the file when it is answered.
func TestGroupCommit(t *testing.T) {
	db := database(t)
	d := serve(t, db)
	const connections, each = 64, 50
	answered := make([][]string, connections)
	var writers sync.WaitGroup
	for i := range connections {
		c := d.dial()
		writers.Go(func() {
			for n := range each {
				task, err := c.Create(t.Context(), schema.Draft{Title: fmt.Sprint("task ", i, " ", n)})
				if err != nil {
					t.Error(err)
					return
				}
				answered[i] = append(answered[i], task.ID)
			}
		})
	}
	writers.Wait()
	stats, err := d.dial().Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d commits for %d writes: %.1f per commit", stats.Commits, connections*each, stats.WritesPerCommit)
	if stats.WritesPerCommit < 2 {
		t.Errorf("%.1f writes per commit", stats.WritesPerCommit)
	}
	d.kill()
	c := serve(t, db).dial()
	for _, ids := range answered {
		for _, id := range ids {
			if _, err := c.Get(t.Context(), id); err != nil {
				t.Fatalf("task %s was answered, but: %v", id, err)
			}
		}
	}
}

// A Unix socket serves the same.
func TestUnixSocket(t *testing.T) {
	socket := t.TempDir() + "/s"
	serve(t, database(t), "--socket", socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket file: %v, %v", info, err)
	}
	c, err := client.Dial(t.Context(), "ws+unix://"+socket, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
