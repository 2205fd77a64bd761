//go:build unix

package storage

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"
)

// A process that is killed while it moves the log into the file leaves no trace of
// what it has moved but that it had begun, whether it had when the file was last
// seen or not.
func TestKilledWhileMovingTheLog(t *testing.T) {
	for _, begun := range []bool{false, true} {
		d := newDB(t)
		for i := range 10 {
			do(t, d, create(fmt.Sprint(i)))
		}
		other := mustShell(t, d.config.Path)
		pages := pagesInLog(t, d)
		announce(t, d, len(pages))
		if begun {
			d.writing.Lock()
			d.files.seen(d.shm)
			d.writing.Unlock()
		}
		for number, page := range pages {
			if _, err := d.files.database.WriteAt(page, int64(number-1)*d.files.pageSize); err != nil {
				t.Fatal(err)
			}
		}
		other()
		do(t, d, create("last"))
	}
}

// pagesInLog gives the newest state of each page that is in the log
// (https://sqlite.org/fileformat.html, section 4.1).
func pagesInLog(t *testing.T, d *DB) map[uint32][]byte {
	t.Helper()
	log, err := os.ReadFile(d.config.Path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const header, frameHeader = 32, 24
	pages := make(map[uint32][]byte)
	for at := header; at+frameHeader+int(d.files.pageSize) <= len(log); at += frameHeader + int(d.files.pageSize) {
		pages[binary.BigEndian.Uint32(log[at:])] = log[at+frameHeader : at+frameHeader+int(d.files.pageSize)]
	}
	return pages
}

// announce says in the index of the log that so many pages are about to be moved.
func announce(t *testing.T, d *DB, pages int) {
	t.Helper()
	if _, err := d.shm.file.WriteAt(binary.NativeEndian.AppendUint32(nil, uint32(pages)), walAttempted); err != nil {
		t.Fatal(err)
	}
}
