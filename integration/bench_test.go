package integration

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	_ "modernc.org/sqlite" // the floor that the daemon is compared with

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// The benchmarks create tasks of about 600 bytes, each caller one after the other,
// through the daemon and through bare SQLite: compare the two of one run.

var callers = []int{1, 64}

var description = strings.Repeat("lorem ipsum ", 28)

func BenchmarkCreate(b *testing.B) {
	for _, n := range callers {
		b.Run(fmt.Sprint("connections=", n), func(b *testing.B) {
			url := benchDaemon(b)
			clients := make([]*client.Client, n)
			for i := range clients {
				c, err := client.Dial(b.Context(), url, client.Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				clients[i] = c
			}
			share(b, n, func(caller int) error {
				_, err := clients[caller].Create(context.Background(), schema.Draft{Title: "benchmark", Description: &description})
				return err
			})
		})
	}
}

// BenchmarkBareSQLite is the floor: the same rows, journaled, grouped and synced
// the same way, by callers in the same process as the writer.
func BenchmarkBareSQLite(b *testing.B) {
	for _, n := range callers {
		b.Run(fmt.Sprint("callers=", n), func(b *testing.B) {
			w := newBareWriter(b)
			share(b, n, func(int) error { return w.write() })
		})
	}
}

// share lets n callers make b.N calls together.
func share(b *testing.B, n int, call func(caller int) error) {
	work := make(chan struct{}, n)
	var running sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		running.Go(func() {
			for range work {
				if err := call(i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	running.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

func benchDaemon(b *testing.B) (url string) {
	command := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--log-level", "error",
		"--db", filepath.Join(b.TempDir(), "descartes.db"))
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			b.Error(err)
		}
		if err := command.Wait(); err != nil {
			b.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.Fields(line)[1]
}

// bareWriter writes rows of a task and its event in groups of up to 256.
type bareWriter struct {
	queue chan chan error
	n     int
}

func newBareWriter(b *testing.B) *bareWriter {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "bare.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(2000)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	conn, err := db.Conn(b.Context())
	if err == nil {
		_, err = conn.ExecContext(b.Context(), `CREATE TABLE tasks (num INTEGER PRIMARY KEY, id TEXT UNIQUE, title TEXT,
			description TEXT, status TEXT, created_at INTEGER, document TEXT);
			CREATE TABLE journal (seq INTEGER PRIMARY KEY, task_id TEXT, change_type TEXT, task TEXT, timestamp INTEGER)`)
	}
	if err != nil {
		b.Fatal(err)
	}
	w := &bareWriter{queue: make(chan chan error, 1024)}
	done := make(chan struct{})
	b.Cleanup(func() { close(w.queue); <-done; conn.Close() })
	go func() {
		defer close(done)
		w.run(conn)
	}()
	return w
}

func (w *bareWriter) write() error {
	answer := make(chan error, 1)
	w.queue <- answer
	return <-answer
}

func (w *bareWriter) run(conn *sql.Conn) {
	ctx := context.Background()
	task, err := conn.PrepareContext(ctx, `INSERT INTO tasks (id, title, description, status, created_at, document) VALUES (?, ?, ?, ?, ?, ?)`)
	event, err2 := conn.PrepareContext(ctx, `INSERT INTO journal (task_id, change_type, task, timestamp) VALUES (?, ?, ?, ?)`)
	if err != nil || err2 != nil {
		panic(fmt.Sprint(err, err2))
	}
	document := `{"description":"` + description + `"}` + strings.Repeat(" ", 200)
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
				_, err = task.Exec(id, "benchmark", description, "todo", w.n, document)
			}
			if err == nil {
				_, err = event.Exec(id, "created", document, w.n)
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
