package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// timed is a change by another clock.
func timed(when int64, operations ...schema.Operation) schema.Change {
	c := change(operations...)
	c.At = when
	return c
}

// claimed is a claim by a connection, which ends with that.
func claimed(t *testing.T, id string, source int64) schema.Change {
	t.Helper()
	op := claimOf(t, schema.ClaimParams{ID: new(id), UntilDisconnect: new(true)})
	op.Claim.LeaseToken = "token of " + id
	c := change(op)
	c.Source = source
	return c
}

// A change is not made before the last one that had an effect: the time moves with those
// alone, within a message and from one to the next.
func TestFollowTime(t *testing.T) {
	d := newFollower(t, t.TempDir())
	_, events, err := d.Follow(t.Context(), 11, []schema.Change{
		timed(at-5, create("a")),                       // at
		timed(at+20, remove("nobody")),                 // refused
		timed(at+10, create("b")),                      // at + 10
		timed(at+30, setStatus("a", schema.Todo)),      // changes nothing
		timed(at+5, setStatus("a", schema.InProgress)), // at + 10
	})
	if err != nil {
		t.Fatal(err)
	}
	var times []int64
	for _, e := range events {
		times = append(times, e.Timestamp-at)
	}
	same(t, "times", times, []int64{0, 10, 10})
	same(t, "time", d.Place().At-at, 10)

	follow(t, d, timed(at+50, claimed(t, "b", 0).Operations...))
	renewal := schema.Operation{Op: schema.OpRenew, Renew: &schema.RenewParams{ID: "b", LeaseToken: "token of b"}}
	outcomes := follow(t, d, timed(at+70, renewal), timed(at+60, renewal))                // leases, and no event
	same(t, "end of the lease", outcomes[1].Lease.ExpiresAt-at, schema.DefaultLeaseMS+71) // not that of the renewal before
	same(t, "time", d.Place().At-at, 70)
	same(t, "time in the file", placeOf(t, d.config.Path).At-at, 70)

	broken := timed(at+90, setStatus("b", schema.Done), remove("nobody")) // ends a lease, and takes it back
	broken.Transaction = true
	if _, _, err := d.Follow(t.Context(), 14, []schema.Change{timed(at+72, renewal), timed(at+80, remove("nobody")), broken}); err != nil {
		t.Fatal(err)
	}
	same(t, "time after what was refused", d.Place().At-at, 72)

	mine := []schema.Change{timed(1, create("c"))}
	follow(t, d, mine...)
	same(t, "the caller's change", mine[0].At, 1)
}

// A message without an effect moves the place in memory alone, until Reached writes it.
func TestFollowWithoutEffect(t *testing.T) {
	d := newFollower(t, t.TempDir())
	follow(t, d, change(create("a")))
	before := placeOf(t, d.config.Path)
	refused := []schema.Change{timed(at+9, create("a")), timed(at+9, setStatus("a", schema.Todo))}
	for _, message := range [][]schema.Change{refused, nil} {
		outcomes, events, err := d.Follow(t.Context(), d.Place().Position+1, message)
		if err != nil || len(outcomes) != len(message) || len(events) > 0 {
			t.Fatal(outcomes, events, err)
		}
	}
	same(t, "place in the file", placeOf(t, d.config.Path), before)
	before.Position = 13
	same(t, "place", d.Place(), before)
	wantRefusal(t, d.Reached(t.Context(), 12), "position 12 of the log of cluster c was reached before")
	if err := d.Reached(t.Context(), 15); err != nil {
		t.Fatal(err)
	}
	before.Position = 15
	same(t, "place in the file", placeOf(t, d.config.Path), before)
	same(t, "place", d.Place(), before)
	_, _, err := d.Follow(t.Context(), 15, nil)
	wantRefusal(t, err, "position 15 of the log of cluster c was reached before: the file is at 15")
	follow(t, d, change(create("b")))
	same(t, "place in the file", placeOf(t, d.config.Path), d.Place())
}

// Two daemons do not follow the log in one file: the second finds that it is not where it
// has left it, and makes nothing.
func TestFollowedByAnother(t *testing.T) {
	d := newFollower(t, t.TempDir())
	follow(t, d, change(create("a")))
	execute(t, d.config.Path, `UPDATE cluster SET position = position + 1`)
	_, _, err := d.Follow(t.Context(), 12, []schema.Change{change(create("b"))})
	if !errors.Is(err, ErrFollowed) {
		t.Errorf("error is %v", err)
	}
	if err := d.Reached(t.Context(), 20); !errors.Is(err, ErrFollowed) {
		t.Errorf("error is %v", err)
	}
	same(t, "tasks", rows(t, d.readers, `SELECT id FROM tasks`), []string{"a"})
	same(t, "position", d.Place().Position, 11)
}

