package storage

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

func placeOf(t *testing.T, path string) Place {
	t.Helper()
	p, err := PlaceOf(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantRefusal wants an error of one line with such a text.
func wantRefusal(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v, want one with %q", err, text)
	}
}

// The place of a file is told without touching it, whatever its format.
func TestPlaceOf(t *testing.T) {
	directory := t.TempDir()
	same(t, "of nothing", placeOf(t, filepath.Join(directory, "test.db")), Place{Empty: true})
	same(t, "files", len(contents(t, directory)), 0)

	for format := 1; format < len(migrations()); format++ {
		path := released(t, format)
		before := contents(t, filepath.Dir(path))
		p := placeOf(t, path)
		if p.Cluster != "" || p.Epoch == "" || p.Position != 0 || p.At < at-1e11 || p.Empty {
			t.Errorf("format %d: %+v", format, p)
		}
		same(t, "files", contents(t, filepath.Dir(path)), before)
	}

	d := newDB(t)
	p := placeOf(t, d.config.Path)
	if p.Epoch != d.epoch || !p.Empty || p.At != 0 {
		t.Errorf("of a new file: %+v", p)
	}
	do(t, d, create("a"))
	if p = placeOf(t, d.config.Path); p.Empty || p.At != at {
		t.Errorf("with a task: %+v", p)
	}
	do(t, d, remove("a"))
	if p = placeOf(t, d.config.Path); p.Empty {
		t.Errorf("with a memory: %+v", p)
	}
}

func TestEnter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	p := start
	p.Chain[3] = 7
	if err := Enter(t.Context(), path, p); err != nil {
		t.Fatal(err)
	}
	p.Empty = true
	same(t, "place", placeOf(t, path), p)
	same(t, "the same again", Enter(t.Context(), path, p), error(nil))
	further := p
	further.Position++
	wantRefusal(t, Enter(t.Context(), path, further), "it belongs to the cluster c, at position 10")
	other := p
	other.Cluster = "d"
	wantRefusal(t, Enter(t.Context(), path, other), "it belongs to the cluster c")
	sound(t, path)

	d := follower(t, path, 0)
	wantRefusal(t, Enter(t.Context(), path, p), "a process has it open")
	wantRefusal(t, Leave(t.Context(), path), "a process has it open")
	follow(t, d, change(create("a")))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Leave(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	left := placeOf(t, path)
	if left.Cluster != "" || left.Epoch == p.Epoch || left.Empty {
		t.Errorf("place after leaving: %+v", left)
	}
	wantRefusal(t, Leave(t.Context(), path), "it belongs to no cluster")
	do(t, mustOpen(t, path), create("b", "a"))
}

// What a file holds decides which cluster it may enter.
func TestEnterWithTasks(t *testing.T) {
	path := wear(t)
	before := keptOf(t, path)
	p := placeOf(t, path)
	other := start
	wantRefusal(t, Enter(t.Context(), path, other), "it holds something of another journal: its epoch is "+p.Epoch)
	p.Cluster, p.Position = "c", 3
	earlier := p
	earlier.At--
	wantRefusal(t, Enter(t.Context(), path, earlier), "it was written to meanwhile")
	if err := Enter(t.Context(), path, p); err != nil {
		t.Fatal(err)
	}
	same(t, "place", placeOf(t, path), p)
	same(t, "contents", keptOf(t, path), before)
	wantRefusal(t, Enter(t.Context(), path, Place{}), "are required")

	unsound := wear(t)
	p = placeOf(t, unsound)
	p.Cluster = "c"
	execute(t, unsound, `DELETE FROM leases`)
	wantRefusal(t, Enter(t.Context(), unsound, p), "it is not sound (lease: f: is held by me")

	last := wear(t)
	execute(t, last, `INSERT INTO tasks (num, id, title) VALUES (9223372036854775807, 'last', 'last')`)
	p = placeOf(t, last)
	p.Cluster = "c"
	wantRefusal(t, Enter(t.Context(), last, p), "a task has the num 9223372036854775807")
	same(t, "cluster", placeOf(t, last).Cluster, "")
}

// A daemon opens a file of its own cluster, or of none, and leaves any other as it is.
func TestOpenInCluster(t *testing.T) {
	clusteredPath, single := filepath.Join(t.TempDir(), "test.db"), filepath.Join(t.TempDir(), "test.db")
	clustered(t, clusteredPath)
	if err := mustOpen(t, single).Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, cluster, reason string }{
		{clusteredPath, "", "it belongs to the cluster c: start with --cluster, or make it a file of its own with descartes cluster leave"},
		{clusteredPath, "d", "it belongs to the cluster c, not to d"},
		{single, "c", "it belongs to no cluster, wanted is one of the cluster c"},
		{filepath.Join(t.TempDir(), "new.db"), "c", "it belongs to no cluster"},
		{released(t, 3), "c", "it belongs to no cluster"},
	} {
		before := contents(t, filepath.Dir(test.path))
		d, err := Open(t.Context(), Config{Path: test.path, Cluster: test.cluster})
		if err == nil {
			d.Close()
		}
		wantRefusal(t, err, test.reason)
		same(t, "files", contents(t, filepath.Dir(test.path)), before)
	}
}

