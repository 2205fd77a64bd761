package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"modernc.org/sqlite"

	"github.com/descartes-tasks/descartes/schema"
)

// Changes are told, not each failure; and it works again only when nothing has
// failed for a while.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		h := health{tell: func(what string, err error) { told = append(told, fmt.Sprint(what, " ", err)) }}
		full, locked := schema.StorageUnavailable("full"), schema.StorageUnavailable("locked")
		h.note(failWrite, nil)
		for range 100 {
			h.note(failWrite, full)
			h.note(failWrite, nil)
		}
		same(t, "first", told, []string{"write " + full.Error()})
		if err := h.unusable(); !errors.Is(err, full) || !h.fails(failWrite) || h.fails(failRead) {
			t.Errorf("unusable because of %v", err)
		}
		h.note(failWrite, locked)
		h.note(failIndex, errors.New("odd"))
		time.Sleep(steadyFor - time.Nanosecond)
		h.note(failWrite, nil)
		same(t, "then", told[1:], []string{"write " + locked.Error(), "index odd"})
		time.Sleep(time.Nanosecond)
		h.note(failWrite, nil)
		h.note(failWrite, nil)
		same(t, "at last", told[3:], []string{"write <nil>"})
		if err := h.unusable(); err != nil {
			t.Errorf("unusable because of %v", err) // an index is not needed
		}
	})
}

// A file that is locked all the time is given up at one moment, whoever asks.
func TestLockWait(t *testing.T) {
	var w lockWait
	start := time.Unix(0, 0)
	at := func(after time.Duration) time.Time { return start.Add(after) }
	for _, test := range []struct {
		asked, until, ended time.Duration
		busy                bool
	}{
		{0, 5 * time.Second, 5 * time.Second, true},
		{5050 * time.Millisecond, 5 * time.Second, 5060 * time.Millisecond, true}, // behind the first
		{6 * time.Second, 11 * time.Second, 7 * time.Second, true},                // nobody knows what was between
		{7001 * time.Millisecond, 11 * time.Second, 8 * time.Second, false},
		{8001 * time.Millisecond, 13001 * time.Millisecond, 9 * time.Second, false}, // it was free
	} {
		if got := w.deadline(at(test.asked), lockPatience); !got.Equal(at(test.until)) {
			t.Errorf("asked at %v: until %v, want %v", test.asked, got.Sub(start), test.until)
		}
		w.tried(at(test.ended), test.busy)
	}
}

func TestClock(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Unix(1_700_000_000, 0)
	c := newClock(start)
	for _, test := range []struct{ passed, ahead, want time.Duration }{
		{time.Second, 0, 0},
		{time.Minute, time.Minute, time.Minute},                // corrected
		{time.Hour, 400 * day, time.Minute},                    // set ahead
		{time.Hour + time.Second, 0, 0},                        // and back
		{2 * time.Hour, 400 * day, 0},                          // once more
		{3*time.Hour - time.Second, 400*day + 1, 0},            // for an hour
		{3 * time.Hour, 400 * day, 400 * day},                  // then it is believed
		{4 * time.Hour, 0, 0},                                  // it was wrong, all the same
		{5 * time.Hour, -400 * day, -400 * day},                // behind: nothing is pruned
		{6 * time.Hour, 0, -400 * day},                         // ahead again
		{7*time.Hour - time.Second, 0, -400 * day},             //
		{7 * time.Hour, 0, 0},                                  // for an hour
		{8 * time.Hour, 30 * time.Second, 30 * time.Second},    // drift
		{9 * time.Hour, 80 * time.Second, 80 * time.Second},    //
		{9 * time.Hour, 150 * time.Second, 80 * time.Second},   // more than that is none
		{19 * time.Hour, 150 * time.Second, 150 * time.Second}, //
	} {
		now := start.Add(test.passed + test.ahead)
		if got := c.believe(now, test.passed).Sub(start) - test.passed; got != test.want {
			t.Errorf("after %v, %v ahead: %v ahead, want %v", test.passed, test.ahead, got, test.want)
		}
	}
}

// A clock that was set ahead prunes nothing at once, and an event of a clock that
// was set back takes no younger ones along.
func TestPruneWithAWrongClock(t *testing.T) {
	now := time.Now()
	b := openTestBoard(t, Config{RetainFor: time.Hour, Now: func() time.Time { return now }})
	b.now = now.Add(-2 * time.Hour).UnixMilli()
	b.create(2)
	b.now = now.UnixMilli()
	b.create(2)
	b.now = 0
	b.create(1)
	b.now = now.UnixMilli()
	b.create(2)
	b.tidy()
	b.wantBounds(3, 7)
	now = now.AddDate(1, 0, 0)
	b.tidy()
	b.wantBounds(3, 7)
}

