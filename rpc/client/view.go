package client

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/descartes-tasks/descartes/schema"
)

// State says how current a View is.
type State string

// The states of a View.
const (
	CatchingUp State = "catching up" // what there was, or what happened meanwhile, is being read
	Live       State = "live"        // it shows what there is, and follows
	Away       State = "away"        // there is no connection; it is made again
	Ended      State = "ended"       // it shows what there was last: see Err
)

// ViewOptions configures a View. The zero value is usable.
type ViewOptions struct {
	Filter schema.Filter // which tasks; default: all

	// Changed and StateChanged, if set, are told what changes, one at a time and in
	// order, after the View shows it. While one runs the View stands still and the
	// events wait with the daemon; it may read the View and make calls, but must not
	// close the View or the Client.
	Changed      func(Change)
	StateChanged func(State)
}

// Change is the difference that an event made to a View.
type Change struct {
	Before *schema.Task // nil: the task was not in the View
	After  *schema.Task // nil: the task is no longer in the View
	// Event is what made it: created, updated or deleted; snapshot for a task that a
	// snapshot has and the View had not, or otherwise; resync for one that the View
	// had and a new snapshot has not.
	Event schema.Event
}

// View is a mirror of the tasks that match a filter. What it promises:
//
//   - It shows what task.list would answer at one place of the journal, which is its
//     Cursor: first that of a snapshot, then that of each event in turn, none left out.
//     The changes of a task.apply become visible one after the other; TxLast in their
//     events tells which belong together.
//   - Before its first snapshot is complete it is empty. After that it is never emptied
//     and never shows half of a snapshot: while the connection is away it shows what it
//     knew, and when it has to start over (after a long absence, or a restored database)
//     it changes from the old state to the new one at once.
//   - Whoever starts with an empty set and makes every Change that Changed is told has
//     the same tasks as the View, always. The tasks of the first snapshot are changes,
//     too; those of later ones only as far as they differ.
//   - In the state Live nothing older than the present connection is missing, and all
//     changes up to then have been told. What is committed after that comes within
//     milliseconds; a daemon that falls silent without closing is noticed after
//     Options.Silence. A program that has to see its own write waits for the Change whose task has
//     the version that the write was answered with.
//   - With [Options.Reconnect] it ends only by Close, or by what connecting again does
//     not mend: see Subscription.Next. Without, it ends with its connection.
//
// Its methods are safe for concurrent use. Tasks that it gives are shared: they must
// not be changed.
type View struct {
	options      ViewOptions
	subscription *Subscription
	coming       []Change      // a snapshot that has not ended; owned by follow
	replacing    bool          // coming takes the place of tasks when it ends; owned by follow
	done         chan struct{} // closed when follow has returned

	mu     sync.RWMutex
	tasks  map[string]*schema.Task // written by follow only
	cursor string                  // the place at which tasks is true
	state  State
	moved  chan struct{} // closed when the state changes
	err    error         // why it has ended
}

// View starts a mirror of the tasks that match a filter, on a connection of its own.
// The errors are those of Subscribe. The View must be closed, as by closing the Client.
func (c *Client) View(ctx context.Context, options ViewOptions) (*View, error) {
	if options.Changed == nil {
		options.Changed = func(Change) {}
	}
	if options.StateChanged == nil {
		options.StateChanged = func(State) {}
	}
	subscription, err := c.Subscribe(ctx, schema.SubscribeParams{
		Filter: &schema.EventFilter{Filter: options.Filter}, Snapshot: new(true), DebounceMS: new(int64(0)),
	})
	if err != nil {
		return nil, err
	}
	v := &View{
		options:      options,
		subscription: subscription,
		replacing:    true,
		done:         make(chan struct{}),
		tasks:        make(map[string]*schema.Task),
		state:        CatchingUp,
		moved:        make(chan struct{}),
	}
	subscription.moved = func(connected bool) {
		if connected {
			v.enter(CatchingUp, nil)
		} else {
			v.enter(Away, nil)
		}
	}
	if !c.adopt(v.follow) {
		_ = subscription.Close()
		return nil, ErrClosed
	}
	return v, nil
}

// Get gives a task, nil if there is none with this id in the View.
func (v *View) Get(id string) *schema.Task {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.tasks[id]
}

// Len gives the number of tasks.
func (v *View) Len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.tasks)
}

// All gives every task, in the order in which they were created.
func (v *View) All() []*schema.Task {
	tasks, _ := v.At()
	return tasks
}

