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
