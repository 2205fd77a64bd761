package rpc_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// stuck is how long nothing may happen before the test says that it hangs.
const stuck = 30 * time.Second

// world is a daemon on a file, those who use it, and the model.
type world struct {
	t       *rapid.T
	url     string
	outside *sql.Conn // another writer of the file
	history history
	pruned  atomic.Int64 // history.pruned, for those who read
	peers   []*peer
	subs    []*subscriber
	dialed  int // peers ever
	bursts  sync.WaitGroup

	mu      sync.Mutex
	err     error // the first failure that another goroutine found
	failed  chan struct{}
	answers []answer // not yet compared
	lost    int      // operations without an answer, ever
}

// answer is what a write was answered with.
type answer struct {
	peer    int
	version int64
	id      string
	task    string // "" for a deletion
	made    bool   // it was this write that made it; an update may have changed nothing
}

// emptyDatabase gives the bytes of a new file: making one takes longer than most
// of what is done with it here.
func emptyDatabase(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "descartes.db")
	db, err := storage.Open(t.Context(), storage.Config{Path: path})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func newWorld(t *rapid.T, file []byte) *world {
	w := &world{t: t, failed: make(chan struct{}), history: history{now: map[string]*entry{}}}
	directory, err := os.MkdirTemp("", "property")
	w.must(err)
	t.Cleanup(func() { os.RemoveAll(directory) })
	path := filepath.Join(directory, "descartes.db")
	w.must(os.WriteFile(path, file, 0o600))
	db, err := storage.Open(context.Background(), storage.Config{Path: path})
	w.must(err)
	t.Cleanup(func() { db.Close() })
	w.openOutside(path)
	// Everything that is bounded is small, so that its bounds are met.
	e, err := emitter.New(context.Background(), db, emitter.Config{
		Queue: 16, TailEvents: 48, TailBytes: 128 << 10, BookmarkEvery: 5 * time.Millisecond,
	})
	w.must(err)
	t.Cleanup(e.Close)
	server := rpc.NewServer(rpc.Config{Emitter: e, Store: db})
	// A socket of the file system: TCP has segments of 64 KiB on loopback, and stalls
	// where the buffers are smaller.
	listener, err := net.Listen("unix", filepath.Join(directory, "socket"))
	w.must(err)
	w.url = "ws+unix://" + listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(narrowListener{listener}) }()
	t.Cleanup(func() {
		for len(w.peers) > 0 {
			w.peers[0].close(true)
		}
		w.bursts.Wait()
		w.must(server.Shutdown(context.Background()))
		w.must(<-served)
		if left := e.Stats(); left.Subscriptions != 0 || left.HeldBack != 0 {
			t.Errorf("at the end there are %d subscriptions that hold %d changes", left.Subscriptions, left.HeldBack)
		}
	})
	return w
}

func (w *world) openOutside(path string) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	w.must(err)
	w.t.Cleanup(func() { db.Close() })
	w.outside, err = db.Conn(context.Background())
	w.must(err)
	w.t.Cleanup(func() { w.outside.Close() })
}

// narrow makes the buffers of a connection small, so that it is soon full.
func narrow(conn net.Conn, err error) (net.Conn, error) {
	if socket, ok := conn.(*net.UnixConn); ok {
		err = errors.Join(err, socket.SetWriteBuffer(4<<10))
	}
	return conn, err
}

func dialNarrow(ctx context.Context, network, address string) (net.Conn, error) {
	return narrow(new(net.Dialer).DialContext(ctx, network, address))
}

type narrowListener struct{ net.Listener }

func (l narrowListener) Accept() (net.Conn, error) { return narrow(l.Listener.Accept()) }

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

// fail is for goroutines that are not the test's.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
		close(w.failed)
	}
}

// check ends the test if another goroutine has found a failure.
func (w *world) check() {
	select {
	case <-w.failed:
		w.t.Fatalf("%v", w.err)
	default:
	}
}

