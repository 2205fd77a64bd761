package integration

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/schema"
)

// SIGKILL leaves what the kernel has not yet written to the disk. That a power cut
// would leave it, too, is seen in the system calls: between the write of a commit
// into the log and the first answer or event that tells of it the log is synced.
func TestDurableBeforeVisible(t *testing.T) {
	t.Parallel()
	db := database(t)
	d, trace := traceDaemon(t, db)
	c := d.dial()
	s := subscribe(t, c, schema.SubscribeParams{})
	task := create(t, c, "task")
	next(t, s)
	var marks []string
	for i := range 20 {
		mark := fmt.Sprintf("mark-%02d", i)
		marks = append(marks, mark)
		if i%2 == 0 {
			create(t, c, mark)
		} else if _, err := c.Update(t.Context(), schema.UpdateParams{ID: task.ID, Patch: schema.Patch{Title: schema.Some(mark)}}); err != nil {
			t.Fatal(err)
		}
		if event := next(t, s); kit.TitleOf(&event) != mark {
			t.Fatalf("event %+v, want %s", event, mark)
		}
	}
	trace.awaitCheckpoint()
	c.Close()
	d.stop()
	calls := trace.all()

	told := 0
	for _, mark := range marks {
		told = calls.requireSyncedBeforeTold(t, db, mark)
	}
	first := calls.requireSyncedBeforeTold(t, db, marks[0])
	calls.requireFolderSynced(t, db, first)
	calls.requireFolderSynced(t, db+"-wal", first)
	checkpoints := calls.requireCheckpointsSynced(t, db)
	if checkpoints[len(checkpoints)-1] < told {
		t.Errorf("no checkpoint after the writes: %v", checkpoints)
	}
	syncs := 0
	for _, c := range calls {
		if c.isSync() && c.path == db+"-wal" {
			syncs++
		}
	}
	if commits := 1 + len(marks); syncs < commits { // each waited for its answer: a commit of its own
		t.Errorf("%d commits, but the log was synced %d times", commits, syncs)
	}
	t.Logf("%d system calls, %d writes, %d syncs of the log, %d checkpoints", len(calls), len(marks), syncs, len(checkpoints))
}

// call is a system call of the daemon. The numbers are lines of the trace: of two
// threads, one has ended before the other begins if its number is lower.
type call struct {
	name, path, arguments string
	data                  []byte // that it wrote
	began, ended          int
}

func (c *call) isSync() bool { return c.name == "fsync" || c.name == "fdatasync" }
func (c *call) isWrite() bool {
	return strings.HasPrefix(c.name, "pwrite") || strings.HasPrefix(c.name, "write") || c.name == "sendto"
}

// offset is where a pwrite64 wrote.
func (c *call) offset() int64 {
	words := strings.Split(c.arguments, ", ")
	n, _ := strconv.ParseInt(words[len(words)-1], 10, 64)
	return n
}

type calls []call

// synced tells whether a sync of a file began after one line and ended before
// another.
func (all calls) synced(path string, after, before int) bool {
	return slices.ContainsFunc(all, func(c call) bool {
		return c.isSync() && c.path == path && c.began > after && c.ended < before
	})
}

// lastWrite gives the last write to a file that ended before a line, nil if there
// is none.
func (all calls) lastWrite(path string, before int) *call {
	var last *call
	for i := range all {
		if c := &all[i]; c.isWrite() && c.path == path && c.ended < before && (last == nil || c.ended > last.ended) {
			last = c
		}
	}
	return last
}

// requireSyncedBeforeTold checks a write that has a text which no other one has, and
// gives the line at which a peer is told of it.
func (all calls) requireSyncedBeforeTold(t *testing.T, db, mark string) (told int) {
	t.Helper()
	isSocket := func(c call) bool { return strings.HasPrefix(c.path, "TCP") || strings.HasPrefix(c.path, "UNIX") }
	has := func(c call) bool { return c.isWrite() && bytes.Contains(c.data, []byte(mark)) }
	logged := slices.IndexFunc(all, func(c call) bool { return c.path == db+"-wal" && has(c) })
	toldIndex := slices.IndexFunc(all, func(c call) bool { return isSocket(c) && has(c) })
	if logged < 0 || toldIndex < 0 {
		t.Fatalf("%s: in the log at call %d, told at call %d", mark, logged, toldIndex)
	}
	committed := all.commitFrame(t, db+"-wal", logged)
	if told = all[toldIndex].began; !all.synced(db+"-wal", all[committed].ended, told) {
		t.Errorf("%s: its commit is in the log at line %d and told of at line %d, with no sync between", mark, all[committed].ended, told)
	}
	return told
}

// commitFrame gives the write of the page with which the transaction ends that the
// given write of a page belongs to. Before each page SQLite writes a header, in
// which the size of the database stands where it is the last one
// (https://sqlite.org/fileformat.html, section 4.1).
func (all calls) commitFrame(t *testing.T, wal string, page int) int {
	t.Helper()
	commits := false
	for i := range all {
		if c := &all[i]; c.path != wal || !c.isWrite() {
			continue
		} else if len(c.data) == frameHeader {
			commits = !bytes.Equal(c.data[4:8], make([]byte, 4))
		} else if commits && i >= page {
			return i
		}
	}
	t.Fatalf("the transaction of call %d has no end", page)
	return 0
}

// requireFolderSynced checks that a new file is still there after a power cut.
func (all calls) requireFolderSynced(t *testing.T, path string, before int) {
	t.Helper()
	made := slices.IndexFunc(all, func(c call) bool {
		return strings.HasPrefix(c.name, "open") && c.path == path && strings.Contains(c.arguments, "O_CREAT")
	})
	if made < 0 || !all.synced(filepath.Dir(path), all[made].ended, before) {
		t.Errorf("%s was made at call %d, and its folder not synced before line %d", path, made, before)
	}
}

