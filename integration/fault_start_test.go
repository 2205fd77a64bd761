package integration

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRefusedStarts: a daemon that cannot work with what it finds says so in one
// line, exits with 1, and leaves everything as it is.
func TestRefusedStarts(t *testing.T) {
	write := func(text string) func(t *testing.T, db string) {
		return func(t *testing.T, db string) {
			if err := os.WriteFile(db, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	script := func(statements string) func(t *testing.T, db string) {
		return func(t *testing.T, db string) {
			if err := shell(t, db, statements); err != nil {
				t.Fatal(err)
			}
		}
	}
	made := func(then func(db string) error) func(t *testing.T, db string) {
		return func(t *testing.T, db string) {
			d := serve(t, db)
			create(t, d.dial(), "a task")
			d.stop()
			if err := then(db); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, db string)
		nobody  bool // the daemon runs as somebody who may do nothing
		reason  string
	}{
		{"text", write(strings.Repeat("my notes\n", 1000)), false, "not a database"},
		{"zeros", write(strings.Repeat("\x00", 8192)), false, "not a database"},
		{"folder", func(t *testing.T, db string) {
			if err := os.Mkdir(db, 0o755); err != nil {
				t.Fatal(err)
			}
		}, false, "not a database"},
		{"pipe", func(t *testing.T, db string) {
			if err := unix.Mkfifo(db, 0o600); err != nil {
				t.Fatal(err)
			}
		}, false, "not a database"},
		{"folder missing", func(t *testing.T, db string) {
			if err := os.Remove(filepath.Dir(db)); err != nil {
				t.Fatal(err)
			}
		}, false, "no such file or directory"},
		{"other application", script(`CREATE TABLE notes (text)`), false, "another application"},
		{"newer version", script(`PRAGMA application_id = 0x44637274; PRAGMA user_version = 99; CREATE TABLE t (a)`), false, "newer version"},
		{"damaged", made(func(db string) error { return os.Truncate(db, 20<<10) }), false, "damaged"},
		{"read-only file", made(func(db string) error {
			return os.Chmod(db, 0o444)
		}), true, "permission denied"},
		{"read-only folder", made(func(db string) error {
			if err := os.Chmod(db, 0o666); err != nil {
				return err
			}
			return os.Chmod(filepath.Dir(db), 0o555)
		}), true, "its folder is read-only"},
		{"read-only folder, no file", func(t *testing.T, db string) {
			if err := os.Chmod(filepath.Dir(db), 0o555); err != nil {
				t.Fatal(err)
			}
		}, true, "permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			directory := publicFolder(t)
			db := filepath.Join(directory, "descartes.db")
			test.prepare(t, db)
			before := everything(t, directory)
			command := exec.Command(binary, serveArguments(db)...)
			if test.nobody {
				asNobody(t, command)
			}
			mustRefuse(t, command, db, test.reason)
			if after := everything(t, directory); after != before {
				t.Errorf("there was\n%s\nthere is\n%s", before, after)
			}
		})
	}
}

// mustRefuse runs a daemon that is not to start.
func mustRefuse(t *testing.T, command *exec.Cmd, db, reason string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	line := stderr.String()
	if command.ProcessState == nil || command.ProcessState.ExitCode() != 1 || stdout.Len() > 0 {
		t.Errorf("serve ended with %v and printed %q", err, stdout.String())
	}
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, db) || !strings.Contains(line, reason) {
		t.Errorf("serve said %q, want one line with %q", line, reason)
	}
}

// asNobody lets a command run as a user without any rights.
func asNobody(t *testing.T, command *exec.Cmd) {
	t.Helper()
	needRoot(t)
	// The binary is in a folder of root: this is a copy that anybody may run.
	copied := filepath.Join(publicFolder(t), "descartes")
	// By cp: while this process had it open for writing, a child of another test could
	// inherit that, and nobody could run it.
	if out, err := exec.Command("cp", binary, copied).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	command.Path = copied
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// publicFolder makes a folder that anybody can enter.
func publicFolder(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "descartes-fault")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(directory) })
		err = os.Chmod(directory, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return directory
}

// everything gives what is below a folder: names, modes, sizes, contents.
func everything(t *testing.T, directory string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all.WriteString(path + " " + info.Mode().String())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			all.WriteString(" " + string(text))
			return err
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all.String()
}

// TestStartOnFullDisk: a file that is there is served, as long as the disk has room
// for what SQLite keeps beside it; else the start is refused, and possible again as
// soon as there is room.
func TestStartOnFullDisk(t *testing.T) {
	t.Parallel()
	directory := smallDisk(t, "16m")
	db := filepath.Join(directory, "descartes.db")
	free := fillDisk(t, directory, 0)
	mustRefuse(t, exec.Command(binary, serveArguments(db)...), db, "the disk is full")
	free()
	p := admit(t, db)
	for range 100 {
		p.mustWrite()
	}
	p.mustStop()
	free = fillDisk(t, directory, 0)
	mustRefuse(t, exec.Command(binary, serveArguments(db)...), db, "the disk is full")
	free()
	p.mustBeSound()
	p.start(t, db)
	free = fillDisk(t, directory, 0)
	p.mustFail("the disk is full")
	p.kill() // with a log and its index beside the file
	p.start(t, db)
	p.mustRead()
	p.mustFail("the disk is full")
	free()
	p.mustWrite()
	p.mustStop()
	p.mustBeSound()
}