// What is wrong with one machine's file fails the whole message, and leaves nothing: where
// it is put right, everything is made as on the other machines. What a rule refuses, or
// what is there already, fails alone, also when it has written something.
func TestFollowTrouble(t *testing.T) {
	calm, d := newFollower(t, t.TempDir()), newFollower(t, t.TempDir())
	for _, one := range []*DB{calm, d} {
		follow(t, one, change(create("a")), change(create("b")))
		execute(t, one.config.Path, `INSERT INTO dependencies VALUES ('x', 'b')`) // an edge that is left
	}
	message := []schema.Change{
		change(create("before")),
		change(create("a")),           // refused
		change(create("x", "a", "b")), // fails with an edge written
		change(setStatus("a", schema.Done)),
		change(create("after")),
	}
	before := d.Place()
	execute(t, d.config.Path, asDaemon(`UPDATE tasks SET document = '!' || document WHERE id = 'a'`))
	if _, _, err := d.Follow(t.Context(), 12, message); err == nil {
		t.Error("a document that cannot be read is not refused")
	}
	same(t, "place", d.Place(), before)
	same(t, "tasks", rows(t, d.readers, `SELECT id FROM tasks ORDER BY num`), []string{"a", "b"})
	execute(t, d.config.Path, asDaemon(`UPDATE tasks SET document = substr(document, 2) WHERE id = 'a'`))

	var told []string
	for _, one := range []*DB{calm, d} {
		outcomes, events, err := one.Follow(t.Context(), 12, message)
		if err != nil {
			t.Fatal(err)
		}
		for i, failed := range []bool{false, true, true, false, false} {
			if (outcomes[i].Err != nil) != failed {
				t.Errorf("change %d: %v", i, outcomes[i].Err)
			}
		}
		told = append(told, fmt.Sprintf("%+v", events))
		same(t, "tasks", rows(t, one.readers, `SELECT id FROM tasks ORDER BY num`), []string{"a", "b", "before", "after"})
	}
	same(t, "events", told[0], told[1])
	same(t, "place", d.Place(), calm.Place())
}

// While another process has the file locked, a message can be tried again.
func TestFollowLocked(t *testing.T) {
	d := newFollower(t, t.TempDir())
	d.patience = 10 * time.Millisecond
	other := mustLock(t, d.config.Path)
	_, _, err := d.Follow(t.Context(), 11, []schema.Change{change(create("a"))})
	same(t, "code", schema.CodeOf(err), schema.CodeStorageUnavailable)
	same(t, "code", schema.CodeOf(d.Reached(t.Context(), 11)), schema.CodeStorageUnavailable)
	other()
	follow(t, d, change(create("a")))
	same(t, "position", d.Place().Position, 11)
}

// Only those claims have lost their connection at a start that were made by this daemon
// before it: not those of other daemons, but also those that it reads from the log later.
func TestOrphansOfCluster(t *testing.T) {
	const before, now, other = 5, 6, 7
	path := filepath.Join(t.TempDir(), "test.db")
	clustered(t, path)
	d := follower(t, path, before)
	follow(t, d, change(create("mine")), change(create("theirs")), change(create("late")), change(create("new")), change(create("forever")),
		claimed(t, "mine", before<<32|1), claimed(t, "theirs", other<<32|1), claimed(t, "forever", 0))
	orphans := func() (ids []string) {
		leases, err := d.Leases(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leases {
			if l.Orphaned {
				ids = append(ids, l.TaskID)
			}
		}
		slices.Sort(ids)
		return ids
	}
	same(t, "orphans before", orphans(), []string(nil))
	reopen := func(incarnation uint32) {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = follower(t, path, incarnation)
	}
	reopen(now)
	same(t, "orphans", orphans(), []string{"mine"})
	follow(t, d, claimed(t, "late", before<<32|2), claimed(t, "new", now<<32|2))
	same(t, "orphans", orphans(), []string{"late", "mine"})
	reopen(now)
	same(t, "orphans of the same incarnation", orphans(), []string(nil))
	reopen(0)
	same(t, "orphans without one", orphans(), []string(nil))
	reopen(8)
	same(t, "orphans", orphans(), []string{"new"})
	_, err := Open(t.Context(), Config{Path: path, Cluster: "c", Incarnation: 1 << 31})
	wantRefusal(t, err, "a source would be negative")
}

// A commit of a cluster is not synced: the log of record has it. One of a single daemon is.
func TestFollowIsNotSynced(t *testing.T) {
	for _, test := range []struct {
		db   *DB
		want int
	}{{newFollower(t, t.TempDir()), 1}, {newDB(t), 2}} {
		var got int
		if err := test.db.writer.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&got); err != nil || got != test.want {
			t.Errorf("synchronous is %d, %v, want %d", got, err, test.want)
		}
	}
}