// Other processes cannot write the tasks of a cluster, and what they try leaves nothing.
func TestOutsideOfCluster(t *testing.T) {
	d := newFollower(t, t.TempDir())
	follow(t, d, change(create("a")), change(create("b", "a")))
	tables := []string{"tasks", "dependencies", "journal", "outside", "cluster"}
	state := func() (all []string) {
		for _, table := range tables {
			all = append(all, rows(t, d.readers, `SELECT * FROM `+table)...)
		}
		return append(all, rows(t, d.readers, `SELECT epoch, last_seq, writer FROM journal_state`)...) // the index goes on
	}
	before := state()
	for _, o := range outsiders(t) {
		for _, statement := range []string{
			`INSERT INTO tasks (id, title) VALUES ('x', 'x')`,
			`INSERT OR IGNORE INTO tasks (id, title) VALUES ('x', 'x')`,
			`INSERT OR REPLACE INTO tasks (id, title) VALUES ('a', 'x')`,
			`REPLACE INTO tasks (num, id, title) SELECT num, 'x', 'x' FROM tasks WHERE id = 'a'`,
			`INSERT INTO tasks (id, title) VALUES ('a', 'x') ON CONFLICT (id) DO UPDATE SET title = 'x'`,
			`UPDATE tasks SET status = 'done'`,
			`UPDATE OR IGNORE tasks SET title = title`,
			`UPDATE tasks SET id = 'x' WHERE id = 'a'`,
			`DELETE FROM tasks WHERE id = 'a'`,
			`DELETE FROM tasks`,
		} {
			err := o.run(d.config.Path, statement)
			if err == nil || !strings.Contains(err.Error(), "tasks: this database belongs to a cluster (SELECT name FROM cluster): write through its daemon") {
				t.Errorf("%s: %s: %v", o.name, statement, err)
			}
			same(t, o.name+": "+statement, state(), before)
		}
	}
	follow(t, d, change(setStatus("a", schema.Done)))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Leave(t.Context(), d.config.Path); err != nil {
		t.Fatal(err)
	}
	for _, o := range outsiders(t) {
		if err := o.run(d.config.Path, `UPDATE tasks SET title = 'x' || title WHERE id = 'b'`); err != nil {
			t.Errorf("%s, of a file that has left: %v", o.name, err)
		}
	}
	sound(t, d.config.Path)
}

// What is written without the log of record is refused, and restoring onto the file, too.
func TestWritesBesideTheLog(t *testing.T) {
	d := newFollower(t, t.TempDir())
	_, _, err := d.Apply(t.Context(), []schema.Change{change(create("a"))})
	wantRefusal(t, err, "it belongs to the cluster c")
	_, err = d.Import(t.Context(), func(func(*schema.Draft, error) bool) {}, ConflictRefuse)
	wantRefusal(t, err, "it belongs to the cluster c")
	single := newDB(t)
	_, _, err = single.Follow(t.Context(), 1, nil)
	wantRefusal(t, err, "it belongs to no cluster")
	wantRefusal(t, single.Reached(t.Context(), 1), "it belongs to no cluster")

	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, filepath.Dir(d.config.Path))
	_, err = Restore(t.Context(), RestoreConfig{From: wear(t), Path: d.config.Path, Replace: true})
	wantRefusal(t, err, "it belongs to the cluster c, which knows nothing of the backup: descartes cluster leave")
	same(t, "files", slices.Sorted(maps.Keys(contents(t, filepath.Dir(d.config.Path)))), slices.Sorted(maps.Keys(before)))
	same(t, "cluster", placeOf(t, d.config.Path).Cluster, "c")
}

// A backup of a file of a cluster becomes, restored, the file of a single daemon.
func TestRestoreOfCluster(t *testing.T) {
	d := newFollower(t, t.TempDir())
	follow(t, d, change(create("a")))
	from, path := backupOf(t, d.config.Path), filepath.Join(t.TempDir(), "test.db")
	same(t, "place of the backup", placeOf(t, from).Position, start.Position+1)
	if _, err := Restore(t.Context(), RestoreConfig{From: from, Path: path}); err != nil {
		t.Fatal(err)
	}
	if p := placeOf(t, path); p.Cluster != "" || p.Epoch == start.Epoch || p.Empty {
		t.Errorf("place is %+v", p)
	}
	do(t, mustOpen(t, path), create("b", "a"))
}
