package cluster

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Daemons that start at the same moment with empty files found one cluster, not two.
func TestTwoEmptyDaemonsFoundOneCluster(t *testing.T) {
	t.Parallel()
	f := startOnOne(t, 2)
	for i, c := range f.dial() {
		create(t, c, "by "+f.members[i].name)
	}
	if tasks := f.requireEqual().Tasks; len(tasks) != 3 {
		t.Errorf("there are %d tasks, not those of both and the last", len(tasks))
	}
}

// The tasks of a single daemon found a cluster, and who joins has them; the cursors that
// the single daemon has given are good at every daemon.
func TestDatabaseFoundsACluster(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetOptions{servers: 1, daemons: 2})
	founder, other := f.members[0], f.members[1]
	alone := founder.links
	founder.links = nil
	founder.flags = nil
	founder.begin()
	c := founder.Dial()
	before := []*schema.Task{create(t, c, "one"), create(t, c, "two")}
	cursor := newest(t, c)
	after := create(t, c, "after the cursor")
	founder.stop()

	founder.links, founder.flags = alone, other.flags
	founder.begin()
	other.begin()
	for _, m := range f.members {
		c := m.Dial()
		for _, task := range append(before, after) {
			if got, err := c.Get(t.Context(), task.ID); err != nil || got.Version != task.Version || got.Title != task.Title {
				t.Errorf("%s has %+v of %+v, %v", m.name, got, task, err)
			}
		}
		s := follow(t, c, cursor)
		if event := next(t, s); event.Seq != after.Version {
			t.Errorf("%s goes on with event %d after the cursor %s, not with %d", m.name, event.Seq, cursor, after.Version)
		}
		task := create(t, c, "by "+m.name)
		for seq := after.Version + 1; seq <= task.Version; seq++ {
			if event := next(t, s); event.Seq != seq {
				t.Errorf("%s: event %d comes where %d is next", m.name, event.Seq, seq)
			}
		}
	}
	f.requireEqual()
}

// A file with tasks of its own is refused by a cluster, and stays as it is.
func TestFileOfAnotherEpochIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetOptions{servers: 1, daemons: 2})
	f.members[0].begin()
	create(t, f.members[0].Dial(), "of the cluster")
	stranger := f.members[1]
	links := stranger.links
	stranger.links, stranger.flags = nil, nil
	stranger.begin()
	create(t, stranger.Dial(), "of its own")
	stranger.stop()
	before := rows(t, stranger.db, sameRows["journal"])

	stranger.links = links
	stranger.start()
	if code := stranger.awaitEnd(); code == 0 {
		t.Error("it has ended well")
	}
	line := stranger.await("has tasks of its own")
	if !strings.Contains(line, "--cluster-rebuild") {
		t.Errorf("it does not say what helps: %s", line)
	}
	if after := rows(t, stranger.db, sameRows["journal"]); len(after) != len(before) || after[0] != before[0] {
		t.Errorf("its journal was %v, and is %v", before, after)
	}
}

// The last of three daemons leaves its cluster, and serves alone what there was.
func TestLastOneLeaves(t *testing.T) {
	t.Parallel()
	f := startOnOne(t, fleetSize)
	task := create(t, f.members[1].Dial(), "of all")
	f.requireEqual()
	last := f.members[2]
	if err := outside(t, last); err == nil {
		t.Error("another process may write although the file is in the cluster")
	}
	if out, err := exec.Command(binary, "cluster", "leave", "--db", last.db).CombinedOutput(); err != nil {
		t.Fatalf("leave: %v: %s", err, out)
	}
	f.nats.all[0].kill()
	last.links, last.flags = nil, nil
	last.begin()
	c := last.Dial()
	if got, err := c.Get(t.Context(), task.ID); err != nil || got.Title != task.Title {
		t.Errorf("it has %+v, %v", got, err)
	}
	create(t, c, "alone")
	if err := outside(t, last); err != nil {
		t.Errorf("another process may not write: %v", err)
	}
}

// What another process writes into a file of a cluster would be nowhere else. It is
// refused, and told why.
func TestOutsideWriteIsRefused(t *testing.T) {
	t.Parallel()
	f := startOnOne(t, 1)
	create(t, f.members[0].Dial(), "there")
	err := outside(t, f.members[0])
	if err == nil || !strings.Contains(err.Error(), "cluster") || !strings.Contains(err.Error(), "write through its daemon") {
		t.Errorf("another process is answered %v", err)
	}
}

// create makes a task.
func create(t *testing.T, c *client.Client, title string) *schema.Task {
	t.Helper()
	task, err := c.Create(t.Context(), schema.Draft{Title: title})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// newest gives the cursor at the end of the journal.
func newest(t *testing.T, c *client.Client) string {
	t.Helper()
	stats, err := c.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Journal.Newest
}
