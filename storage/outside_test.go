package storage

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// lease makes a task look claimed, as the daemon does.
const lease = `BEGIN; UPDATE journal_state SET writer = 1;
	UPDATE tasks SET status = 'in_progress', leased_by = 'worker', ready = 0 WHERE id = 'a';
	UPDATE tasks SET document = (SELECT document FROM documents WHERE id = 'a') WHERE id = 'a';
	UPDATE journal SET task = (SELECT document FROM tasks WHERE id = 'a') WHERE task_id = 'a';
	UPDATE journal_state SET writer = 0; COMMIT;`

// outsideTests are scripts for a file with the tasks a, b (depends on a), c (depends
// on a and b), made by the first three events, and the events that they make.
var outsideTests = []struct{ name, script, want string }{
	{"insert", `INSERT INTO tasks (id, title) VALUES ('x', 'new')`, `4 created x >todo`},
	{
		"insert what is the daemon's",
		`INSERT INTO tasks (id, title, version, ready, leased_by, created_at, updated_at, document, status)
			VALUES ('x', 'new', 99, 1, 'me', 5, 'soon', 'junk', 'blocked')`,
		`4 created x >blocked`,
	},
	{
		"insert with dependencies", `INSERT INTO tasks (id, title, dependencies) VALUES ('x', 'new', ' [ "a", "gone" ] ');
			INSERT INTO tasks (id, title, dependencies) VALUES ('y', 'new', '["gone"]')`,
		"4 created x >todo\n5 created y >todo",
	},
	{
		"update turns dependents", `UPDATE tasks SET status = 'done' WHERE id = 'a'`,
		"4 updated a todo>done {\"status\":\"todo\",\"ready\":true}\n5 updated b todo>todo {\"ready\":false}",
	},
	{
		"update every field", `UPDATE tasks SET title = 'é"', description = 'd', status = 'blocked', priority = 'low',
			complexity = 'epic', assigned_to = 'me', dependencies = '[]', metadata = '{"x": 1.50}' WHERE id = 'b'`,
		`4 updated b todo>blocked {"title":"task b","description":null,"status":"todo","priority":"medium",` +
			`"complexity":"moderate","assigned_to":null,"dependencies":["a"],"metadata":{}}`,
	},
	{
		"update every row", `UPDATE tasks SET status = 'done'`,
		"4 updated a todo>done {\"status\":\"todo\",\"ready\":true}\n5 updated b todo>todo {\"ready\":false}\n" +
			"6 updated b todo>done {\"status\":\"todo\",\"ready\":true}\n7 updated c todo>todo {\"ready\":false}\n" +
			"8 updated c todo>done {\"status\":\"todo\",\"ready\":true}",
	},
	{"update nothing", `UPDATE tasks SET title = title, metadata = ' { } ', dependencies = '[ "a" ]' WHERE id = 'b'`, ""},
	{
		"update what is the daemon's",
		`UPDATE tasks SET version = 0, ready = 1 - ready, leased_by = 'me', created_at = 0, updated_at = 0, document = '{}'`, "",
	},
	{
		"delete", `DELETE FROM tasks WHERE id = 'a'`,
		"4 deleted a todo>\n5 updated b todo>todo {\"ready\":false}",
	},
	{
		"delete and insert again", `DELETE FROM tasks WHERE id = 'a'; INSERT INTO tasks (id, title) VALUES ('a', 'again')`,
		"4 deleted a todo>\n5 updated b todo>todo {\"ready\":false}\n6 created a >todo\n7 updated b todo>todo {\"ready\":true}",
	},
	{
		"delete every row", `DELETE FROM tasks`,
		"4 deleted a todo>\n5 updated b todo>todo {\"ready\":false}\n6 deleted b todo>\n" +
			"7 updated c todo>todo {\"ready\":false}\n8 deleted c todo>",
	},
	{
		"replace", `INSERT OR REPLACE INTO tasks (id, title, status) VALUES ('a', 'new', 'done')`,
		"4 updated a todo>done {\"title\":\"task a\",\"status\":\"todo\",\"ready\":true}\n5 updated b todo>todo {\"ready\":false}",
	},
	{
		"replace one with dependencies", `REPLACE INTO tasks (id, title, dependencies) VALUES ('b', 'task b', '["x"]')`,
		`4 updated b todo>todo {"dependencies":["a"],"ready":false}`,
	},
	{"replace with the same", `REPLACE INTO tasks (id, title) VALUES ('a', 'task a')`, ""},
	{
		"insert or ignore", `INSERT OR IGNORE INTO tasks (id, title) VALUES ('a', 'other'); DELETE FROM tasks WHERE id = 'a';
			INSERT OR IGNORE INTO tasks (id, title) VALUES ('a', 'other')`,
		"4 deleted a todo>\n5 updated b todo>todo {\"ready\":false}\n6 created a >todo\n7 updated b todo>todo {\"ready\":true}",
	},
	{
		"upsert", `INSERT INTO tasks (id, title) VALUES ('a', 'new'), ('x', 'new') ON CONFLICT (id) DO UPDATE SET title = excluded.title`,
		"4 updated a todo>todo {\"title\":\"task a\"}\n5 created x >todo",
	},
	{
		"several statements", `BEGIN; UPDATE tasks SET title = '1' WHERE id = 'c'; UPDATE tasks SET title = '2' WHERE id = 'c'; COMMIT`,
		"4 updated c todo>todo {\"title\":\"task c\"}\n5 updated c todo>todo {\"title\":\"1\"}",
	},
	{"rollback", `BEGIN; DELETE FROM tasks; INSERT INTO tasks (id, title) VALUES ('x', 'new'); ROLLBACK`, ""},
	{
		"insert from select", `INSERT INTO tasks (id, title, dependencies) SELECT id || '2', title, json_array(id) FROM tasks ORDER BY id`,
		"4 created a2 >todo\n5 created b2 >todo\n6 created c2 >todo",
	},
	{
		"a lease stays", lease + `UPDATE tasks SET title = 'new', leased_by = NULL WHERE id = 'a'`,
		`4 updated a in_progress>in_progress {"title":"task a"}`,
	},
	{
		"a lease ends with the work", lease + `UPDATE tasks SET status = 'todo' WHERE id = 'a'`,
		`4 updated a in_progress>todo {"status":"in_progress","ready":false,"leased_by":"worker"}`,
	},
	{
		"a cycle is possible", `UPDATE tasks SET dependencies = '["c"]' WHERE id = 'a'`,
		`4 updated a todo>todo {"dependencies":[],"ready":true}`,
	},
}

