package storage

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"
)

// The application ID of a new file is in the log alone as long as nobody moves the
// first page, and that is left there when a reader does not know its newest state:
// neither a new time nor other pages that somebody moves make it another file.
func TestNewFileIsInOrder(t *testing.T) {
	for _, who := range outsiders(t) {
		t.Run(who.name, func(t *testing.T) {
			d := newDB(t)
			reader, err := d.readers.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Rollback()
			var tasks int
			if err := reader.QueryRow(`SELECT count(*) FROM tasks`).Scan(&tasks); err != nil {
				t.Fatal(err)
			}
			for i := range 50 { // the file grows: the first page says how large it is
				do(t, d, create(fmt.Sprint(i)))
			}
			if err := who.run(d.config.Path, `PRAGMA wal_checkpoint(PASSIVE)`); err != nil {
				t.Fatal(err)
			}
			header, _, err := d.files.read()
			if err != nil || binary.BigEndian.Uint32(header[68:]) != 0 {
				t.Fatalf("header %x, %v: this proves nothing", header, err)
			}
			do(t, d, create("known"))
			if err := os.Chtimes(d.config.Path, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			do(t, d, create("last"))
		})
	}
}