// At gives every task, as All does, and the cursor at which that is true: an argument
// for task.subscribe and task.history. It is "" before the first snapshot.
func (v *View) At() (tasks []*schema.Task, cursor string) {
	v.mu.RLock()
	tasks, cursor = make([]*schema.Task, 0, len(v.tasks)), v.cursor
	for _, task := range v.tasks {
		tasks = append(tasks, task)
	}
	v.mu.RUnlock()
	slices.SortFunc(tasks, func(a, b *schema.Task) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return tasks, cursor
}

// State tells how current the View is.
func (v *View) State() State {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.state
}

// Err tells why the View has ended: ErrClosed, or an error of Subscription.Next. It is
// nil before.
func (v *View) Err() error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.err
}

// Wait waits until the View is Live. The error is that of ctx, or Err.
func (v *View) Wait(ctx context.Context) error {
	for {
		v.mu.RLock()
		state, moved, err := v.state, v.moved, v.err
		v.mu.RUnlock()
		switch state {
		case Live:
			return nil
		case Ended:
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close ends the View and waits until it is over. What it shows stays. Closing twice is
// harmless. The error is always nil.
func (v *View) Close() error {
	_ = v.subscription.Close()
	<-v.done
	return nil
}

// follow is the goroutine of the View.
func (v *View) follow() {
	defer close(v.done)
	for {
		event, err := v.subscription.Next(context.Background())
		if err == nil {
			err = v.take(&event)
		}
		if err != nil {
			_ = v.subscription.Close()
			v.enter(Ended, err)
			return
		}
	}
}

// take makes the View show an event. The error is that of a task that cannot be read.
func (v *View) take(e *schema.Event) error {
	var task *schema.Task
	switch e.ChangeType {
	case schema.Resync:
		v.coming, v.replacing = nil, true
		if v.State() == Live { // it may come while the connection is away
			v.enter(CatchingUp, nil)
		}
		return nil
	case schema.Snapshot, schema.Created, schema.Updated, schema.Deleted:
		var err error
		if task, err = schema.ParseTask(e.Task); err != nil {
			return err
		}
	}
	if e.ChangeType == schema.Snapshot {
		v.coming = append(v.coming, Change{After: task, Event: *e})
		return nil
	}
	if v.replacing { // nothing but the tasks of a snapshot comes before its end
		v.replace(e.Cursor)
	}
	if task != nil {
		v.change(task, e)
	} else {
		v.mu.Lock()
		v.cursor = cmp.Or(e.Cursor, v.cursor)
		v.mu.Unlock()
	}
	if e.ChangeType == schema.Bookmark && e.Live {
		v.enter(Live, nil)
	}
	return nil
}

// change makes the View show one change, and tells it.
func (v *View) change(task *schema.Task, e *schema.Event) {
	change := Change{Before: v.tasks[task.ID], Event: *e}
	if e.ChangeType != schema.Deleted && !e.Left {
		change.After = task
	}
	v.mu.Lock()
	if change.After != nil {
		v.tasks[task.ID] = task
	} else {
		delete(v.tasks, task.ID)
	}
	v.cursor = e.Cursor
	v.mu.Unlock()
	if change.Before != nil || change.After != nil {
		v.options.Changed(change)
	}
}

// replace makes the View show the snapshot that has come instead of what it showed, and
// tells the differences.
func (v *View) replace(cursor string) {
	changes, old := v.coming, v.tasks
	v.coming, v.replacing = nil, false
	tasks := make(map[string]*schema.Task, len(changes))
	for i := range changes {
		tasks[changes[i].After.ID] = changes[i].After
	}
	v.mu.Lock()
	v.tasks, v.cursor = tasks, cursor
	v.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(old)) {
		if tasks[id] == nil {
			v.options.Changed(Change{Before: old[id], Event: schema.Event{ChangeType: schema.Resync, TaskID: id}})
		}
	}
	for _, change := range changes {
		change.Before = old[change.After.ID]
		if !reflect.DeepEqual(change.Before, change.After) {
			v.options.Changed(change)
		}
	}
}

// enter changes the state, and tells it if it is another one.
func (v *View) enter(state State, err error) {
	v.mu.Lock()
	changed := v.state != state
	v.state, v.err = state, err
	if changed {
		close(v.moved)
		v.moved = make(chan struct{})
	}
	v.mu.Unlock()
	if changed {
		v.options.StateChanged(state)
	}
}
