package mcp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// notifyPause is how long changes are gathered after a notification, so that a busy
// daemon does not drown the agent.
const notifyPause = 100 * time.Millisecond

// watch turns the events of one subscription into notifications about resources. It
// begins when the agent first subscribes to something.
type watch struct {
	life     context.Context // everything ends with it
	daemon   *daemon
	patience time.Duration
	warn     func(string)
	notify   func(ctx context.Context, uri string) error
	begin    sync.Once
	work     sync.WaitGroup
	live     chan struct{} // closed when the subscription has begun
	due      chan struct{} // one slot: there is something in changed

	mu      sync.Mutex
	uris    map[string]int      // how often the agent has subscribed to each
	changed map[string]struct{} // of these, to be notified
}

func newWatch(life context.Context, d *daemon, o Options, notify func(context.Context, string) error) *watch {
	return &watch{
		life: life, daemon: d, patience: o.Patience, warn: o.Warn, notify: notify,
		live: make(chan struct{}), due: make(chan struct{}, 1),
		uris: make(map[string]int), changed: make(map[string]struct{}),
	}
}

// add begins to watch a resource. When it returns without an error, every later
// change is seen.
func (w *watch) add(ctx context.Context, uri string) error {
	w.begin.Do(func() {
		w.work.Go(w.follow)
		w.work.Go(w.tell)
	})
	w.mu.Lock()
	w.uris[uri]++
	w.mu.Unlock()
	patience := time.NewTimer(w.patience)
	defer patience.Stop()
	var err error
	select {
	case <-w.live:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-patience.C:
		err = fmt.Errorf("%w: its changes cannot be followed", client.ErrUnreachable)
	}
	w.remove(uri)
	return err
}

func (w *watch) remove(uri string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.uris[uri]--; w.uris[uri] <= 0 {
		delete(w.uris, uri)
	}
}

// wait waits until the watch is over, after the end of its life.
func (w *watch) wait() {
	w.begin.Do(func() {}) // nothing begins any more
	w.work.Wait()
}

// follow keeps a subscription. When one cannot be continued, everything may have
// changed before the next one begins.
func (w *watch) follow() {
	begun := false
	for w.life.Err() == nil {
		err := w.subscription(func() {
			if begun {
				w.markAll()
				return
			}
			begun = true
			close(w.live)
		})
		if w.life.Err() != nil || !pause(w.life, retryPause) {
			return
		}
		w.warn(fmt.Sprintf("the changes of tasks cannot be followed; trying again: %v", err))
	}
}

// subscription follows one subscription to its end, and calls live when it has
// begun.
func (w *watch) subscription(live func()) error {
	sub, err := attempt(w.life, w.daemon, func(conn *client.Client) (*client.Subscription, error) {
		return conn.Subscribe(w.life, schema.SubscribeParams{})
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	first := true
	for event, err := range sub.Events(w.life) {
		switch {
		case err != nil:
			return err
		case event.ChangeType != schema.Bookmark:
			w.mark(&event)
		case first:
			first = false
			live()
		}
	}
	return client.ErrClosed
}

// mark notes which resources an event changes.
func (w *watch) mark(e *schema.Event) {
	uris := []string{taskPrefix + e.TaskID, allURI}
	if wasOrIsReady(e) {
		uris = append(uris, readyURI)
	}
	w.note(uris)
}

// wasOrIsReady tells whether an event changes what the list of ready tasks shows.
func wasOrIsReady(e *schema.Event) bool {
	now, err := schema.ParseTask(e.Task)
	if err != nil {
		return true // not known: look
	}
	before, err := now.Before(e.Previous)
	return err != nil || now.Ready || before.Ready
}

// markAll notes that everything may have changed.
func (w *watch) markAll() {
	w.mu.Lock()
	uris := slices.Collect(maps.Keys(w.uris))
	w.mu.Unlock()
	w.note(uris)
}

func (w *watch) note(uris []string) {
	w.mu.Lock()
	for _, uri := range uris {
		if w.uris[uri] > 0 {
			w.changed[uri] = struct{}{}
		}
	}
	due := len(w.changed) > 0
	w.mu.Unlock()
	if due {
		select {
		case w.due <- struct{}{}:
		default:
		}
	}
}

// tell notifies the agent, the first time at once, then not more often than every
// notifyPause.
func (w *watch) tell() {
	for {
		select {
		case <-w.due:
		case <-w.life.Done():
			return
		}
		w.mu.Lock()
		changed := w.changed
		w.changed = make(map[string]struct{})
		w.mu.Unlock()
		for _, uri := range slices.Sorted(maps.Keys(changed)) {
			if err := w.notify(w.life, uri); err != nil {
				w.warn(fmt.Sprintf("the agent cannot be told that %s changed: %v", uri, err))
			}
		}
		if !pause(w.life, notifyPause) {
			return
		}
	}
}
