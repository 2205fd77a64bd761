package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// killed makes a folder with a database as a daemon leaves it that is killed: what
// it has written last is in the log alone.
func killed(t *testing.T, ids ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	for _, id := range ids {
		do(t, d, create(id))
	}
	folder := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		file, err := os.ReadFile(path + suffix)
		if err != nil || len(file) == 0 {
			t.Fatal(path+suffix, err)
		}
		if err := os.WriteFile(filepath.Join(folder, "test.db"+suffix), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "test.db")
}

// idsAndEpoch gives what tells one database of these tests from the other.
func idsAndEpoch(t *testing.T, path string) (ids []string, epoch string) {
	t.Helper()
	sound(t, path)
	d := mustOpen(t, path)
	ids = rows(t, d.readers, `SELECT id FROM tasks ORDER BY id`)
	epoch = d.epoch
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return ids, epoch
}

// The restored database has everything but the epoch of the backup, which stays as
// it is; the old one is beside.
func TestRestore(t *testing.T) {
	from := backupOf(t, wear(t))
	before, backup := keptOf(t, from), contents(t, filepath.Dir(from))
	path := killed(t, "old1", "old2")
	restored, err := Restore(t.Context(), RestoreConfig{From: from, Path: path, Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	kept := path + ".before-restore"
	same(t, "restored", restored, Copy{Path: path, Tasks: 6, Seq: restored.Seq, Bytes: restored.Bytes, Kept: kept})
	if files := contents(t, filepath.Dir(path)); len(files) != 2 || int64(len(files["test.db"])) != restored.Bytes {
		t.Errorf("%d files, %+v", len(files), restored)
	}
	for _, name := range []string{path, kept} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	after := keptOf(t, path)
	same(t, "contents", after[1:], before[1:])
	if epoch, old := after[0][:12], before[0][:12]; epoch == old || after[0][12:] != before[0][12:] {
		t.Errorf("journal %s, was %s", after[0], before[0])
	}
	ids, _ := idsAndEpoch(t, kept)
	same(t, "kept", ids, []string{"old1", "old2"})
	same(t, "backup", contents(t, filepath.Dir(from)), backup)
	d := mustOpen(t, path)
	do(t, d, create("new", "a"))
}

func TestRestoreRefuses(t *testing.T) {
	oneGoroutine(t)
	sane := backupOf(t, wear(t))
	unsound, other := copyOf(t, sane), filepath.Join(t.TempDir(), "other.db")
	execute(t, unsound, asDaemon(`UPDATE tasks SET ready = 1 - ready WHERE id = 'c'`))
	execute(t, other, `CREATE TABLE t (a)`)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("my notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := wear(t)
	mustOpen(t, open)
	read := backupOf(t, killed(t, "a")) // not in WAL mode: whoever reads it has a lock while it reads
	reader, err := sql.Open("sqlite", dsn(read, "query_only(1)"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	reader.SetMaxOpenConns(1)
	if _, err := reader.Exec(`BEGIN; SELECT count(*) FROM tasks`); err != nil {
		t.Fatal(err)
	}
	kept := killed(t, "a")
	if err := os.WriteFile(kept+".before-restore", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(left+"-wal", []byte("of another file"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(broken, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	same1 := killed(t, "a")
	for _, test := range []struct {
		name, from, path string
		replace          bool
		want             string
	}{
		{"no backup", filepath.Join(t.TempDir(), "none"), killed(t, "a"), true, "no such file"},
		{"text", text, killed(t, "a"), true, "not a database"},
		{"another application's", other, killed(t, "a"), true, "another application"},
		{"an unsound one", unsound, killed(t, "a"), true, "is not sound (document: c: differs from the columns in ready)"},
		{"itself", same1, same1, true, "is the database itself"},
		{"over tasks", sane, killed(t, "a"), false, "it holds something: --force replaces it and keeps it as"},
		{"over one that is open", sane, open, true, "a process has it open"},
		{"over one that is read", sane, read, true, "a process has it open"},
		{"over another application's", sane, other, true, "another application"},
		{"over a folder", sane, t.TempDir(), true, "not a database"},
		{"over a damaged one", sane, broken, false, "damaged: --force replaces it"},
		{"beside a log of nobody", sane, left, false, "test.db-wal is there without its database"},
		{"a second time", sane, kept, true, ".before-restore is there from the last time"},
	} {
		before := tasksOf(t, test.path)
		if _, err := Restore(t.Context(), RestoreConfig{From: test.from, Path: test.path, Replace: test.replace}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		same(t, test.name, tasksOf(t, test.path), before)
	}
}

// tasksOf gives the ids in a file, or what is wrong with it, and the names of the
// files in its folder that are no logs: these may have been written back.
func tasksOf(t *testing.T, path string) (all []string) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(path)); err == nil {
		for _, entry := range entries {
			if !strings.Contains(entry.Name(), "-wal") && !strings.Contains(entry.Name(), "-shm") {
				all = append(all, entry.Name())
			}
		}
	}
	db, err := sql.Open("sqlite", dsn(path, "query_only(1)")+"&mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := texts(db.Query(`SELECT id FROM tasks ORDER BY id`))
	return append(all, fmt.Sprint(found, err))
}

// A crash after any step leaves the old database or the new one, whole, and no log
// that belongs to the other.
func TestRestoreStopped(t *testing.T) {
	oneGoroutine(t)
	from := backupOf(t, wear(t))
	wanted, _ := idsAndEpoch(t, copyOf(t, from))
	steps := []string{"check", "take", "copy", "keep", "replace"}
	for _, last := range steps {
		t.Run(last, func(t *testing.T) {
			path := killed(t, "old1", "old2")
			var seen []string
			crashed := make(map[string]string)
			stop := errors.New("a crash")
			_, err := Restore(t.Context(), RestoreConfig{From: from, Path: path, Replace: true, stepped: func(step string) error {
				if seen = append(seen, step); step != last {
					return nil
				}
				crashed = contents(t, filepath.Dir(path))
				return stop
			}})
			if !errors.Is(err, stop) || !slices.Equal(seen, steps[:slices.Index(steps, last)+1]) {
				t.Fatalf("%v after %q", err, seen)
			}
			after := t.TempDir()
			for name, text := range crashed {
				if strings.HasSuffix(name, "-shm") {
					continue // shared memory does not outlive the machine
				}
				if err := os.WriteFile(filepath.Join(after, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if last == "keep" { // two names of one file
				kept := filepath.Join(after, "test.db.before-restore")
				if err := errors.Join(os.Remove(kept), os.Link(filepath.Join(after, "test.db"), kept)); err != nil {
					t.Fatal(err)
				}
			}
			if _, log := crashed["test.db-wal"]; log != (last == "check") {
				t.Errorf("is there a log? %v", log)
			}
			ids, _ := idsAndEpoch(t, filepath.Join(after, "test.db"))
			if last == "replace" {
				same(t, "tasks", ids, wanted)
			} else {
				same(t, "tasks", ids, []string{"old1", "old2"})
			}
			if last == "keep" || last == "replace" {
				ids, _ = idsAndEpoch(t, filepath.Join(after, "test.db.before-restore"))
				same(t, "kept", ids, []string{"old1", "old2"})
			}
			// The next try succeeds, whatever the last one has left.
			if last != "replace" {
				path := filepath.Join(after, "test.db")
				restored, err := Restore(t.Context(), RestoreConfig{From: from, Path: path, Replace: true})
				if err != nil || restored.Kept == "" {
					t.Errorf("again: %+v, %v", restored, err)
				}
			}
			// What has failed, not crashed, leaves nothing of its own.
			for name := range contents(t, filepath.Dir(path)) {
				if strings.Contains(name, ".part") {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

// A process that has opened the old file and waits for its lock does not get to
// write it, nor a log beside the new one.
func TestRestoreOvertakesOpening(t *testing.T) {
	from := backupOf(t, wear(t))
	for name, path := range map[string]string{"with a log": killed(t, "old"), "without": backupOf(t, killed(t, "old"))} {
		t.Run(name, func(t *testing.T) { overtake(t, from, path) })
	}
}

func overtake(t *testing.T, from, path string) {
	late, err := sql.Open("sqlite", dsn(path, "busy_timeout(0)")+"&mode=rw")
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	late.SetMaxOpenConns(1)
	if _, err := Restore(t.Context(), RestoreConfig{From: from, Path: path, Replace: true, stepped: func(step string) error {
		if step == "copy" {
			if _, err := late.Exec(`PRAGMA journal_mode = WAL`); !isBusy(err) {
				t.Errorf("while it is restored: %v", err)
			}
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Exec(`PRAGMA journal_mode = WAL`); err == nil {
		t.Error("the old file has a log under the new one's name")
	}
	if _, err := late.Exec(`DELETE FROM tasks`); err == nil {
		t.Error("the old file was written")
	}
	same(t, "files", len(contents(t, filepath.Dir(path))), 2)
	same(t, "tasks", sound(t, path).Tasks, 6)
	same(t, "kept", sound(t, path+".before-restore").Tasks, 1)
}

// A database that cannot be read is kept as it is, and its log is not found beside
// the new one.
func TestRestoreOverDamaged(t *testing.T) {
	from := backupOf(t, wear(t))
	for name, left := range map[string]string{"another header": strings.Repeat("gone", 5000), "cut off": "SQLite format 3\x00...", "missing": ""} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			// A log without the page that says what the file is.
			if err := errors.Join(os.WriteFile(path, []byte(left), 0o600), os.WriteFile(path+"-wal", []byte("log"), 0o600)); err != nil {
				t.Fatal(err)
			}
			if left == "" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			restored, err := Restore(t.Context(), RestoreConfig{From: from, Path: path, Replace: true})
			if err != nil {
				t.Fatal(err)
			}
			files := contents(t, filepath.Dir(path))
			if restored.Kept != path+".before-restore" || files["test.db.before-restore"] != left {
				t.Errorf("%+v, kept %q", restored, files["test.db.before-restore"])
			}
			if _, log := files["test.db-wal"]; log || left == "" && files["test.db.before-restore-wal"] != "log" {
				t.Errorf("there are %q", slices.Sorted(maps.Keys(files)))
			}
			same(t, "tasks", sound(t, path).Tasks, 6)
		})
	}
}

// Nothing is kept of a database that holds nothing, and there need not be one.
func TestRestoreNew(t *testing.T) {
	oneGoroutine(t)
	from := backupOf(t, wear(t))
	empty, none := filepath.Join(t.TempDir(), "empty.db"), filepath.Join(t.TempDir(), "none.db")
	fresh := filepath.Join(t.TempDir(), "fresh.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, fresh).Close(); err != nil {
		t.Fatal(err)
	}
	epochs := make(map[string]bool)
	for _, path := range []string{empty, none, fresh} {
		restored, err := Restore(t.Context(), RestoreConfig{From: from, Path: path})
		if err != nil || restored.Kept != "" || len(contents(t, filepath.Dir(path))) != 1 {
			t.Errorf("%s: %+v, %v", path, restored, err)
		}
		_, epoch := idsAndEpoch(t, path)
		epochs[epoch] = true
	}
	same(t, "epochs", len(epochs), 3)
}

// A backup of an older format becomes a database of the present one.
func TestRestoreOlderFormat(t *testing.T) {
	from, path := released(t, 1), filepath.Join(t.TempDir(), "test.db")
	before := keptOf(t, from)
	if _, err := Restore(t.Context(), RestoreConfig{From: from, Path: path}); err != nil {
		t.Fatal(err)
	}
	same(t, "format", sound(t, path).Format, len(migrations()))
	same(t, "contents", keptOf(t, path)[1:], before[1:])
	same(t, "format of the backup", sound(t, from).Format, 1)
}
