package bench

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the floor
)

// bareWrites lets callers write the rows of a task and its event for a while, each one
// after the other, and gives the rate and the microseconds of processor time of each. The
// callers are in the process of the writer: what is missing is a network, and all that
// makes rows a service: rules, triggers, secondary indexes, answers.
func bareWrites(b *testing.B, callers int) (rate, cpu float64) {
	b.Helper()
	w := openBare(b)
	var wrote atomic.Int64
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	used, began := processorTime(b), time.Now()
	deadline := began.Add(duration(b))
	for range callers {
		running.Go(func() {
			for time.Now().Before(deadline) {
				if err := w.write(); err != nil {
					failed.Store(&err)
					return
				}
				wrote.Add(1)
			}
		})
	}
	running.Wait()
	took, used := time.Since(began), processorTime(b)-used
	w.close()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return float64(wrote.Load()) / took.Seconds(), used.Seconds() * 1e6 / float64(wrote.Load())
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// document is that of a task, of about 600 bytes.
var document = `{"description":"` + strings.Repeat("lorem ipsum ", 28) + `"}` + strings.Repeat(" ", 200)

// bareWriter writes in groups of up to 256, as the daemon does.
type bareWriter struct {
	queue chan chan error
	done  chan struct{}
	n     int
}

func openBare(b *testing.B) *bareWriter {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "bare.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(2000)")
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, `
			CREATE TABLE tasks (num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT, description TEXT, status TEXT,
				priority TEXT, complexity TEXT, assigned_to TEXT, dependencies TEXT, metadata TEXT, created_at INTEGER,
				updated_at INTEGER, version INTEGER, ready INTEGER, leased_by TEXT, document TEXT);
			CREATE TABLE journal (seq INTEGER PRIMARY KEY, task_id TEXT, change_type TEXT, task TEXT, new_status TEXT,
				origin TEXT, timestamp INTEGER)`)
	}
	if err != nil {
		b.Fatal(err)
	}
	w := &bareWriter{queue: make(chan chan error, 1024), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.run(ctx, conn)
		_ = conn.Close()
		_ = db.Close()
	}()
	return w
}

func (w *bareWriter) close() {
	close(w.queue)
	<-w.done
}

func (w *bareWriter) write() error {
	answer := make(chan error, 1)
	w.queue <- answer
	return <-answer
}

func (w *bareWriter) run(ctx context.Context, conn *sql.Conn) {
	task, err := conn.PrepareContext(ctx, `INSERT INTO tasks (id, title, description, status, priority, complexity, assigned_to,
		dependencies, metadata, created_at, updated_at, version, ready, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	event, err2 := conn.PrepareContext(ctx, `INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)`)
	if err != nil || err2 != nil {
		panic(fmt.Sprint(err, err2))
	}
	for first := range w.queue {
		group := []chan error{first}
		for len(group) < 256 && len(w.queue) > 0 {
			group = append(group, <-w.queue)
		}
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		for range group {
			w.n++
			id := fmt.Sprintf("01a20a06-9abe-7d91-a925-%012d", w.n)
			if err == nil {
				_, err = task.Exec(id, "benchmark", document[16:352], "todo", "medium", "moderate", "bench", "[]", "{}", w.n, w.n, w.n, 1, document)
			}
			if err == nil {
				_, err = event.Exec(w.n, id, "created", document, "todo", "rpc", w.n)
			}
		}
		if err == nil {
			_, err = conn.ExecContext(ctx, "COMMIT")
		}
		for _, answer := range group {
			answer <- err
		}
	}
}