// Everything that is journaled of an event decides the chain, and the chain before it.
func TestChain(t *testing.T) {
	event := schema.Event{ChangeType: "t", TaskID: "id", Task: []byte("doc"), PreviousStatus: "p", NewStatus: "n"}
	of := func(change func(e *schema.Event)) [32]byte {
		e := event
		change(&e)
		return chain([32]byte{}, []schema.Event{e})
	}
	same(t, "no events", chain([32]byte{7}, nil), [32]byte{7})
	seen := map[[32]byte]string{of(func(*schema.Event) {}): "nothing", chain([32]byte{1}, []schema.Event{event}): "before"}
	for name, change := range map[string]func(e *schema.Event){
		"seq":                 func(e *schema.Event) { e.Seq = 1 },
		"task_id":             func(e *schema.Event) { e.TaskID = "i" },
		"a border":            func(e *schema.Event) { e.TaskID, e.ChangeType = "idt", "" },
		"change_type":         func(e *schema.Event) { e.ChangeType = "u" },
		"task":                func(e *schema.Event) { e.Task = []byte("Doc") },
		"previous_status":     func(e *schema.Event) { e.PreviousStatus = "n" },
		"new_status":          func(e *schema.Event) { e.NewStatus = "p" },
		"previous":            func(e *schema.Event) { e.Previous = []byte("{}") },
		"previous_version":    func(e *schema.Event) { e.PreviousVersion = 1 },
		"previous_updated_at": func(e *schema.Event) { e.PreviousUpdatedAt = 1 },
		"origin":              func(e *schema.Event) { e.Origin = schema.OriginRPC },
		"actor":               func(e *schema.Event) { e.Actor = "a" },
		"source":              func(e *schema.Event) { e.Source = 1 },
		"tx_last":             func(e *schema.Event) { e.TxLast = 1 },
		"timestamp":           func(e *schema.Event) { e.Timestamp = 1 },
	} {
		hash := of(change)
		if other, there := seen[hash]; there {
			t.Errorf("%s gives the same chain as %s", name, other)
		}
		seen[hash] = name
	}
	twice := []schema.Event{event, event}
	if chain([32]byte{}, twice) == chain(chain([32]byte{}, twice[:1]), twice[1:]) {
		t.Error("two messages give the chain of one")
	}
}

// mustLock has another connection lock the file, until it is told.
func mustLock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(5000)"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A claim finds the same task whatever the full-text index has read, and whatever the
// journal still has.
func TestClaimWithoutIndex(t *testing.T) {
	var tasks []string
	for _, prepare := range []func(d *DB) error{
		func(*DB) error { return nil },
		func(d *DB) error { _, err := d.indexStep(t.Context()); return err },
		func(d *DB) error { // what the index has not read is gone
			d.health.note(failIndex, errors.New("failing"))
			d.config.RetainEvents = 1
			_, err := d.pruneStep(t.Context())
			return err
		},
	} {
		d := newFollower(t, t.TempDir())
		follow(t, d, change(create("wanted")), change(create("wanted-later")), change(create("other")))
		if err := prepare(d); err != nil {
			t.Fatal(err)
		}
		outcomes := follow(t, d, change(claimOf(t, schema.ClaimParams{Filter: &schema.Filter{Text: new("want")}})))
		tasks = append(tasks, string(outcomes[0].Results[0]))
	}
	if !strings.Contains(tasks[0], `"id":"wanted"`) || tasks[1] != tasks[0] || tasks[2] != tasks[0] {
		t.Errorf("claimed %q", tasks)
	}
}

// A damaged page is one machine's: the message that meets it fails as a whole, and leaves
// nothing.
func TestFollowMeetsDamage(t *testing.T) {
	oneGoroutine(t)
	single := openDamaged(t)
	path := single.config.Path
	if err := single.Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, path, `INSERT INTO cluster (one, name, position, at, chain) VALUES (1, 'c', 10, 0, zeroblob(32))`)
	d := follower(t, path, 0)
	before := d.Place()
	_, _, err := d.Follow(t.Context(), 11, []schema.Change{change(create("new")), change(setStatus("victim", schema.Done))})
	same(t, "code", schema.CodeOf(err), schema.CodeStorageUnavailable)
	same(t, "place", d.Place(), before)
	same(t, "code", schema.CodeOf(d.Unusable()), schema.CodeStorageUnavailable)
	follow(t, d, change(create("new")), change(create("other")))
}
