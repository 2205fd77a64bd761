package storage

import (
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// The connection that writes runs no trigger, those that others add neither, whatever they
// do to the schema while it is open; every other connection does.
func TestWriterIgnoresTriggers(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"))
	if err := d.exec(`UPDATE tasks SET title = 'b' WHERE id = 'a'`); err != nil {
		t.Fatal(err)
	}
	same(t, "events", log(t, d, 1), "")
	if err := d.exec(`UPDATE tasks SET title = 'task a' WHERE id = 'a'`); err != nil { // as it is journaled
		t.Fatal(err)
	}
	execute(t, d.config.Path, `CREATE TABLE mine (id TEXT);
		CREATE TRIGGER my AFTER UPDATE ON tasks BEGIN INSERT INTO mine VALUES (NEW.id); END`)
	do(t, d, setStatus("a", schema.InProgress)) // with a statement that is prepared again
	same(t, "events", log(t, d, 1), "2 updated a todo>in_progress {\"status\":\"todo\",\"ready\":true}")
	same(t, "what my trigger saw", rows(t, d.readers, `SELECT id FROM mine`), nil)
	execute(t, d.config.Path, `UPDATE tasks SET title = 'b' WHERE id = 'a'`)
	same(t, "events", log(t, d, 2), "3 updated a in_progress>in_progress {\"title\":\"task a\"}")
	same(t, "what my trigger saw then", rows(t, d.readers, `SELECT DISTINCT id FROM mine`), []string{"a"})
	execute(t, d.config.Path, `DROP TABLE mine; DROP TRIGGER my`)
}

// With a driver that cannot be asked the triggers stay on, and everything is as without.
func TestWriterWithTriggers(t *testing.T) {
	events := func(enabled int32) string {
		d := newDB(t)
		if err := setTriggers(d.writer, enabled); err != nil {
			t.Fatal(err)
		}
		do(t, d, create("a"), create("b", "a"))
		do(t, d, setStatus("a", schema.Done))
		do(t, d, setStatus("a", schema.Todo))
		do(t, d, remove("b"), create("b"))
		outcomes, _, err := d.Apply(t.Context(), []schema.Change{change(create("a")), change(setStatus("b", schema.Done))})
		if err != nil || outcomes[0].Err == nil || outcomes[1].Err != nil {
			t.Error(outcomes, err)
		}
		checkFile(t, d)
		return log(t, d, 0)
	}
	same(t, "events", events(1), events(0))
}
