package integration

import (
	"bytes"
	endian "encoding/binary" // binary is the daemon
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// After a power cut the write-ahead log holds what was synced, and of what was
// written since then any part. Wherever it is cut, and whatever stands after the
// cut, the file opens, is intact and holds exactly the transactions that are
// complete before the cut: all that was acknowledged by then, and nothing by half.
//
// DESCARTES_CUTS=N makes N more cuts at random places (40).
func TestLogCutAnywhere(t *testing.T) {
	t.Parallel()
	seed := uint64(kit.FromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))
	t.Logf("DESCARTES_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	run := recordLog(t)
	last := run.load(t, run.log)
	if last.Last != run.marks[len(run.marks)-1].seq {
		t.Fatalf("the whole log leads to %d, acknowledged was %+v", last.Last, run.marks[len(run.marks)-1])
	}
	cuts := 0
	try := func(at int64, tail func([]byte)) {
		t.Helper()
		cuts++
		log := slices.Clone(run.log[:at])
		if tail != nil {
			log = slices.Clone(run.log)
			tail(log[at:])
		}
		run.requirePrefix(t, last, at, run.load(t, log))
	}
	try(0, nil)
	for _, end := range run.commits {
		for at := max(0, end-1); at <= min(end+1, int64(len(run.log))); at++ {
			try(at, nil)
		}
	}
	for range kit.FromEnvironment(t, "DESCARTES_CUTS", 40) {
		at := random.Int64N(run.end)
		switch random.IntN(5) {
		case 0:
			try(at, nil)
		case 1:
			try(at, func(tail []byte) { clear(tail) })
		case 2:
			try(at, func(tail []byte) {
				for i := range tail {
					tail[i] = byte(random.Uint32())
				}
			})
		case 3: // what stood there before
			try(at, func(tail []byte) { copy(tail, run.older[min(int(at), len(run.older)):]) })
		default: // one bit, and what follows is as it was
			try(at, func(tail []byte) { tail[0] ^= 1 << random.IntN(8) })
		}
	}
	t.Logf("%d cuts of a log of %d bytes with %d commits, %d of them acknowledged writes; %d events before it",
		cuts, run.end, len(run.commits), len(run.marks), run.base)
}

// A daemon starts on the file with its log cut, goes on from there, and tells a
// subscriber whose cursor is beyond that it is ahead.
func TestDaemonStartsOnCutLog(t *testing.T) {
	run := recordLog(t)
	for _, n := range []int{0, len(run.marks) / 2, len(run.marks) - 1} {
		have := run.marks[n]
		db := run.copy(t, run.log[:have.end+frameHeader+1]) // and a part of the next frame
		d := serve(t, db)
		c := d.dial()
		since := schema.Cursor{Epoch: run.epoch, Seq: run.base}.String()
		s := subscribe(t, c, schema.SubscribeParams{Since: &since})
		for seq := run.base + 1; seq <= have.seq; seq++ {
			if event := next(t, s); event.Seq != seq {
				t.Fatalf("event %d, want %d", event.Seq, seq)
			}
		}
		ahead := schema.Cursor{Epoch: run.epoch, Seq: have.seq + 1}.String()
		_, err := c.Subscribe(t.Context(), schema.SubscribeParams{Since: &ahead})
		if coded, ok := errors.AsType[*schema.Error](err); !ok || coded.Code != schema.CodeCursorExpired ||
			coded.Data.ReasonDetail != schema.CursorAhead {
			t.Errorf("a cursor that is ahead: %v", err)
		}
		if task := create(t, c, "afterwards"); task.Version != have.seq+1 || next(t, s).Seq != task.Version {
			t.Errorf("the next write is %d after %d", task.Version, have.seq)
		}
		d.stop()
		kit.ReadFile(t, db)
	}
}

// mark is an acknowledged write, and where the log ended at that time.
type mark struct{ seq, end int64 }

// logRun is a database file and the log that was written after it.
type logRun struct {
	epoch    string
	database []byte // when the log was begun
	base     int64  // the newest seq in it
	older    []byte // the log that was there before and has been overwritten
	log      []byte
	marks    []mark
	commits  []int64 // where the transactions of the log end
	end      int64
}

// recordLog lets a daemon write until its log begins anew over the old one, after a
// checkpoint, and then makes forty writes more.
func recordLog(t *testing.T) *logRun {
	t.Helper()
	db := database(t)
	d := serve(t, db)
	c := d.dial()
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := &logRun{epoch: info.Epoch}
	w := &logWriter{t: t, c: c}
	log := &walScan{path: db + "-wal"}
	log.advance(t)
	for anew := false; len(run.marks) < 40; {
		before := w.seq
		w.write()
		begun := log.advance(t)
		switch {
		case begun && before > 0:
			// The first transaction of a log: everything before it is in the database. An
			// idle daemon, which this is to one who waits for a processor, moves it there, too.
			run.database, run.base, run.marks = readAll(t, db), before, nil
			anew = run.load(t, nil).Last == before
		case !anew && run.older == nil && log.end > 2<<20:
			run.older = readAll(t, log.path)
		}
		if anew {
			run.marks = append(run.marks, mark{w.seq, log.commits[len(log.commits)-1]})
		}
		if len(run.marks) == 40 {
			run.log = readAll(t, log.path)
			if int64(len(run.log)) < log.end { // moved in this moment
				anew, run.marks = false, nil
			}
		}
	}
	d.kill()
	run.commits, run.end = log.commits, run.marks[len(run.marks)-1].end
	const rest = 64 << 10 // of what the old log left behind the new one
	run.log = run.log[:min(run.end+rest, int64(len(run.log)))]
	return run
}

// load opens the database with a log.
func (r *logRun) load(t *testing.T, log []byte) *kit.File {
	t.Helper()
	db := r.copy(t, log)
	defer os.RemoveAll(filepath.Dir(db))
	return kit.ReadFile(t, db)
}

// copy makes the files of the database with a log.
func (r *logRun) copy(t *testing.T, log []byte) string {
	t.Helper()
	folder, err := os.MkdirTemp(t.TempDir(), "cut")
	db := filepath.Join(folder, "descartes.db")
	if err = errors.Join(err, os.WriteFile(db, r.database, 0o600), os.WriteFile(db+"-wal", log, 0o600)); err != nil {
		t.Fatal(err)
	}
	return db
}

// requirePrefix checks that a file holds what was complete in the log up to a place,
// and nothing else.
func (r *logRun) requirePrefix(t *testing.T, last *kit.File, at int64, got *kit.File) {
	t.Helper()
	have, next := mark{seq: r.base}, r.marks[0]
	for i, m := range r.marks {
		if m.end <= at {
			have, next = m, r.marks[min(i+1, len(r.marks)-1)]
		}
	}
	// A write may be complete before the place that the log had when it was answered:
	// the daemon has perhaps written something else, too, by then.
	another := slices.ContainsFunc(r.commits, func(end int64) bool { return have.end < end && end <= at })
	if got.Last != have.seq && !(another && got.Last == next.seq) {
		t.Fatalf("cut at %d: the journal ends at %d, acknowledged by then was %d", at, got.Last, have.seq)
	}
	for i, record := range got.Records {
		if record.Sum != last.Records[i].Sum || record.Before != last.Records[i].Before {
			t.Fatalf("cut at %d: event %d is another one", at, record.Seq)
		}
	}
}

// logWriter makes writes one after the other.
type logWriter struct {
	t   *testing.T
	c   *client.Client
	n   int
	seq int64 // of the last event
	ids []string
}

// write makes one of four kinds of write.
func (w *logWriter) write() {
	w.t.Helper()
	w.n++
	id := fmt.Sprint("task-", w.n)
	draft := &schema.Draft{ID: id, Title: id}
	create := schema.Operation{Op: schema.OpCreate, Create: draft}
	if len(w.ids) < 2 {
		w.apply(create)
		w.ids = append(w.ids, id)
		return
	}
	update := schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{
		ID: w.ids[0], Patch: schema.Patch{Title: schema.Some(id)},
	}}
	remove := schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: w.ids[1]}}
	switch w.n % 4 {
	case 0:
		w.apply(create)
		w.ids = append(w.ids, id)
	case 1:
		w.apply(update)
	case 2:
		w.apply(remove)
		w.ids = slices.Delete(w.ids, 1, 2)
	default:
		w.apply(create, update, remove)
		w.ids = append(slices.Delete(w.ids, 1, 2), id)
	}
}

