package cluster

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// stream is the log of record of a fleet.
const stream = "descartes"

// A daemon that was away until the log did not reach back to it any more begins with the
// newest snapshot, and so does one that is new; both have what the others have.
func TestRejoinBySnapshot(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetOptions{servers: 1, daemons: fleetSize, flags: []string{"--cluster-snapshot-every", "20"}})
	stays, away, fresh := f.members[0], f.members[1], f.members[2]
	stays.begin()
	away.begin()
	c := stays.Dial()
	create(t, c, "before")
	waitFor(t, away.Dial(), create(t, c, "seen by both").Version)
	away.stop()
	for i := range 60 {
		create(t, c, fmt.Sprint("while it was away ", i))
	}
	shorten(t, f, c)
	create(t, c, "after")
	away.begin()
	away.await("took the snapshot")
	fresh.begin()
	fresh.await("took the snapshot")
	f.requireEqual()
}

// shorten waits for a snapshot and purges what came before it from the log.
func shorten(t *testing.T, f *fleet, c *client.Client) {
	t.Helper()
	var through int64
	eventually(t, "a snapshot", func() error {
		stats, err := c.Stats(t.Context())
		if err == nil && stats.Cluster.Snapshot == nil {
			err = errors.New("there is none")
		}
		if err == nil {
			through = stats.Cluster.Snapshot.Position
		}
		return err
	})
	js := f.nats.all[0].connect(t)
	log, err := js.Stream(t.Context(), stream)
	if err == nil {
		err = log.Purge(t.Context(), jetstream.WithPurgeSequence(uint64(through)+1))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A row that was changed behind the back of its daemon is found by the others at the next
// event that shows it: that daemon says so and stops, the others go on, and it is rebuilt
// from a snapshot.
func TestDivergence(t *testing.T) {
	t.Parallel()
	f := startOnOne(t, fleetSize, "--cluster-snapshot-every", "20")
	c := f.members[0].Dial()
	task := create(t, c, "true")
	for i := range 30 {
		create(t, c, fmt.Sprint("more ", i))
	}
	changed := f.members[1]
	waitFor(t, changed.Dial(), create(t, c, "last").Version)
	changed.stop()
	execute(t, changed, `UPDATE journal_state SET writer = 1`, // as its daemon does, so that no trigger minds
		fmt.Sprintf(`UPDATE tasks SET title = 'false', document = replace(document, '"true"', '"false"') WHERE id = '%s'`, task.ID),
		`UPDATE journal_state SET writer = 0`)
	changed.begin()
	if _, err := c.Update(t.Context(), schema.UpdateParams{ID: task.ID, Patch: schema.Patch{Status: schema.Some(schema.Done)}}); err != nil {
		t.Fatal(err)
	}
	if code := changed.awaitEnd(); code == 0 {
		t.Error("it has ended well")
	}
	if line := changed.await("is not that of"); !strings.Contains(line, "--cluster-rebuild") || !strings.Contains(line, "d0") {
		t.Errorf("it says %s", line)
	}
	changed.start()
	if code := changed.awaitEnd(); code == 0 {
		t.Error("started again it has ended well")
	}
	if said, _ := changed.log.after(changed.from); slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, ready) }) {
		t.Error("started again it has served what the others contradict")
	}
	create(t, c, "the others go on")
	create(t, f.members[2].Dial(), "both")

	eventually(t, "a snapshot", func() error {
		stats, err := c.Stats(t.Context())
		if err == nil && stats.Cluster.Snapshot == nil {
			err = errors.New("there is none")
		}
		return err
	})
	changed.flags = append(changed.flags, "--cluster-rebuild")
	changed.begin()
	changed.await("kept the file")
	f.requireEqual()
}

// A message of a later version stops the daemons that do not know it, with a word of
// what helps, and is still there when a newer one comes.
func TestMessageOfALaterVersion(t *testing.T) {
	t.Parallel()
	f := startOnOne(t, 2)
	task := create(t, f.members[0].Dial(), "known")
	waitFor(t, f.members[1].Dial(), task.Version)
	js := f.nats.all[0].connect(t)
	about, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), about.CachedInfo().Config.Subjects[0], []byte(`{"v":99,"changes":[{"what":"nobody knows"}]}`)); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.members {
		if code := m.awaitEnd(); code == 0 {
			t.Errorf("%s has ended well", m.name)
		}
		if line := m.await("version 99"); !strings.Contains(line, "install a newer one") {
			t.Errorf("%s says %s", m.name, line)
		}
		if tasks := rows(t, m.db, `SELECT title FROM tasks`); len(tasks) != 1 {
			t.Errorf("%s has %v", m.name, tasks)
		}
	}
}

// waitFor waits until a daemon has an event.
func waitFor(t *testing.T, c *client.Client, seq int64) {
	t.Helper()
	s := follow(t, c, schema.SinceStart)
	defer s.Close()
	for next(t, s).Seq < seq {
	}
}

// follow subscribes to what comes after a cursor.
func follow(t *testing.T, c *client.Client, since string) *client.Subscription {
	t.Helper()
	s, err := c.Subscribe(t.Context(), schema.SubscribeParams{Since: &since, DebounceMS: new(int64(0))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next waits for the next event that is no bookmark.
func next(t *testing.T, s *client.Subscription) schema.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		event, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if event.ChangeType != schema.Bookmark {
			return event
		}
	}
}

// outside writes a task as another process does.
func outside(t *testing.T, m *member) error {
	t.Helper()
	return write(m, `INSERT INTO tasks (id, title) VALUES ('outside', 'by another process')`)
}

// execute makes statements on a file, which have to succeed.
func execute(t *testing.T, m *member, statements ...string) {
	t.Helper()
	if err := write(m, statements...); err != nil {
		t.Fatal(err)
	}
}

func write(m *member, statements ...string) error {
	db, err := sql.Open("sqlite", "file:"+m.db+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(m.t.Context(), "BEGIN IMMEDIATE; "+strings.Join(statements, "; ")+"; COMMIT")
	return err
}