func TestOutside(t *testing.T) {
	oneGoroutine(t)
	for _, who := range outsiders(t) {
		for _, test := range outsideTests {
			t.Run(who.name+"/"+test.name, func(t *testing.T) {
				d := newDB(t)
				do(t, d, create("a"), create("b", "a"), create("c", "a", "b"))
				before := task(t, d, "c").CreatedAt
				if err := who.run(d.config.Path, test.script); err != nil {
					t.Fatal(err)
				}
				same(t, "events", log(t, d, 3), test.want)
				for _, e := range mustEvents(t, d, 3) {
					if e.Origin != schema.OriginExternal || e.Actor != "" || e.Source != 0 || e.TxLast != 0 {
						t.Errorf("event %d: %+v", e.Seq, e)
					}
				}
				if !strings.HasPrefix(test.script, "DELETE FROM tasks") {
					same(t, "created_at", task(t, d, "c").CreatedAt, before)
				}
			})
		}
	}
}

func mustEvents(t *testing.T, d *DB, after int64) []schema.Event {
	t.Helper()
	events, err := d.Events(t.Context(), after, schema.MaxSeq, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestOutsideRefused(t *testing.T) {
	oneGoroutine(t)
	long := func(n int) string { return "'" + strings.Repeat("é", n) + "'" }
	with := func(column, value string) string {
		return `INSERT INTO tasks (id, title, ` + column + `) VALUES ('x', 'new', ` + value + `)`
	}
	title := func(value string) string { return `INSERT INTO tasks (id, title) VALUES ('x', ` + value + `)` }
	id := func(value string) string { return `INSERT INTO tasks (id, title) VALUES (` + value + `, 'new')` }
	refused := []struct{ script, reason string }{
		{`INSERT INTO tasks (id) VALUES ('x')`, "title"},
		{`INSERT INTO tasks (title) VALUES ('x')`, "id"},
		{id(`''`), "id"},
		{id(`'a b'`), "id"},
		{id(`'é'`), "id"},
		{id(`'ab' || char(0) || '/'`), "id"},
		{id(`'` + strings.Repeat("x", 129) + `'`), "id"},
		{id(`'a'`), "UNIQUE"},
		{title(`''`), "title"},
		{title(long(501)), "title"},
		{title(`char(9, 10, 32, 160, 8195, 12288)`), "title"},
		{title(`'a' || char(0) || 'b'`), "title"},
		{title(`x'6162'`), "title"},
		{with("description", `'a' || char(0)`), "description"},
		{with("description", long(32769)), "description"},
		{with("description", `x'61'`), "description"},
		{with("status", `'open'`), "status"},
		{with("status", `NULL`), "status"},
		{with("priority", `'urgent'`), "priority"},
		{with("priority", `2`), "priority"},
		{with("complexity", `'hard'`), "complexity"},
		{with("assigned_to", `''`), "assigned_to"},
		{with("assigned_to", long(129)), "assigned_to"},
		{with("dependencies", `'{}'`), "dependencies"},
		{with("dependencies", `'["a"'`), ""}, // older versions say "malformed JSON"
		{with("dependencies", `'[1]'`), "dependencies: every item"},
		{with("dependencies", `'["a b"]'`), "dependencies: every item"},
		{with("dependencies", `'[""]'`), "dependencies: every item"},
		{with("dependencies", `'["a\u0000"]'`), "dependencies"},
		{with("dependencies", `'["a","b","a"]'`), "dependencies: must not contain duplicates"},
		{with("dependencies", `'["x"]'`), "dependencies: must not contain the task itself"},
		{with("dependencies", `(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 257)
			SELECT json_group_array('t' || i) FROM n)`), "dependencies"},
		{with("metadata", `'[]'`), "metadata"},
		{with("metadata", `'{'`), ""},
		{with("metadata", `'{"a":"\u0000"}'`), "metadata"},
		{with("metadata", `'{"a":"\\\u0000"}'`), "metadata"},
		{with("metadata", `'{"a":"' || `+long(32769)+` || '"}'`), "metadata"},
		{`UPDATE tasks SET status = 'open'`, "status"},
		{`UPDATE tasks SET id = 'x' WHERE id = 'a'`, "id: cannot be changed"},
		{`UPDATE OR REPLACE tasks SET id = 'a' WHERE id = 'b'`, "id: cannot be changed"},
		{`UPDATE tasks SET num = num + 100`, "id: cannot be changed"},
		{`REPLACE INTO tasks (num, id, title) SELECT num, 'x', 'new' FROM tasks WHERE id = 'a'`, "num"},
		// Neither may a failure leave the triggers switched off.
		{`UPDATE OR FAIL tasks SET dependencies = '["a"]'`, "dependencies: must not contain the task itself"},
		{`INSERT OR FAIL INTO tasks (id, title) VALUES ('a', 'new')`, "UNIQUE"},
	}
	accepted := []string{
		with("metadata", `'{"a":"\\u0000"}'`), title(long(500)), title(`'Ünï ' || char(8195)`),
		with("description", long(32768)), with("dependencies", `'["\u0061"]'`), id(`'A.b_c:d-9'`),
	}
	for _, who := range outsiders(t) {
		t.Run(who.name, func(t *testing.T) {
			d := newDB(t)
			do(t, d, create("a"), create("b", "a"))
			for _, test := range refused {
				err := who.run(d.config.Path, test.script)
				if err == nil || !strings.Contains(err.Error(), test.reason) {
					t.Errorf("%.200s: %v", test.script, err)
				}
				checkFile(t, d)
			}
			same(t, "events", log(t, d, 2), "")
			for _, script := range accepted {
				if err := who.run(d.config.Path, "BEGIN; "+script+"; ROLLBACK"); err != nil {
					t.Errorf("%.200s: %v", script, err)
				}
			}
		})
	}
}

// A failure in the middle of a statement with OR FAIL keeps the rows before it.
func TestOutsideOrFail(t *testing.T) {
	for _, who := range outsiders(t) {
		t.Run(who.name, func(t *testing.T) {
			d := newDB(t)
			if err := who.run(d.config.Path, `INSERT OR FAIL INTO tasks (id, title) VALUES ('a', '1'), ('b', ''), ('c', '3')`); err == nil {
				t.Error("not refused")
			}
			same(t, "events", log(t, d, 0), "1 created a >todo")
		})
	}
}

// Text that is not UTF-8 can be stored, but does not get out.
func TestOutsideInvalidText(t *testing.T) {
	d := newDB(t)
	for _, who := range outsiders(t)[:1] {
		if err := who.run(d.config.Path, `INSERT INTO tasks (id, title, metadata)
			VALUES ('a', CAST(x'61ff62' AS TEXT), CAST(x'7b2261223a22ff227d' AS TEXT))`); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "title", task(t, d, "a").Title, "a\uFFFDb")
	same(t, "metadata", string(task(t, d, "a").Metadata), `{"a":"`+"\uFFFD"+`"}`)
	_, events, err := d.Apply(t.Context(), []schema.Change{change(setStatus("a", schema.Done))})
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	same(t, "previous", string(events[0].Previous), `{"status":"todo","ready":true}`)
	same(t, "events", log(t, d, 1), `2 updated a todo>done {"status":"todo","ready":true}`)
}

// Somebody may write while the daemon is not running.
func TestOutsideWhileClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	do(t, d, create("a"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, who := range outsiders(t) {
		if err := who.run(path, `UPDATE tasks SET title = title || '+'`); err != nil {
			t.Fatal(err)
		}
	}
	d = mustOpen(t, path)
	if got := len(mustEvents(t, d, 1)); got != len(outsiders(t)) {
		t.Errorf("%d events", got)
	}
}
