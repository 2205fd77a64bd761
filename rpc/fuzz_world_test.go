package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// fuzzedWorld is a server over pipes and a journal in memory, for a bubble of
// synctest.
type fuzzedWorld struct {
	t       *testing.T
	journal *journaltest.Memory
	emitter *emitter.Emitter
	server  *Server
	pipes   *pipeListener
	served  chan error
	log     []schema.Event // all of the journal, once it is over
}

func newFuzzedWorld(t *testing.T) *fuzzedWorld {
	var ids atomic.Int64
	w := &fuzzedWorld{t: t, journal: journaltest.NewMemory(), served: make(chan error, 1)}
	w.emitter = must(emitter.New(t.Context(), w.journal, emitter.Config{
		Queue: 4, TailEvents: 4, NewID: func() string { return fmt.Sprint("t", ids.Add(1)) },
	}))
	w.server = NewServer(Config{Emitter: w.emitter, Store: memoryStore{w.journal}, Limits: fuzzLimits})
	w.pipes = &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	go func() { w.served <- w.server.Serve(w.pipes) }()
	return w
}

// stop ends the server, with which everything has ended.
func (w *fuzzedWorld) stop() {
	w.t.Helper()
	check(w.t, w.server.Shutdown(w.t.Context()))
	check(w.t, <-w.served)
	w.emitter.Close()
	if left := w.emitter.Stats(); left.Subscriptions != 0 || left.HeldBack != 0 || w.server.Connections() != 0 {
		w.t.Fatalf("at the end there are %d connections and %+v", w.server.Connections(), left)
	}
}

// fuzzPeer is a connection and everything that came in on it.
type fuzzPeer struct {
	*fuzzedWorld
	conn     *wire.Conn
	sent     []string
	frames   []string // written until ended
	ended    chan error
	received map[string]*received // by subscription, once it is over
}

func (w *fuzzedWorld) connect() *fuzzPeer {
	w.t.Helper()
	p := &fuzzPeer{fuzzedWorld: w, ended: make(chan error, 1)}
	p.conn = must(wire.Dial(w.t.Context(), "ws://localhost/rpc", wire.DialOptions{NetDial: w.pipes.dial}))
	go func() {
		for {
			frame, err := p.conn.Read()
			if err != nil {
				p.ended <- err
				return
			}
			p.frames = append(p.frames, string(frame))
		}
	}()
	return p
}

func (p *fuzzPeer) say(message string) {
	p.t.Helper()
	check(p.t, p.conn.Write([]byte(message)))
	p.sent = append(p.sent, message)
}

// end closes the connection, which must have lived until now unless the server
// had to end it for a message that was too long.
func (p *fuzzPeer) end(tooLong bool) {
	p.t.Helper()
	select {
	case err := <-p.ended:
		if !tooLong || wire.CloseCode(err) != wire.CloseTooBig {
			p.t.Fatalf("after %q the connection ended: %v", p.sent, err)
		}
	default:
		_ = p.conn.Close(wire.CloseNormal, "")
		if err := <-p.ended; tooLong || !errors.Is(err, io.EOF) {
			p.t.Fatalf("after %q the connection was still there: %v", p.sent, err)
		}
	}
}

// memoryStore answers queries from a journal in memory.
type memoryStore struct{ *journaltest.Memory }

func (memoryStore) Unusable() error { return nil }

func (m memoryStore) tasks(ctx context.Context) (schema.Cursor, []json.RawMessage) {
	bounds := must(m.Bounds(ctx))
	return schema.Cursor{Epoch: bounds.Epoch, Seq: bounds.Newest}, must(m.TasksAt(ctx, bounds.Newest, "", 1<<20))
}

// Get gives the document of a task.
func (m memoryStore) Get(ctx context.Context, id string) (json.RawMessage, error) {
	_, tasks := m.tasks(ctx)
	for _, document := range tasks {
		if must(schema.ParseTask(document)).ID == id {
			return document, nil
		}
	}
	return nil, schema.NotFound(id)
}

// List gives the first page, in the order of the ids.
func (m memoryStore) List(ctx context.Context, p schema.ListParams, _ int) (schema.ListResult, error) {
	if p.PageToken != nil {
		return schema.ListResult{}, schema.Invalid("page_token", "is not for here")
	}
	cursor, tasks := m.tasks(ctx)
	tasks = slices.DeleteFunc(tasks, func(document json.RawMessage) bool {
		return !p.Filter.Match(must(schema.ParseTask(document)))
	})
	return schema.ListResult{Tasks: tasks[:min(len(tasks), int(*p.Limit))], Cursor: cursor.String()}, nil
}

// History gives events of the journal.
func (m memoryStore) History(ctx context.Context, id string, after int64, limit int) (events []schema.Event, more bool, err error) {
	all, err := m.Events(ctx, after, schema.MaxSeq, 1<<20)
	all = slices.DeleteFunc(all, func(e schema.Event) bool { return id != "" && e.TaskID != id })
	return all[:min(len(all), limit)], len(all) > limit, err
}

// HistoryBefore gives events of the journal backwards.
func (m memoryStore) HistoryBefore(ctx context.Context, id string, through int64, limit int) (events []schema.Event, more bool, err error) {
	all, err := m.Events(ctx, 0, through, 1<<20)
	all = slices.DeleteFunc(all, func(e schema.Event) bool { return id != "" && e.TaskID != id })
	slices.Reverse(all)
	return all[:min(len(all), limit)], len(all) > limit, err
}

// Stats gives no figures.
func (m memoryStore) Stats(context.Context) (schema.StoreStats, error) {
	return schema.StoreStats{}, nil
}

var _ Store = memoryStore{}