// requireCheckpointsSynced checks that the log is synced before a page of it goes
// into the database, and the database before the log is begun anew. It gives the
// lines at which it is.
func (all calls) requireCheckpointsSynced(t *testing.T, db string) (begunAnew []int) {
	t.Helper()
	wal := db + "-wal"
	for i := range all {
		c := &all[i]
		switch {
		case c.isWrite() && c.path == db:
			if last := all.lastWrite(wal, c.began); last != nil && !all.synced(wal, last.ended, c.began) {
				t.Errorf("line %d writes into the database what the log has since line %d, which was not synced", c.began, last.ended)
			}
		case c.path == wal && (c.name == "ftruncate" || c.isWrite() && c.offset() == 0):
			last := all.lastWrite(db, c.began)
			if last != nil && !all.synced(db, last.ended, c.began) {
				t.Errorf("line %d begins the log anew, and the database was not synced after line %d", c.began, last.ended)
			}
			if last != nil && c.name == "ftruncate" {
				begunAnew = append(begunAnew, c.began)
			}
		}
	}
	if len(begunAnew) == 0 {
		t.Fatal("there was no checkpoint")
	}
	return begunAnew
}

// tracer reads what strace writes.
type tracer struct {
	t         *testing.T
	truncated chan struct{} // one slot: the log was emptied
	done      chan struct{}
	calls     calls // after done
	err       error // after done
}

// traceDaemon starts a daemon under strace.
func traceDaemon(t *testing.T, db string) (*daemon, *tracer) {
	t.Helper()
	strace := need(t, "strace")
	if out, err := exec.Command(strace, "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("strace: %v: %s", err, out)
		}
		t.Skipf("strace may not trace here: %v: %s", err, out)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// -D: the daemon is the child of this process. -xx: all text as hexadecimal digits.
	command := exec.Command(strace, append([]string{
		"-D", "-f", "-yy", "-xx", "-s", "4200", "-o", "/dev/fd/3",
		"-e", "trace=open,openat,pwrite64,write,writev,sendto,fsync,fdatasync,ftruncate", binary,
	}, serveArguments(db)...)...)
	command.ExtraFiles = []*os.File{write}
	r := &tracer{t: t, truncated: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer read.Close()
		r.read(read, db+"-wal")
	}()
	t.Cleanup(func() { <-r.done })
	d := launch(t, db, command)
	write.Close()
	d.awaitReady()
	return d, r
}

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	hexText     = regexp.MustCompile(`(?:\\x[0-9a-f]{2})+`)
	openFile    = regexp.MustCompile(`^\d+<(.*?)>(, |\)| )`)
	resultFile  = regexp.MustCompile(` = \d+<(.*)>$`)
	writtenText = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
)

func (r *tracer) read(from io.Reader, wal string) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	unfinished := make(map[string]int) // thread -> its call
	for n := 1; lines.Scan(); n++ {
		if m := callLine.FindStringSubmatch(lines.Text()); m != nil {
			arguments, cut := strings.CutSuffix(m[3], " <unfinished ...>")
			r.calls = append(r.calls, call{name: m[2], arguments: arguments, began: n, ended: n})
			if cut {
				unfinished[m[1]] = len(r.calls) - 1
				continue
			}
			r.calls[len(r.calls)-1].understand()
		} else if m := resumedLine.FindStringSubmatch(lines.Text()); m != nil {
			c := &r.calls[unfinished[m[1]]]
			c.arguments += m[2]
			c.ended = n
			c.understand()
		}
		if c := &r.calls[len(r.calls)-1]; c.name == "ftruncate" && c.path == wal {
			select {
			case r.truncated <- struct{}{}:
			default:
			}
		}
	}
	r.err = lines.Err()
}

// understand takes the arguments of a finished call apart.
func (c *call) understand() {
	if m := writtenText.FindStringSubmatch(c.arguments); m != nil && c.isWrite() {
		c.data = unhex(m[1])
	}
	if i := strings.LastIndex(c.arguments, " = "); i >= 0 {
		if m := resultFile.FindStringSubmatch(c.arguments[i:]); m != nil {
			c.path = string(unhex(m[1]))
		}
		c.arguments = strings.TrimRight(c.arguments[:i], " )")
	}
	if m := openFile.FindStringSubmatch(c.arguments + " "); m != nil {
		c.path = string(unhex(m[1]))
	}
}

// unhex gives text as it was before -xx.
func unhex(text string) []byte {
	return hexText.ReplaceAllFunc([]byte(text), func(digits []byte) []byte {
		plain, err := hex.DecodeString(strings.ReplaceAll(string(digits), `\x`, ""))
		if err != nil {
			return digits
		}
		return plain
	})
}

// awaitCheckpoint waits until the daemon, which has nothing else to do, has moved
// the log into the database.
func (r *tracer) awaitCheckpoint() {
	r.t.Helper()
	select {
	case <-r.truncated: // that of the start, perhaps
	default:
	}
	select {
	case <-r.truncated:
	case <-r.done:
		r.t.Fatal("the daemon has ended")
	case <-time.After(30 * time.Second):
		r.t.Fatal("there was no checkpoint for 30 s")
	}
}

// all gives the calls of a daemon that has ended.
func (r *tracer) all() calls {
	r.t.Helper()
	<-r.done
	if r.err != nil {
		r.t.Fatal(r.err)
	}
	return r.calls
}
