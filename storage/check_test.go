package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// sound checks that a file is as a daemon has left it.
func sound(t tb, path string) *Report {
	t.Helper()
	report, err := Check(context.Background(), path, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, f := range report.Findings {
		t.Errorf("%s: %v", path, f)
	}
	return report
}

// wear makes a file with some history: tasks that depend on each other, one that
// was deleted, a transaction, writes of another process, a full-text index.
func wear(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	do(t, d, create("a"), create("b", "a"), create("c", "a", "b"), setStatus("a", schema.Done), create("gone"), remove("gone"))
	tx := change(setStatus("b", schema.Done), create("d"), create("e"), setStatus("d", schema.InProgress))
	tx.Transaction = true
	if outcomes, _, err := d.Apply(t.Context(), []schema.Change{tx}); err != nil || outcomes[0].Err != nil {
		t.Fatal(outcomes, err)
	}
	execute(t, path, `UPDATE tasks SET description = 'words of another process' WHERE id = 'e'; INSERT INTO tasks (id, title) VALUES ('f', 'f')`)
	if more, err := d.indexStep(t.Context()); more || err != nil {
		t.Fatal(more, err)
	}
	claim := schema.Operation{Op: schema.OpClaim, Claim: &schema.Claim{
		ClaimParams: schema.ClaimParams{AssignedTo: "me", ID: new("f")}, LeaseToken: "t",
	}}
	if err := claim.Normalize(); err != nil {
		t.Fatal(err)
	}
	do(t, d, claim)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// execute runs statements over a connection of its own.
func execute(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(5000)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// asDaemon are statements that no trigger and no CHECK looks at.
func asDaemon(statements string) string {
	return `PRAGMA ignore_check_constraints = 1; UPDATE journal_state SET writer = 1; ` + statements +
		`; UPDATE journal_state SET writer = 0`
}

// damages are statements for a file of wear, and what is to be found then.
var damages = []struct{ name, script, want string }{
	{"a table is gone", `DROP TABLE search_tasks`, `schema: table search_tasks: is missing`},
	{"a trigger is gone", `DROP TRIGGER tasks_after_delete`, `schema: trigger tasks_after_delete: is missing`},
	{"an index is gone", `DROP INDEX tasks_updated`, `schema: index tasks_updated: is missing`},
	{"a view is another", `DROP VIEW clock; CREATE VIEW clock AS SELECT 0 AS now`, `schema: view clock: is not as this version of descartes makes it`},
	{
		"a CHECK is gone", `PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'num > 0', 'num > -9') WHERE name = 'tasks'`,
		`schema: table tasks: is not as this version of descartes makes it`,
	},
	{"no title", asDaemon(`UPDATE tasks SET title = ' ' WHERE id = 'a'`), `constraint: tasks a: title breaks its rule`},
	{"a status that there is not", asDaemon(`UPDATE tasks SET status = 'open' WHERE id = 'a'`), `constraint: tasks a: status breaks its rule`},
	{"an origin that there is not", asDaemon(`UPDATE journal SET origin = 'me' WHERE seq = 2`), `constraint: journal 2: origin breaks its rule`},
	{"metadata is a list", asDaemon(`UPDATE tasks SET metadata = '[]' WHERE id = 'a'`), `constraint: tasks a: metadata breaks its rule`},

	{"no facts", `DELETE FROM journal_state`, `journal: journal_state has 0 rows, must have 1`},
	{"a writer is left", `UPDATE journal_state SET writer = 1`, `journal: a writer has not signed off (writer is 1)`},
	{"an event is gone", `DELETE FROM journal WHERE seq = 3`, `journal: 3: the event is missing`},
	{"events are gone", `DELETE FROM journal WHERE seq IN (3, 4, 5)`, `journal: 3-5: the events are missing`},
	{"the newest event is gone", `DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)`, `is the newest event, but journal_state has last_seq`},
	{"last_seq has gone back", `UPDATE journal_state SET last_seq = last_seq - 1`, `is the newest event, but journal_state has last_seq`},
	{"a seq is given again", `UPDATE tasks SET version = 1 WHERE id = 'nobody'; UPDATE journal_state SET last_seq = 5`, `last_seq 5`},

	{"a transaction ends before", `UPDATE journal SET tx_last = 7 WHERE seq = 9`, `transaction: 9: it ends at 7, before this event`},
	{"a transaction is broken", `UPDATE journal SET tx_last = NULL WHERE seq = 10`, `transaction: 10: the one before it ends at`},
	{"a transaction has no end", `UPDATE journal SET tx_last = 99 WHERE seq = (SELECT max(seq) FROM journal)`, `it ends at 99, which is not there`},

	{"an event is no JSON", `UPDATE journal SET task = '{' WHERE seq = 2`, `history: 2: of task b: the task cannot be read as JSON`},
	{"previous is no JSON", `UPDATE journal SET previous = '{' WHERE seq = 4`, `history: 4: of task a: previous cannot be read as JSON`},
	{"an event of another task", `UPDATE journal SET task_id = 'x' WHERE seq = 1`, `history: 1: of task x: it holds the task a`},
	{"previous has other values", `UPDATE journal SET previous = '{"title":"other"}' WHERE seq = 4`, `history: 4: of task a: it does not begin where event 1 has ended`},
	{"previous_version is another", `UPDATE journal SET previous_version = 2 WHERE seq = 4`, `history: 4: of task a: it does not begin where event 1 has ended`},
	{"previous_status is another", `UPDATE journal SET previous_status = 'blocked' WHERE seq = 4`, `history: 4: of task a: previous_status is "blocked", was "todo"`},
	{"new_status is another", `UPDATE journal SET new_status = 'blocked' WHERE seq = 4`, `history: 4: of task a: it goes from status "todo" to "blocked"`},
	{"created twice", `UPDATE journal SET change_type = 'created', previous_status = NULL WHERE seq = 4`, `history: 4: of task a: created comes after created`},
	{"not created", `UPDATE journal SET change_type = 'updated' WHERE seq = 1`, `history: 1: of task a: the first event is updated`},
	{"a deletion of another state", `UPDATE journal SET task = json_set(task, '$.title', 'x') WHERE change_type = 'deleted'`, `of task gone: it does not begin where event`},
	{"another time", `UPDATE journal SET timestamp = 1 WHERE seq = 1`, `history: 1: of task a: its task was updated at`},
	{"seqs are exchanged", `UPDATE journal SET seq = -1 WHERE seq = 1; UPDATE journal SET seq = 1 WHERE seq = 2; UPDATE journal SET seq = 2 WHERE seq = -1`, `history: 1: of task b: its task has version 2`},

	{"a task is gone", asDaemon(`DELETE FROM tasks WHERE id = 'a'`), `task: a: is missing: its last event`},
	{"a deleted task is there", asDaemon(`INSERT INTO tasks (id, title, version) VALUES ('gone', 'gone', 6)`), `task: gone: was deleted by event`},
	{"a task without an event", asDaemon(`INSERT INTO tasks (id, title, version) VALUES ('new', 'new', 6)`), `task: new: its event 6 is missing`},
	{"a version of before", asDaemon(`UPDATE tasks SET version = 1, document = json_set(document, '$.version', 1) WHERE id = 'a'`), `task: a: has version 1, its newest event is 4`},
	{"another document than the event's", asDaemon(`UPDATE tasks SET title = 'x', document = json_set(document, '$.title', 'x') WHERE id = 'a'`), `task: a: its document is not that of its newest event, 4`},
	{"a document is no JSON", asDaemon(`UPDATE tasks SET document = 'x' WHERE id = 'a'`), `document: a: cannot be read as JSON`},
	{"columns and document differ", asDaemon(`UPDATE tasks SET title = 'x', priority = 'low' WHERE id = 'a'`), `document: a: differs from the columns in priority, title`},
	{"an unknown member", asDaemon(`UPDATE tasks SET document = json_set(document, '$.x', 1) WHERE id = 'a'`), `document: a: differs from the columns in x`},
	{"a lease without work", asDaemon(`UPDATE tasks SET leased_by = 'me' WHERE id = 'a'`), `lease: a: is held by me, but the task is done`},
	{"a lease is gone", `DELETE FROM leases`, `lease: f: is held by me, but there is no lease that ends`},
	{"a lease has no end", `UPDATE leases SET expires_at = 'never'`, `lease: f: is held by me, but there is no lease that ends`},
	{"a cluster without a name", asDaemon(`INSERT INTO cluster (one, name, position, at, chain) VALUES (1, '', 0, 0, zeroblob(32))`), `constraint: cluster 1: name breaks its rule`},
	{"a place before the log", asDaemon(`INSERT INTO cluster (one, name, position, at, chain) VALUES (1, 'c', -1, 0, zeroblob(32))`), `constraint: cluster 1: position breaks its rule`},
	{"a chain that is no hash", asDaemon(`INSERT INTO cluster (one, name, position, at, chain) VALUES (1, 'c', 0, 0, x'00')`), `constraint: cluster 1: chain breaks its rule`},
	{"two clusters", asDaemon(`INSERT INTO cluster (one, name, position, at, chain) VALUES (1, 'c', 0, 0, zeroblob(32)), (2, 'd', 0, 0, zeroblob(32))`), `constraint: cluster 2: one breaks its rule`},
	{"a trigger of the cluster is gone", `DROP TRIGGER cluster_before_update`, `schema: trigger cluster_before_update: is missing`},
	{"the index of ready tasks is gone", `DROP INDEX tasks_ready`, `schema: index tasks_ready: is missing`},

	{"ready is wrong", asDaemon(`UPDATE tasks SET ready = 1 - ready WHERE id = 'c'`), `ready: c: is 0, must be 1`},
	{"an edge is gone", `DELETE FROM dependencies WHERE task = 'c' AND dependency = 'a'`, `dependencies: c: the column has ["a" "b"], the table ["b"]`},
	{"an edge too many", `INSERT INTO dependencies VALUES ('a', 'f')`, `dependencies: a: the column has [], the table ["f"]`},
	{"an edge of nobody", `INSERT INTO dependencies VALUES ('x', 'f')`, `dependencies: x: the table has some of a task that is not there`},
	{"dependencies are no list", asDaemon(`UPDATE tasks SET dependencies = 'x' WHERE id = 'c'`), `dependencies: c: cannot be read as a list`},
	{"the task itself", `INSERT INTO dependencies VALUES ('a', 'a'); ` + asDaemon(`UPDATE tasks SET dependencies = '["a"]' WHERE id = 'a'`), `dependencies: a: the task depends on itself`},
	{"a cycle", `INSERT INTO dependencies VALUES ('a', 'c')`, `cycle: a: waits for itself: a -> c -> a`},

	{"the index is ahead", `UPDATE journal_state SET indexed = 999`, `search: it has read up to 999`},
	{"the index lacks a task", `DELETE FROM search_tasks WHERE task_id = 'a'`, `search: a: the index does not know the task`},
	{"the index has words of nobody", `DELETE FROM search_tasks WHERE task_id = 'a'`, `the index has words of no task`},
	{"the index lacks words", `DELETE FROM search WHERE rowid = (SELECT num FROM search_tasks WHERE task_id = 'a')`, `search: a: the index has other words than the task`},
	{"the index has words too many", `INSERT INTO search (rowid, words) SELECT num, 'more' FROM search_tasks WHERE task_id = 'a'`, `search: a: the index has other words than the task`},
	{"the index knows who is gone", `INSERT INTO search_tasks (task_id) VALUES ('gone')`, `search: gone: the index knows a task that is gone`},
}

func TestCheckFindsDamage(t *testing.T) {
	oneGoroutine(t)
	whole := wear(t)
	sound(t, whole)
	for _, test := range damages {
		t.Run(test.name, func(t *testing.T) {
			path := copyOf(t, whole)
			execute(t, path, test.script)
			before := contents(t, filepath.Dir(path))
			report, err := Check(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(report.Findings, func(f Finding) bool { return strings.Contains(f.String(), test.want) }) {
				t.Errorf("found %v, want %s", report.Findings, test.want)
			}
			same(t, "files", contents(t, filepath.Dir(path)), before)
		})
	}
}

// copyOf gives a copy of a file in a folder of its own.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(to, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// Whatever bytes are wrong, Check ends, and leaves the file as it is. It tells of
// them unless nothing that a query can read has changed.
func TestCheckDamagedBytes(t *testing.T) {
	oneGoroutine(t)
	whole := wear(t)
	file, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	want := dump(whole)
	if !strings.Contains(want, `"words of another process"`) {
		t.Fatal(want)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	found, unconcerned := 0, 0
	try := func(what string, changed []byte) {
		t.Helper()
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := Check(t.Context(), path, nil)
		switch {
		case errors.Is(err, errForeign) || errors.Is(err, errNewer):
			found++
		case err != nil:
			t.Errorf("%s: %v", what, err)
		case len(report.Findings) > 0:
			found++
		case dump(path) != want:
			t.Errorf("%s: found nothing, but there is\n%s", what, dump(path))
		default:
			unconcerned++
		}
		after, err := os.ReadFile(path)
		if err != nil || string(after) != string(changed) {
			t.Fatalf("%s: the file has changed, %v", what, err)
		}
	}
	every := 1009 // a prime: at all places of a page
	if os.Getenv("CI") == "true" {
		every = 307
	}
	for at := 0; at < len(file); at += every {
		changed := slices.Clone(file)
		for i := at; i < min(at+32, len(file)); i++ {
			changed[i] ^= 0xff
		}
		try(fmt.Sprint("32 bytes at ", at), changed)
	}
	for size := 1; size < len(file); size += len(file) / 7 {
		try(fmt.Sprint("cut off at ", size), file[:size])
	}
	if t.Logf("%d damages found, %d in bytes that nothing uses", found, unconcerned); found < 30 {
		t.Errorf("%d damages found", found)
	}
}

// dump gives all rows of all tables that are not SQLite's own, or the error.
func dump(path string) string {
	db, err := sql.Open("sqlite", dsn(path, "query_only(1)")+"&mode=ro&immutable=1")
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	var all strings.Builder
	for _, table := range []string{"journal_state", "tasks", "dependencies", "journal", "search_tasks", "tokens", "leases", "cluster"} {
		found, err := db.Query("SELECT * FROM " + table)
		if err != nil {
			return err.Error()
		}
		columns, _ := found.Columns()
		for found.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := found.Scan(into...); err != nil {
				fmt.Fprintln(&all, err)
			}
			fmt.Fprintf(&all, "%s %q\n", table, values)
		}
		if err := found.Close(); err != nil {
			fmt.Fprintln(&all, err)
		}
		fmt.Fprintln(&all, found.Err())
	}
	return all.String()
}

// There is a bound for each kind, and a count of the rest.
func TestCheckManyFindings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	for i := range 50 {
		do(t, d, create(fmt.Sprintf("t%02d", i)))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, path, asDaemon(`UPDATE tasks SET ready = 0, document = json_set(document, '$.ready', json('false'))`))
	report, err := Check(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var ready []string
	for _, f := range report.Findings {
		if f.What == "ready" {
			ready = append(ready, f.String())
		}
	}
	same(t, "findings", len(ready), 21)
	same(t, "the last", ready[20], "ready: and 30 more")
}

// What cannot be checked at all is an error, not a finding.
func TestCheckRefuses(t *testing.T) {
	folder := t.TempDir()
	other, newer := filepath.Join(folder, "other.db"), filepath.Join(folder, "newer.db")
	execute(t, other, `CREATE TABLE t (a)`)
	execute(t, newer, fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = 99`, schema.ApplicationID))
	for path, want := range map[string]string{
		filepath.Join(folder, "none.db"): "no such file", folder: "not a database", other: "another application", newer: "newer version",
	} {
		if _, err := Check(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ended, wear(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// What a daemon that was killed has left in the log is read, and stays there.
func TestCheckReadsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	do(t, d, create("a"), create("b", "a"))
	killed := filepath.Join(t.TempDir(), "test.db")
	for _, suffix := range []string{"", "-wal"} {
		file, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(killed+suffix, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, filepath.Dir(killed))
	same(t, "tasks", sound(t, killed).Tasks, 2)
	after := contents(t, filepath.Dir(killed))
	delete(after, "test.db-shm") // an index of the log, made anew by whoever is the first
	same(t, "files", after, before)
}

// Every CHECK of the migrations is read out of them.
func TestConstraintsOf(t *testing.T) {
	objects, err := freshObjects(t.Context(), len(migrations()))
	if err != nil {
		t.Fatal(err)
	}
	found, want := 0, 0
	for _, o := range objects {
		if o.kind == "table" {
			want += strings.Count(withoutComments(o.sql), "CHECK (")
		}
		for _, c := range constraintsOf(o) {
			if found++; c.column == "" || !strings.HasPrefix(c.expression+c.column, c.expression) || strings.Count(c.expression, "(") != strings.Count(c.expression, ")") {
				t.Errorf("%s: %+v", o, c)
			}
		}
	}
	if found != want || found < 12 {
		t.Errorf("%d CHECKs of %d", found, want)
	}
	got := constraintsOf(object{kind: "table", sql: "CREATE TABLE t (\n  a TEXT, -- it's (a comment, CHECK (x)\n  b TEXT CHECK (b <> 'it''s, )' AND (b > '')) NOT NULL CHECK (b), c)"})
	same(t, "constraints", fmt.Sprint(got), "[{b b <> 'it''s, )' AND (b > '')} {b b}]")
}

func TestCycles(t *testing.T) {
	for _, test := range []struct{ edges, want string }{
		{"", "[]"},
		{"a-b b-c a-c", "[]"},
		{"a-b b-a", "[[a b]]"},
		{"a-b b-c c-d d-b", "[[b c d]]"},
		{"a-b b-a c-d d-c d-a", "[[a b] [c d]]"},
	} {
		g := graph{waitsFor: make(map[string][]string)}
		for _, edge := range strings.Fields(test.edges) {
			from, to, _ := strings.Cut(edge, "-")
			g.waitsFor[from] = append(g.waitsFor[from], to)
		}
		same(t, test.edges, fmt.Sprint(g.cycles()), test.want)
	}
}

// Whatever daemons and other processes do, Check finds nothing. With CI=true they do
// more of it.
func TestCheckFindsNothing(t *testing.T) {
	oneGoroutine(t)
	most := 10
	if os.Getenv("CI") == "true" {
		most = 30
	}
	rapid.Check(t, func(t *rapid.T) {
		folder, err := os.MkdirTemp("", "check")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(folder) })
		u := &user{path: filepath.Join(folder, "test.db")}
		if u.d, err = Open(context.Background(), Config{Path: u.path}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.d.Close() })
		if err := u.d.exec(`PRAGMA synchronous = OFF`); err != nil { // no power is cut here
			t.Fatal(err)
		}
		for range rapid.IntRange(1, most).Draw(t, "steps") {
			rapid.SampledFrom([]func(*rapid.T){u.create, u.setStatus, u.remove, u.outside, u.outside, u.index, u.prune}).Draw(t, "step")(t)
		}
		sound(t, u.path)
	})
}

// user does random things to a file.
type user struct {
	path string
	d    *DB
}

func someID(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id") }

func (u *user) create(t *rapid.T) {
	some := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 3, rapid.ID).Draw(t, "dependencies")
	u.apply(t, create(someID(t), some...))
}

func (u *user) setStatus(t *rapid.T) {
	u.apply(t, setStatus(someID(t), rapid.SampledFrom(schema.Statuses()).Draw(t, "status")))
}

func (u *user) remove(t *rapid.T) { u.apply(t, remove(someID(t))) }

// apply makes a change of one operation, or a transaction of two; it may be refused.
func (u *user) apply(t *rapid.T, op schema.Operation) {
	c := change(op)
	if c.Transaction = rapid.Bool().Draw(t, "transaction"); c.Transaction {
		c.Operations = append(c.Operations, setStatus(someID(t), rapid.SampledFrom(schema.Statuses()).Draw(t, "also")))
	}
	if _, _, err := u.d.Apply(context.Background(), []schema.Change{c}); err != nil {
		t.Fatal(err)
	}
}

// outside writes as another process; it may be refused.
func (u *user) outside(t *rapid.T) {
	statement := fmt.Sprintf(rapid.SampledFrom([]string{
		`INSERT INTO tasks (id, title, dependencies) VALUES ('%s', 'wörd 1', '["%s"]')`,
		`INSERT OR REPLACE INTO tasks (id, title, dependencies) VALUES ('%s', 'other word', json_array('%s'))`,
		`INSERT OR IGNORE INTO tasks (id, title) VALUES ('%s', '%s')`,
		`UPDATE tasks SET status = 'done' WHERE id IN ('%s', '%s')`,
		`UPDATE tasks SET status = 'todo', description = 'ä b c' WHERE id IN ('%s', '%s')`,
		`UPDATE tasks SET dependencies = '["%[2]s"]' WHERE id = '%[1]s'`,
		`DELETE FROM tasks WHERE id IN ('%s', '%s')`,
		`UPDATE OR IGNORE tasks SET version = 0, metadata = ' {"k": 1.0} ' WHERE id IN ('%s', '%s')`,
		`UPDATE tasks SET title = CAST(x'61ff62' AS TEXT) WHERE id IN ('%s', '%s')`,
	}).Draw(t, "statement"), someID(t), someID(t))
	db, err := sql.Open("sqlite", dsn(u.path, "busy_timeout(5000)", "synchronous(OFF)", "recursive_triggers("+rapid.SampledFrom([]string{"0", "1"}).Draw(t, "recursive")+")"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, _ = db.Exec(statement)
}

func (u *user) index(t *rapid.T) {
	if _, err := u.d.indexStep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (u *user) prune(t *rapid.T) {
	u.d.writing.Lock() // housekeeping prunes, too
	u.d.config.RetainEvents = rapid.Int64Range(1, 20).Draw(t, "retain")
	u.d.writing.Unlock()
	if _, err := u.d.pruneStep(context.Background()); err != nil {
		t.Fatal(err)
	}
}
