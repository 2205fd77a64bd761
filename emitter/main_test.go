package emitter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faulty is a journal in memory. Where a function is set it is called first, and
// its error is that of the method.
type faulty struct {
	*journaltest.Memory
	mu     sync.Mutex
	events func(ctx context.Context) error
	tasks  func(ctx context.Context) error
	bounds func() error
	leases func() error
	moved  <-chan struct{} // in place of the Memory's
	orphan int64           // leases up to this Num that end with a connection have lost it
}

func newFaulty() *faulty { return &faulty{Memory: journaltest.NewMemory()} }

func (f *faulty) set(change func(f *faulty)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faulty) call(ctx context.Context, which func(f *faulty) func(context.Context) error) error {
	f.mu.Lock()
	do := which(f)
	f.mu.Unlock()
	if do == nil {
		return nil
	}
	return do(ctx)
}

func (f *faulty) Events(ctx context.Context, after, through int64, limit int) ([]schema.Event, error) {
	if err := f.call(ctx, func(f *faulty) func(context.Context) error { return f.events }); err != nil {
		return nil, err
	}
	return f.Memory.Events(ctx, after, through, limit)
}

func (f *faulty) TasksAt(ctx context.Context, at int64, after string, limit int) ([]json.RawMessage, error) {
	if err := f.call(ctx, func(f *faulty) func(context.Context) error { return f.tasks }); err != nil {
		return nil, err
	}
	return f.Memory.TasksAt(ctx, at, after, limit)
}

func (f *faulty) Bounds(ctx context.Context) (schema.Bounds, error) {
	f.mu.Lock()
	do := f.bounds
	f.mu.Unlock()
	if do != nil {
		if err := do(); err != nil {
			return schema.Bounds{}, err
		}
	}
	return f.Memory.Bounds(ctx)
}

func (f *faulty) Leases(ctx context.Context, after int64) ([]schema.Lease, error) {
	f.mu.Lock()
	do := f.leases
	f.mu.Unlock()
	if do != nil {
		if err := do(); err != nil {
			return nil, err
		}
	}
	leases, err := f.Memory.Leases(ctx, after)
	for i := range leases {
		leases[i].Orphaned = leases[i].Source != 0 && leases[i].Num <= f.orphan
	}
	return leases, err
}

func (f *faulty) Moved() <-chan struct{} {
	if f.moved != nil {
		return f.moved
	}
	return f.Memory.Moved()
}

var errBroken = errors.New("the disk is on fire")

func broken(context.Context) error { return errBroken }

// fixture is an emitter over a journal in memory, in a bubble.
type fixture struct {
	*emitter.Emitter
	t       *testing.T
	journal *faulty
}

// inBubble runs a test in virtual time, which starts at 2000-01-01.
func inBubble(t *testing.T, config emitter.Config, test func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newFixture(t, newFaulty(), config)) })
}

func newFixture(t *testing.T, journal *faulty, config emitter.Config) *fixture {
	t.Helper()
	e, err := emitter.New(t.Context(), journal, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return &fixture{e, t, journal}
}

// recorder is a sink that remembers.
type recorder struct {
	*emitter.Subscription
	t     testing.TB
	start time.Time

	mu      sync.Mutex
	block   chan struct{} // where not nil, Send waits until it is closed
	err     error         // of Send
	sends   int
	ended   []error
	log     []string       // one line for each event
	events  []schema.Event // snapshot and journaled events
	cursor  string         // the last one
	batches []string
}

func (r *recorder) Send(deliveries []emitter.Delivery) error {
	return r.take(deliveries, "")
}

func (r *recorder) SendBatch(b emitter.Batch) error {
	r.mu.Lock()
	r.batches = append(r.batches, fmt.Sprintf("%s:%d", b.ID, len(b.Events)))
	r.mu.Unlock()
	return r.take(b.Events, b.ID+" ")
}

func (r *recorder) take(deliveries []emitter.Delivery, prefix string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for block := r.block; block != nil; block = r.block {
		r.mu.Unlock()
		<-block
		r.mu.Lock()
	}
	r.sends++
	for i := range deliveries {
		raw := deliveries[i].Append(nil)
		var e schema.Event
		if err := json.Unmarshal(raw, &e); err != nil {
			r.t.Errorf("%s: %v", raw, err)
		}
		if e.Cursor != "" {
			r.cursor = e.Cursor
		}
		if e.Seq != 0 {
			r.events = append(r.events, e)
		}
		r.log = append(r.log, prefix+line(time.Since(r.start), &e))
	}
	return r.err
}

func (r *recorder) Ended(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, err)
}

