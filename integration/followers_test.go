package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// lastTask is the id of the task whose creation is the last event.
const lastTask = "last"

// follower is somebody who follows until the last event.
type follower interface {
	follow(ctx context.Context, url string) error
	check(ctx context.Context, c *client.Client) error
}

func dialPersistently(ctx context.Context, url string) (*client.Client, error) {
	return kit.Persist(ctx, func() (*client.Client, error) { return client.Dial(ctx, url, kit.Reconnecting()) })
}

// events gives the events of a subscription one by one until do says that it was the last.
func events(ctx context.Context, url string, params schema.SubscribeParams, do func(schema.Event) (last bool, err error)) error {
	c, err := dialPersistently(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := kit.Persist(ctx, func() (*client.Subscription, error) { return c.Subscribe(ctx, params) })
	if err != nil {
		return err
	}
	for event, err := range s.Events(ctx) {
		if err != nil {
			return err
		}
		if last, err := do(event); last || err != nil {
			return err
		}
	}
	return client.ErrClosed
}

// scribe keeps every event, and compares it with the journal.
type scribe struct{ events []schema.Event }

func (s *scribe) follow(ctx context.Context, url string) error {
	params := schema.SubscribeParams{Since: new(schema.SinceStart), DebounceMS: new(int64(0))}
	return events(ctx, url, params, func(e schema.Event) (bool, error) {
		if e.ChangeType == schema.Bookmark {
			return false, nil
		}
		s.events = append(s.events, e)
		if e.Seq != int64(len(s.events)) {
			return true, fmt.Errorf("event %d comes as number %d", e.Seq, len(s.events))
		}
		return e.TaskID == lastTask, nil
	})
}

func (s *scribe) check(ctx context.Context, c *client.Client) error {
	left := s.events
	for since := (*string)(nil); ; {
		page, err := c.History(ctx, schema.HistoryParams{Since: since, Limit: new(int64(schema.MaxLimit))})
		if err != nil {
			return err
		}
		for _, want := range page.Events {
			if len(left) == 0 {
				return fmt.Errorf("missed %+v", want)
			}
			got := left[0]
			for _, e := range []*schema.Event{&got, &want} { // what depends on who asks
				e.Cursor, e.Coalesced, e.Own = "", 0, false
			}
			if !reflect.DeepEqual(got, want) {
				return fmt.Errorf("got %+v, the journal has %+v", got, want)
			}
			left = left[1:]
		}
		if since = page.Next; since == nil {
			break
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("got %+v, which the journal has not", left[0])
	}
	return nil
}

// folding follows with a debounce window, by the resume rule of docs/protocol.md.
type folding struct{ tasks map[string]*schema.Task }

func (f *folding) follow(ctx context.Context, url string) error {
	end := schema.Cursor{Seq: schema.MaxSeq}
	params := schema.SubscribeParams{Snapshot: new(true), DebounceMS: new(int64(20))}
	return events(ctx, url, params, func(e schema.Event) (bool, error) {
		if err := f.take(e); err != nil {
			return true, err
		}
		if e.TaskID == lastTask {
			end.Seq = e.Seq
		}
		if e.Cursor == "" {
			return false, nil
		}
		// What is held back for its window is still to come while the cursor is before it.
		at, err := schema.ParseCursor("cursor", e.Cursor)
		return at.Seq >= end.Seq, err
	})
}

func (f *folding) take(e schema.Event) error {
	switch e.ChangeType {
	case schema.Bookmark:
		return nil
	case schema.Resync:
		f.tasks = nil
		return nil
	}
	task, err := schema.ParseTask(e.Task)
	if err != nil {
		return err
	}
	if f.tasks == nil {
		f.tasks = make(map[string]*schema.Task)
	}
	if known := f.tasks[e.TaskID]; known != nil && e.Seq <= known.Version {
		return fmt.Errorf("%s of %s at %d comes after %d", e.ChangeType, e.TaskID, e.Seq, known.Version)
	}
	if f.tasks[e.TaskID] = task; e.ChangeType == schema.Deleted {
		delete(f.tasks, e.TaskID)
	}
	return nil
}

func (f *folding) check(ctx context.Context, c *client.Client) error {
	return sameTasks(ctx, c, schema.Filter{}, f.tasks)
}

// viewer has a View, and makes its changes in a map of its own.
type viewer struct {
	filter schema.Filter
	last   chan struct{} // closed when the last task is there
	view   *client.View
	tasks  map[string]*schema.Task
	states map[client.State]int
	fault  error
}

func newViewer(filter schema.Filter) *viewer {
	return &viewer{filter: filter, last: make(chan struct{}), tasks: make(map[string]*schema.Task), states: make(map[client.State]int)}
}

func (v *viewer) change(c client.Change) {
	id := c.Event.TaskID
	if !reflect.DeepEqual(v.tasks[id], c.Before) {
		v.fault = errors.Join(v.fault, fmt.Errorf("%+v is told, but %+v is known", c, v.tasks[id]))
	}
	if v.tasks[id] = c.After; c.After == nil {
		delete(v.tasks, id)
	}
	if id == lastTask {
		close(v.last)
	}
}

func (v *viewer) follow(ctx context.Context, url string) error {
	c, err := dialPersistently(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	v.view, err = kit.Persist(ctx, func() (*client.View, error) {
		return c.View(ctx, client.ViewOptions{
			Filter: v.filter, Changed: v.change, StateChanged: func(s client.State) { v.states[s]++ },
		})
	})
	if err != nil {
		return err
	}
	look := time.NewTicker(time.Millisecond) // somebody reads it all the time
	defer look.Stop()
	for {
		select {
		case <-v.last:
			return v.view.Close()
		case <-ctx.Done():
			return fmt.Errorf("%s with %d tasks: %w", v.view.State(), v.view.Len(), ctx.Err())
		case <-look.C:
		}
		for _, task := range v.view.All() {
			if !v.filter.Match(task) {
				return fmt.Errorf("shows %+v", task)
			}
		}
	}
}

func (v *viewer) check(ctx context.Context, c *client.Client) error {
	shown := make(map[string]*schema.Task)
	for _, task := range v.view.All() {
		shown[task.ID] = task
	}
	var states error
	if v.states[client.Away] == 0 || v.states[client.CatchingUp] != v.states[client.Away] {
		states = fmt.Errorf("the states were %v", v.states)
	}
	return errors.Join(v.fault, states, sameTasks(ctx, c, v.filter, shown), sameTasks(ctx, c, v.filter, v.tasks))
}

// sameTasks compares tasks with what task.list says.
func sameTasks(ctx context.Context, c *client.Client, filter schema.Filter, tasks map[string]*schema.Task) error {
	tasks = maps.Clone(tasks)
	params := schema.ListParams{Filter: &filter}
	for {
		page, err := c.List(ctx, params)
		if err != nil {
			return err
		}
		for i := range page.Tasks {
			want := &page.Tasks[i]
			if got := tasks[want.ID]; !reflect.DeepEqual(got, want) {
				return fmt.Errorf("has %+v, listed is %+v", got, want)
			}
			delete(tasks, want.ID)
		}
		if params.PageToken = page.NextPageToken; params.PageToken == nil {
			break
		}
	}
	if len(tasks) > 0 {
		return fmt.Errorf("has %v, which are not listed", slices.Collect(maps.Keys(tasks)))
	}
	return nil
}

// cutter is a proxy to a socket that cuts connections off: each after a number of bytes
// from the daemon, anything from 1 to 64 KiB.
type cutter struct {
	url    string
	socket string
	left   atomic.Int64  // cuts
	spent  chan struct{} // closed after the last one
}

func newCutter(t *testing.T, socket string, cuts int64) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{url: "ws://" + listener.Addr().String() + "/rpc", socket: socket, spent: make(chan struct{})}
	c.left.Store(cuts)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { c.pass(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		conns.Wait()
	})
	return c
}

func (c *cutter) pass(conn *net.TCPConn) {
	defer conn.Close()
	daemon, err := net.Dial("unix", c.socket)
	if err != nil {
		return // it is being restarted
	}
	defer daemon.Close()
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(daemon, conn)
		daemon.Close()
	})
	defer up.Wait()
	defer conn.Close()
	if _, err := io.CopyN(conn, daemon, 1+rand.Int64N(16<<rand.IntN(13))); err != nil {
		return // ended by one of them
	}
	switch left := c.left.Add(-1); {
	case left == 0:
		close(c.spent)
		fallthrough
	case left > 0:
		if left%2 == 0 { // the other half ends without an error of the socket
			conn.SetLinger(0)
		}
	default:
		io.Copy(conn, daemon)
	}
}