// statements makes statements as another process does, in one transaction. What
// the file refuses is not made.
func (w *world) statements(all ...string) error {
	ctx := context.Background()
	for _, statement := range slices.Concat([]string{"BEGIN IMMEDIATE"}, all, []string{"COMMIT"}) {
		if _, err := w.outside.ExecContext(ctx, statement); err != nil {
			_, _ = w.outside.ExecContext(ctx, "ROLLBACK")
			return err
		}
	}
	return nil
}

// prune makes the file forget the oldest events, after the model has read them.
func (w *world) prune(keep int64) {
	ctx := context.Background()
	exec := func(statement string, args ...any) {
		_, err := w.outside.ExecContext(ctx, statement, args...)
		w.must(err)
	}
	exec("BEGIN IMMEDIATE")
	w.readHistory()
	through := max(w.history.newest()-keep, w.history.pruned)
	w.history.pruned = through
	w.pruned.Store(through)
	exec("DELETE FROM journal WHERE seq <= ?", through)
	exec("COMMIT")
}

// readHistory brings the model up to date.
func (w *world) readHistory() {
	rows, err := w.outside.QueryContext(context.Background(), `SELECT seq, task_id, change_type, task,
		coalesce(previous_status, ''), coalesce(new_status, ''), coalesce(previous, ''), origin, coalesce(tx_last, 0)
		FROM journal WHERE seq > ? ORDER BY seq`, w.history.newest())
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		var e entry
		w.must(rows.Scan(&e.seq, &e.id, &e.kind, &e.task, &e.old, &e.new, &e.previous, &e.origin, &e.txLast))
		w.must(w.history.add(e))
	}
	w.must(rows.Err())
}

// compareAnswers checks that what was answered is in the journal, and that nothing
// else is but what clients were not told of because their connection was lost.
func (w *world) compareAnswers() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.answers {
		w.must(w.history.claim(a))
	}
	w.answers = nil
	if n := w.history.unclaimed(); n > w.lost {
		w.t.Fatalf("%d changes were made that nobody was told of, with %d answers lost", n, w.lost)
	}
}

// quiesce waits until nobody writes: until every write is answered, and the daemon
// has done what it had taken from connections that are no more.
func (w *world) quiesce() {
	w.within("writes", w.bursts.Wait)
	if len(w.peers) == 0 {
		w.dial()
	}
	for start := time.Now(); ; {
		raw, refusal := w.peers[0].call(schema.MethodStats, struct{}{}, nil)
		if refusal != nil {
			w.t.Fatalf("stats: %v", refusal)
		}
		var stats schema.StatsResult
		w.must(json.Unmarshal(raw, &stats))
		if stats.Connections == int64(len(w.peers)) {
			return
		}
		if time.Since(start) > stuck {
			w.t.Fatalf("the daemon has %d connections, of %d", stats.Connections, len(w.peers))
		}
	}
}

// list asks for all tasks that match, and the place at which that is true.
func (w *world) list(p *peer, f *schema.Filter) (view, schema.Cursor) {
	all, cursor := view{}, schema.Cursor{Seq: -1}
	params := schema.ListParams{Filter: f, Limit: new(int64(7))}
	for {
		raw, refusal := p.call(schema.MethodList, params, nil)
		if refusal != nil {
			w.t.Fatalf("list: %v", refusal)
		}
		var page schema.ListResult
		w.must(json.Unmarshal(raw, &page))
		at, err := schema.ParseCursor("cursor", page.Cursor)
		w.must(err)
		if cursor.Seq < 0 {
			cursor = at
		}
		if at != cursor { // something was written in between
			return w.list(p, f)
		}
		for _, document := range page.Tasks {
			task, err := schema.ParseTask(document)
			w.must(err)
			all[task.ID] = held{task.Version, string(document)}
		}
		if params.PageToken = page.NextPageToken; params.PageToken == nil {
			return all, cursor
		}
	}
}