func (w *logWriter) apply(operations ...schema.Operation) {
	w.t.Helper()
	applied, err := w.c.Apply(w.t.Context(), operations...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.seq = kit.Versions(applied)[len(operations)-1]
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const (
	walHeader   = 32 // bytes before the first frame of the write-ahead log
	frameHeader = 24 // bytes before the page of a frame
)

// walScan finds the valid frames of a write-ahead log that grows
// (https://sqlite.org/fileformat.html, section 4).
type walScan struct {
	path    string
	salt    []byte    // tells one log from the next one in the same file
	sums    [2]uint32 // over everything before end
	end     int64     // of the last valid frame
	commits []int64   // where transactions end
}

// advance reads what was added, and tells whether the log was begun anew.
func (s *walScan) advance(t *testing.T) (anew bool) {
	t.Helper()
	log, err := os.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	header := make([]byte, walHeader)
	if _, err := log.ReadAt(header, 0); err != nil || endian.BigEndian.Uint32(header)&^1 != 0x377f0682 {
		return false
	}
	order := endian.ByteOrder(endian.LittleEndian)
	if header[3]&1 == 1 {
		order = endian.BigEndian
	}
	if salt := header[16:24]; !bytes.Equal(salt, s.salt) {
		*s = walScan{path: s.path, salt: salt, sums: sum(order, [2]uint32{}, header[:24]), end: walHeader}
		anew = true
	}
	frame := make([]byte, frameHeader+endian.BigEndian.Uint32(header[8:]))
	for {
		if _, err := log.ReadAt(frame, s.end); err != nil {
			return anew // there is no more
		}
		sums := sum(order, sum(order, s.sums, frame[:8]), frame[frameHeader:])
		if !bytes.Equal(frame[8:16], s.salt) || endian.BigEndian.Uint32(frame[16:]) != sums[0] || endian.BigEndian.Uint32(frame[20:]) != sums[1] {
			return anew // it is of the log before
		}
		s.sums, s.end = sums, s.end+int64(len(frame))
		if endian.BigEndian.Uint32(frame[4:]) != 0 {
			s.commits = append(s.commits, s.end)
		}
	}
}

// sum continues the checksum of the log.
func sum(order endian.ByteOrder, s [2]uint32, data []byte) [2]uint32 {
	for ; len(data) >= 8; data = data[8:] {
		s[0] += order.Uint32(data) + s[1]
		s[1] += order.Uint32(data[4:]) + s[0]
	}
	return s
}
