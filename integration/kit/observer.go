package kit

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Observer is a subscriber and all that it was told.
type Observer struct {
	Name      string
	Params    schema.SubscribeParams
	Daemons   []Daemon
	T         *testing.T
	follow    func(o *Observer, ctx context.Context) error
	check     func(t *testing.T, f *File, o *Observer, end int64)
	Seen      []Record // a zero one where a connection was made without resuming
	view      map[string]int64
	Connected int
	anywhere  bool // the client is told of all daemons
	at        int
	end       int64 // seq of the last write, 0: not yet known
}

// EndMark is the title of the last write of a run.
const EndMark = "end"

// daemon is the one that it asks now.
func (o *Observer) daemon() Daemon { return o.Daemons[o.at%len(o.Daemons)] }

// url is what a client is told, which connects again by itself.
func (o *Observer) url() string {
	if !o.anywhere {
		return o.daemon().URL()
	}
	var all []string
	for i := range o.Daemons {
		all = append(all, o.Daemons[(o.at+i)%len(o.Daemons)].URL())
	}
	return strings.Join(all, ",")
}

// NewObserver gives one of everything, for [Observer.Take].
func NewObserver(name string) *Observer {
	return &Observer{Name: name, view: make(map[string]int64), Params: schema.SubscribeParams{DebounceMS: new(int64(0))}}
}

// Check compares what it was told with the file, up to the last write.
func (o *Observer) Check(t *testing.T, f *File, end int64) {
	t.Helper()
	o.check(t, f, o, end)
}

// Last is the newest event that was seen.
func (o *Observer) Last() int64 {
	if len(o.Seen) == 0 {
		return 0
	}
	return o.Seen[len(o.Seen)-1].Seq
}

// Observers gives one of each kind. Those that connect again by hand go to another daemon
// each time, the others begin with different ones.
func Observers(t *testing.T, daemons []Daemon) []*Observer {
	all := observers()
	for i, o := range all {
		o.T, o.Daemons, o.at = t, daemons, i
	}
	return all
}

func observers() []*Observer {
	start, now := new(schema.SinceStart), new(int64(0))
	return []*Observer{
		{
			Name: "everything", Params: schema.SubscribeParams{Since: start, DebounceMS: now},
			follow: (*Observer).reconnect, check: sawEverything,
		},
		{
			Name: "at any daemon", Params: schema.SubscribeParams{Since: start, DebounceMS: now}, anywhere: true,
			follow: (*Observer).reconnect, check: sawEverything,
		},
		{
			Name: "by hand", Params: schema.SubscribeParams{Since: start, DebounceMS: now},
			follow: (*Observer).byHand, check: sawEverything,
		},
		{
			Name: "done only", follow: (*Observer).reconnect, check: sawDone,
			Params: schema.SubscribeParams{Since: start, DebounceMS: now, Filter: &schema.EventFilter{
				Filter: schema.Filter{Status: []schema.Status{schema.Done}},
			}},
		},
		{
			Name: "debounced", Params: schema.SubscribeParams{Since: start, DebounceMS: new(int64(30))},
			follow: (*Observer).reconnect, check: sawFolds,
		},
		{
			Name: "batches", follow: (*Observer).reconnect, check: sawEverything,
			Params: schema.SubscribeParams{Since: start, DebounceMS: now, Batch: &schema.Batch{Max: 50, WaitMS: 5}},
		},
		{
			Name: "snapshot", Params: schema.SubscribeParams{Snapshot: new(true), DebounceMS: now},
			follow: (*Observer).reconnect, check: sawTheTasks,
		},
		{
			Name: "from now on", Params: schema.SubscribeParams{DebounceMS: now},
			follow: (*Observer).again, check: sawRuns,
		},
	}
}

// Run follows until the last write, or until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	o.view = make(map[string]int64)
	if err := o.follow(o, ctx); err != nil && o.T.Context().Err() == nil {
		o.T.Errorf("%s, which has %d events up to %d: %v", o.Name, len(o.Seen), o.Last(), err)
	}
}

// Take notes an event, and tells whether everything has been seen.
func (o *Observer) Take(e *schema.Event) (over bool) {
	switch e.ChangeType {
	case schema.Bookmark:
	case schema.Resync:
		clear(o.view)
	case schema.Snapshot:
		o.view[e.TaskID] = e.Seq
	default:
		o.Seen = append(o.Seen, RecordOf(e))
		if e.ChangeType == schema.Deleted {
			delete(o.view, e.TaskID)
		} else if e.Seq > o.view[e.TaskID] {
			o.view[e.TaskID] = e.Seq
		}
		if e.ChangeType == schema.Created && TitleOf(e) == EndMark {
			o.end = e.Seq
		}
	}
	if o.end == 0 {
		return false
	}
	cursor, err := schema.ParseCursor("cursor", e.Cursor)
	return err == nil && cursor.Seq >= o.end
}

// reconnect leaves it to the client to resume.
func (o *Observer) reconnect(ctx context.Context) error {
	options := Reconnecting()
	options.Reconnected = func() { o.Connected++ }
	c, err := Persist(ctx, func() (*client.Client, error) {
		o.daemon().Running()
		return client.Dial(ctx, o.url(), options)
	})
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := Persist(ctx, func() (*client.Subscription, error) { return c.Subscribe(ctx, o.Params) })
	if err != nil {
		return err
	}
	o.Connected++
	for event, err := range s.Events(ctx) {
		if err != nil || o.Take(&event) {
			return err
		}
	}
	return nil
}

// byHand keeps the cursor, and resumes with it over a new connection.
func (o *Observer) byHand(ctx context.Context) error {
	params := o.Params
	for {
		over, err := o.once(ctx, params, func(e *schema.Event) {
			if e.Cursor != "" {
				params.Since = &e.Cursor
			}
		})
		if over || err != nil {
			return err
		}
	}
}

// again subscribes anew whenever the connection is lost.
func (o *Observer) again(ctx context.Context) error {
	for {
		o.Seen = append(o.Seen, Record{})
		if over, err := o.once(ctx, o.Params, func(*schema.Event) {}); over || err != nil {
			return err
		}
	}
}

// once follows a subscription until the connection is lost.
func (o *Observer) once(ctx context.Context, params schema.SubscribeParams, taken func(*schema.Event)) (over bool, _ error) {
	o.at++
	o.daemon().Running()
	c, err := client.Dial(ctx, o.daemon().URL(), client.Options{})
	if err != nil {
		return false, unlessLost(err)
	}
	defer c.Close()
	s, err := c.Subscribe(ctx, params)
	if err != nil {
		return false, unlessLost(err)
	}
	o.Connected++
	for event, err := range s.Events(ctx) {
		if err != nil {
			return false, unlessLost(err)
		}
		over = o.Take(&event)
		taken(&event)
		if over {
			break
		}
	}
	return over, nil
}

// unlessLost drops the errors that a killed daemon leads to, or one that has not caught
// up with its cluster.
func unlessLost(err error) error {
	if client.IsTemporary(err) {
		<-time.After(tryAgain)
		return nil
	}
	return err
}
