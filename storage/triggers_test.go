package storage

import "testing"

// The connection that writes runs no trigger; every other one does.
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
}
