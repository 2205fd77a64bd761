package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/schema"
)

// start is where the cluster of these tests begins.
var start = Place{Cluster: "c", Epoch: "the-epoch", Position: 10, At: at}

// clustered makes the file of a daemon of a cluster.
func clustered(t tb, path string) {
	t.Helper()
	if err := Enter(context.Background(), path, start); err != nil {
		t.Fatalf("%v", err)
	}
}

// follower opens the file of a daemon of the cluster.
func follower(t tb, path string, incarnation uint32) *DB {
	t.Helper()
	d, err := Open(context.Background(), Config{Path: path, Cluster: start.Cluster, Incarnation: incarnation, RetainFor: math.MaxInt64})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func newFollower(t tb, directory string) *DB {
	t.Helper()
	path := filepath.Join(directory, "test.db")
	clustered(t, path)
	return follower(t, path, 0)
}

// follow follows the next message, of which every change must be made.
func follow(t tb, d *DB, changes ...schema.Change) []schema.Outcome {
	t.Helper()
	outcomes, _, err := d.Follow(context.Background(), d.Place().Position+1, changes)
	if err != nil {
		t.Fatalf("Follow: %v", err)
	}
	for i, o := range outcomes {
		if o.Err != nil {
			t.Fatalf("change %d: %v", i, o.Err)
		}
	}
	return outcomes
}

// machine is a daemon of a cluster with a life of its own.
type machine struct {
	t    *rapid.T
	db   *DB
	path string

	careful bool // every change has a savepoint
}

func newMachine(t *rapid.T, file []byte) *machine {
	directory, err := os.MkdirTemp("", "follow")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	m := &machine{t: t, path: filepath.Join(directory, "test.db")}
	if err := os.WriteFile(m.path, file, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	m.open()
	return m
}

// catchUp follows what it has not of a log, and shows what came of the last message.
func (m *machine) catchUp(log [][]byte) string {
	m.t.Helper()
	var told string
	for i := m.db.Place().Position - start.Position; i < int64(len(log)); i++ {
		var changes []schema.Change
		if err := json.Unmarshal(log[i], &changes); err != nil {
			m.t.Fatalf("%v", err)
		}
		outcomes, events, err := m.follow(start.Position+i+1, changes)
		if err != nil {
			m.t.Fatalf("message %d: %v", i, err)
		}
		told = ""
		for _, o := range outcomes {
			told += fmt.Sprintf("%s %d %v %+v\n", o.Results, o.Last, o.Err, leaseText(o.Lease))
		}
		for _, e := range events {
			told += fmt.Sprintf("%+v\n", e)
		}
	}
	return told
}

// follow is Follow, or what is left of it where the first try has failed halfway.
func (m *machine) follow(position int64, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	if !m.careful {
		return m.db.Follow(context.Background(), position, changes)
	}
	m.db.writing.Lock()
	defer m.db.writing.Unlock()
	f, err := m.db.follow(context.Background(), position, changes, true)
	if err != nil {
		return nil, nil, err
	}
	m.db.moveTo(f.place, f.effect)
	return f.outcomes, f.events, nil
}

// textClaim is a claim that has the full-text index asked.
func textClaim(t *rapid.T, when int64) schema.Change {
	word := rapid.SampledFrom([]string{"o", "tw", "two", "zwölf 12"}).Draw(t, "text")
	op := schema.Operation{Op: schema.OpClaim, Claim: &schema.Claim{
		ClaimParams: schema.ClaimParams{AssignedTo: "me", Filter: &schema.Filter{Text: &word}}, LeaseToken: "l1",
	}}
	if err := op.Normalize(); err != nil {
		t.Fatalf("%v", err)
	}
	return schema.Change{At: when, Origin: schema.OriginRPC, Operations: []schema.Operation{op}}
}

func leaseText(l *schema.Lease) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%+v", *l)
}

// open opens the file again.
func (m *machine) open() {
	var err error
	if m.db, err = Open(context.Background(), Config{Path: m.path, Cluster: start.Cluster, RetainFor: math.MaxInt64}); err != nil {
		m.t.Fatalf("%v", err)
	}
	if err := m.db.exec(`PRAGMA synchronous = OFF`); err != nil { // cut says what is left
		m.t.Fatalf("%v", err)
	}
}

func (m *machine) close() {
	if err := m.db.Close(); err != nil {
		m.t.Fatalf("%v", err)
	}
}

// trouble does to a machine what must make no difference.
func (m *machine) trouble() {
	m.careful = rapid.Bool().Draw(m.t, "careful")
	switch rapid.SampledFrom([]string{"", "", "restart", "stop", "cut", "index", "prune"}).Draw(m.t, "trouble") {
	case "stop":
		if err := m.db.Reached(context.Background(), m.db.Place().Position); err != nil {
			m.t.Fatalf("%v", err)
		}
		fallthrough
	case "restart":
		m.close()
		m.open()
	case "cut": // the power
		m.cut()
	case "index":
		if _, err := m.db.indexStep(context.Background()); err != nil {
			m.t.Fatalf("%v", err)
		}
	case "prune": // also what the index has not read
		m.db.health.note(failIndex, errors.New("failing"))
		m.db.config.RetainEvents = rapid.Int64Range(1, 3).Draw(m.t, "retained")
		if _, err := m.db.pruneStep(context.Background()); err != nil {
			m.t.Fatalf("%v", err)
		}
	}
}

// cut lets the file be what it was at some time, as a crash may leave it.
func (m *machine) cut() {
	file, err := os.ReadFile(m.path)
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	log, err := os.ReadFile(m.path + "-wal")
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	m.close()
	left := rapid.IntRange(0, 100).Draw(m.t, "percent of the log")
	m.path += "x"
	err = errors.Join(os.WriteFile(m.path, file, 0o600), os.WriteFile(m.path+"-wal", log[:len(log)*left/100], 0o600))
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	m.open()
}

// contents gives everything that must be equal.
func (m *machine) contents(after int64) []string {
	var all []string
	for _, query := range []string{
		`SELECT last_seq, epoch FROM journal_state`,
		`SELECT * FROM tasks ORDER BY num`,
		`SELECT * FROM dependencies ORDER BY task, dependency`,
		`SELECT * FROM leases ORDER BY num`,
		`SELECT * FROM sqlite_sequence`,
		fmt.Sprintf(`SELECT * FROM journal WHERE seq > %d ORDER BY seq`, after),
	} {
		all = append(all, rows(m.t, m.db.readers, query)...)
	}
	return all
}

// Machines that follow the same messages have the same tasks, events and leases, give the
// same answers and are at the same place, whatever one of them goes through meanwhile.
func TestFollowersStayEqual(t *testing.T) {
	oneGoroutine(t)
	begin := filepath.Join(t.TempDir(), "test.db")
	clustered(t, begin)
	if err := follower(t, begin, 0).Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(begin)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		calm, troubled := newMachine(t, file), newMachine(t, file)
		defer func() { calm.close(); troubled.close() }()
		now := int64(at)
		var log [][]byte
		for range rapid.IntRange(5, 15).Draw(t, "messages") {
			changes := journaltest.Changes(&now).Draw(t, "message")
			changes[0].At += rapid.Int64Range(-3, 3).Draw(t, "other clock")
			if rapid.Bool().Draw(t, "and a claim") {
				changes = append(changes, textClaim(t, now))
			}
			encoded, err := json.Marshal(changes)
			if err != nil {
				t.Fatalf("%v", err)
			}
			log = append(log, encoded)
			troubled.trouble()
			same(t, "answers", troubled.catchUp(log), calm.catchUp(log))
			if got, want := troubled.db.Place(), calm.db.Place(); got != want {
				t.Fatalf("place is %+v, want %+v", got, want)
			}
		}
		bounds, err := troubled.db.Bounds(context.Background())
		if err != nil {
			t.Fatalf("%v", err)
		}
		got, want := troubled.contents(bounds.Oldest-1), calm.contents(bounds.Oldest-1)
		same(t, "contents", strings.Join(got, "\n"), strings.Join(want, "\n"))
		sound(t, calm.path)
	})
}