// line shows what a subscriber gets of an event, and when.
func line(at time.Duration, e *schema.Event) string {
	text := fmt.Sprintf("%v %s", at.Round(time.Millisecond), e.ChangeType)
	if e.Seq != 0 {
		text += fmt.Sprintf(" %s#%d", e.TaskID, e.Seq)
	}
	if e.Coalesced != 0 {
		text += fmt.Sprintf(" x%d %s>%s", e.Coalesced, e.PreviousStatus, e.NewStatus)
	}
	if e.Previous != nil {
		text += " " + string(e.Previous)
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{{e.Left, "left"}, {e.Own, "own"}, {e.Live, "live"}, {e.Reason != "", e.Reason}} {
		if flag.on {
			text += " " + flag.name
		}
	}
	if _, seq, found := strings.Cut(e.Cursor, "-"); found {
		text += " @" + seq
	}
	return text
}

// subscribe places a subscription that is not yet started.
func (f *fixture) subscribe(spec emitter.Spec) *recorder {
	f.t.Helper()
	r := &recorder{t: f.t, start: time.Now()}
	var err error
	if r.Subscription, err = f.Subscribe(f.t.Context(), spec, r); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { r.unblock(); r.Stop() })
	return r
}

// follow starts a subscription and waits until it sleeps.
func (f *fixture) follow(spec emitter.Spec) *recorder {
	f.t.Helper()
	r := f.subscribe(spec)
	r.Start()
	synctest.Wait()
	return r
}

func (r *recorder) stall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.block = make(chan struct{})
}

func (r *recorder) unblock() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.block != nil {
		close(r.block)
		r.block = nil
	}
}

// got gives the lines since the last time.
func (r *recorder) got() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.log
	r.log = nil
	return lines
}

// expect compares the lines since the last time.
func (r *recorder) expect(want ...string) {
	r.t.Helper()
	if got := r.got(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (r *recorder) resumePoint() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cursor
}

func create(id string) schema.Operation {
	return normal(schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{ID: id, Title: "task"}})
}

func update(id string, patch schema.Patch) schema.Operation {
	return normal(schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: id, Patch: patch}})
}

func setStatus(id string, status schema.Status) schema.Operation {
	return update(id, schema.Patch{Status: schema.Some(status)})
}

func setTitle(id, title string) schema.Operation {
	return update(id, schema.Patch{Title: schema.Some(title)})
}

func setPriority(id string, priority schema.Priority) schema.Operation {
	return update(id, schema.Patch{Priority: schema.Some(priority)})
}

func remove(id string) schema.Operation {
	return normal(schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id}})
}

func normal(op schema.Operation) schema.Operation {
	if err := op.Normalize(); err != nil {
		panic(err)
	}
	return op
}

// do makes each operation as a change of its own, and lets everybody see it.
func (f *fixture) do(operations ...schema.Operation) {
	f.t.Helper()
	for _, op := range operations {
		f.must(schema.Change{Operations: []schema.Operation{op}})
		synctest.Wait()
	}
}

func (f *fixture) must(c schema.Change) schema.Outcome {
	f.t.Helper()
	o := f.Submit(c).Outcome()
	if o.Err != nil {
		f.t.Fatal(o.Err)
	}
	return o
}

func after(d time.Duration) { time.Sleep(d); synctest.Wait() }