// The journal is pruned although the full-text index cannot be written; that it
// cannot is told once.
func TestPruneWithoutIndex(t *testing.T) {
	told := make(chan string, 100)
	d, err := Open(t.Context(), Config{
		Path: filepath.Join(t.TempDir(), "test.db"), RetainEvents: 10, RetainFor: 100 * 365 * 24 * time.Hour,
		Failed: func(what string, err error) { told <- fmt.Sprint(what, " ", err != nil) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.writing.Lock()
	err = d.exec(`DROP TABLE search`)
	d.writing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		do(t, d, create(fmt.Sprint("t", i)))
	}
	d.tidy()
	d.tidy()
	bounds, err := d.Bounds(t.Context())
	if err != nil || bounds.Oldest != 41 {
		t.Errorf("bounds are %+v, %v", bounds, err)
	}
	same(t, "told", <-told, "index true")
	select {
	case more := <-told:
		t.Errorf("told %s, too", more)
	default:
	}
}

// What moves the log into the file explains that the file has changed, whoever
// does it; a file whose time alone has changed is the same.
func TestFilesAreInOrder(t *testing.T) {
	d := newDB(t)
	write := func() { do(t, d, create(fmt.Sprint("t", time.Now().UnixNano()))) }
	write()
	for _, who := range outsiders(t) {
		for _, script := range []string{
			`PRAGMA wal_checkpoint(TRUNCATE)`,
			`INSERT INTO tasks (id, title) VALUES (hex(randomblob(8)), 'new'); PRAGMA wal_checkpoint(TRUNCATE)`,
			`INSERT INTO tasks (id, title) SELECT hex(randomblob(8)), 'new' FROM json_each('[' || substr(hex(zeroblob(2000)), 2) || ']')`,
			`DELETE FROM tasks WHERE title = 'new'; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)`,
		} {
			if err := who.run(d.config.Path, script); err != nil {
				t.Logf("%s: %s: %v", who.name, script, err)
			}
			write()
		}
	}
	if err := d.checkpoint(); err != nil {
		t.Error(err)
	}
	if err := os.Chtimes(d.config.Path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	write()
}

// A link leads to the file, and to those beside it.
func TestOpenLink(t *testing.T) {
	directory := t.TempDir()
	for _, exists := range []bool{true, false} {
		target := filepath.Join(directory, fmt.Sprint(exists), "target.db")
		if err := os.Mkdir(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if exists {
			if err := mustOpen(t, target).Close(); err != nil {
				t.Fatal(err)
			}
		}
		link := filepath.Join(directory, fmt.Sprint(exists, ".db"))
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		d := mustOpen(t, link)
		do(t, d, create("a"))
		if n := len(contents(t, filepath.Dir(target))); n != 3 || d.shm == nil {
			t.Errorf("%d files are where the link leads", n)
		}
	}
}

// A connection that is opened late is not one to another file.
func TestReaderOfAnotherFile(t *testing.T) {
	d, other := newDB(t), newDB(t)
	connector, err := sqlite.NewConnector(dsn(d.config.Path, "query_only(1)") + "&mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	connect := func() error {
		conn, err := samePlace{connector, d.files}.Connect(t.Context())
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	away := d.config.Path + ".away"
	if err := errors.Join(os.Rename(d.config.Path, away), os.Link(other.config.Path, d.config.Path)); err != nil {
		t.Fatal(err)
	}
	if lost, ok := errors.AsType[*lostError](connect()); !ok {
		t.Errorf("connected to another file: %v", lost)
	}
	if err := errors.Join(os.Rename(away, d.config.Path), connect()); err != nil {
		t.Error(err)
	}
}

// Who meets a damaged page fails alone.
func TestApplyMeetsDamage(t *testing.T) {
	oneGoroutine(t)
	d := openDamaged(t)
	for _, order := range []string{"vc", "cv", "cvcv", "v", "cc", "vv"} {
		var changes []schema.Change
		for i, which := range order {
			if which == 'v' {
				changes = append(changes, change(setStatus("victim", schema.Done)))
			} else {
				changes = append(changes, change(create(fmt.Sprintf("%s-%d", order, i))))
			}
		}
		outcomes, events, err := d.Apply(t.Context(), changes)
		if err != nil || len(events) != strings.Count(order, "c") {
			t.Errorf("%s: %d events, %v", order, len(events), err)
		}
		for i, o := range outcomes {
			if met := schema.CodeOf(o.Err) == schema.CodeStorageUnavailable; met != (order[i] == 'v') || !met && o.Err != nil {
				t.Errorf("%s: %d: %v", order, i, o.Err)
			}
		}
	}
	if err := d.Unusable(); schema.CodeOf(err) != schema.CodeStorageUnavailable {
		t.Errorf("unusable because of %v", err)
	}
}

// openDamaged opens a file in which the page of the task victim is destroyed, and
// which is too large for that to be found.
func openDamaged(t *testing.T) *DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	for i := range 40 {
		var changes []schema.Change
		for j := range 100 {
			op := create(fmt.Sprintf("t%d-%d", i, j))
			op.Create.Description = new(strings.Repeat("text ", 200))
			changes = append(changes, change(op))
		}
		if _, _, err := d.Apply(t.Context(), append(changes, change(create(fmt.Sprint("n", i))))); err != nil {
			t.Fatal(err)
		}
		if i == 20 {
			do(t, d, create("victim"))
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil || len(file) <= quickCheckUpTo {
		t.Fatalf("%d bytes, %v", len(file), err)
	}
	for page := range slices.Chunk(file, 4096) {
		if bytes.Contains(page, []byte("task victim")) {
			clear(page)
		}
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err = Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
