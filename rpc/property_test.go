package rpc_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// defaultOperations is how many operations the test makes altogether unless
// DESCARTES_PROPERTY_OPS in the environment says otherwise.
const defaultOperations = 4000

// TestSubscribersSeeWhatTheListSays is the promise of the whole daemon: whatever
// is written, by whomever, and however connections come and go, every subscriber
// that follows the rules of docs/protocol.md has the tasks that task.list has, and
// was told of each change in order and once.
func TestSubscribersSeeWhatTheListSays(t *testing.T) {
	operations := defaultOperations
	if text := os.Getenv("DESCARTES_PROPERTY_OPS"); text != "" {
		var err error
		if operations, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	checks, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	empty := emptyDatabase(t)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, empty)
		actions := w.actions()
		for made := 0; made < operations/checks+1; {
			made += anyOf(actions).Draw(t, "action").do(t)
			w.check()
		}
		w.settle()
	})
}

// action does something and gives the number of operations that it asked for.
type action struct {
	name string
	do   func(t *rapid.T) int
}

func (a action) String() string { return a.name }

// actions lists what may happen, more than once what happens more often.
func (w *world) actions() []action {
	var all []action
	add := func(times int, name string, do func(t *rapid.T) int) {
		all = append(all, slices.Repeat([]action{{name, do}}, times)...)
	}
	none := func(do func(t *rapid.T)) func(t *rapid.T) int { return func(t *rapid.T) int { do(t); return 0 } }
	add(7, "write", w.write)
	add(2, "write outside", w.writeOutside)
	add(4, "subscribe", none(w.subscribe))
	add(1, "unsubscribe", none(w.unsubscribe))
	add(1, "flush", none(w.flush))
	add(4, "pause", none(func(t *rapid.T) { w.anyPeer(t).pause() }))
	add(1, "resume", none(func(t *rapid.T) { w.anyPeer(t).resume() }))
	add(4, "disconnect", none(func(t *rapid.T) { w.anyPeer(t).close(rapid.Bool().Draw(t, "abrupt")) }))
	add(3, "come back", none(func(*rapid.T) { w.reconnect() }))
	add(3, "prune", none(func(t *rapid.T) { w.prune(rapid.Int64Range(0, 60).Draw(t, "keep")) }))
	add(2, "settle", none(func(*rapid.T) { w.settle() }))
	return all
}

// anyOf gives each of up to 32 values equally often. rapid prefers small numbers
// and so the first values, but not among bits.
func anyOf[T any](values []T) *rapid.Generator[T] {
	return rapid.Custom(func(t *rapid.T) T {
		n := 0
		for _, bit := range rapid.SliceOfN(rapid.Bool(), 5, 5).Draw(t, "bits") {
			if n *= 2; bit {
				n++
			}
		}
		return values[n%len(values)]
	})
}

// anyPeer gives a connection, a new one if there are few.
func (w *world) anyPeer(t *rapid.T) *peer {
	n := rapid.IntRange(0, 4).Draw(t, "peer")
	if n >= len(w.peers) {
		return w.dial()
	}
	return w.peers[n]
}

// readingPeer gives a connection that can be asked something now.
func (w *world) readingPeer(t *rapid.T) *peer {
	p := w.anyPeer(t)
	p.resume()
	return p
}

// write lets a connection write several things, without waiting for answers.
func (w *world) write(t *rapid.T) int {
	p := w.anyPeer(t)
	n := rapid.SampledFrom([]int{20, 5, 60, 2, 1}).Draw(t, "n")
	calls := rapid.SliceOfN(calls(), n, n).Draw(t, "calls")
	w.bursts.Add(1)
	go func() {
		defer w.bursts.Done()
		for _, c := range calls {
			w.bursts.Add(1)
			p.send(c.method, c.params, func(result json.RawMessage, err *schema.Error) {
				w.answered(p, &c, result, err)
				w.bursts.Done()
			})
		}
	}()
	return countOperations(calls)
}

// answered notes what a write was answered with.
func (w *world) answered(p *peer, c *call, result json.RawMessage, err *schema.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	results := []json.RawMessage{result}
	switch {
	case err == errLost:
		w.lost += c.operations
		return
	case err != nil:
		return
	case c.method == schema.MethodApply:
		var applied schema.ApplyResult
		_ = json.Unmarshal(result, &applied)
		results = applied.Results
	}
	for _, document := range results {
		var told struct {
			ID, Title string
			Version   int64
		}
		_ = json.Unmarshal(document, &told)
		a := answer{peer: p.name, version: told.Version, id: told.ID, made: c.method == schema.MethodCreate}
		if told.Title != "" {
			a.task = string(document)
		}
		w.answers = append(w.answers, a)
	}
}

// writeOutside writes to the file as another process does.
func (w *world) writeOutside(t *rapid.T) int {
	all := rapid.SliceOfN(statement(), 1, 4).Draw(t, "statements")
	_ = w.statements(all...) // what the file refuses is not made
	return len(all)
}

// subscribe adds a subscriber, if there are not many.
func (w *world) subscribe(t *rapid.T) {
	if len(w.subs) >= 8 {
		return
	}
	s := &subscriber{w: w, name: len(w.subs), pulse: make(chan struct{}, 1), params: subscription().Draw(t, "subscription")}
	s.start = rapid.SampledFrom([]string{"snapshot", "snapshot", "list", "start", "now"}).Draw(t, "start")
	w.subs = append(w.subs, s)
	w.begin(s, w.readingPeer(t))
}

// begin starts a subscription from its beginning.
func (w *world) begin(s *subscriber, p *peer) {
	params := s.params
	var known view
	from, base := int64(-1), int64(0)
	switch s.start {
	case "snapshot":
		params.Snapshot = new(true)
	case "list":
		var cursor schema.Cursor
		known, cursor = w.list(p, nil)
		params.Since, from = new(cursor.String()), cursor.Seq
	case "start":
		params.Since, from, base = new(schema.SinceStart), w.history.pruned, w.history.pruned
	case "now":
		base = -1
	}
	s.mu.Lock()
	s.clear(from, base)
	s.over, s.snapshots = false, params.Snapshot != nil
	for id, document := range known {
		task, err := schema.ParseTask([]byte(document.task))
		w.must(err)
		if !s.filter().Match(task) {
			continue
		}
		if !s.withTask() {
			document.task = ""
		}
		s.view[id] = document
	}
	s.mu.Unlock()
	w.place(s, p, params)
}

// place makes the call, and tells whether there is a subscription now.
func (w *world) place(s *subscriber, p *peer, params schema.SubscribeParams) bool {
	_, err := p.call(schema.MethodSubscribe, params, func(result json.RawMessage, err *schema.Error) {
		if err == nil {
			s.begun(p, string(bytes.Trim(result, `"`)))
		}
	})
	if err != nil && err.Data.ReasonDetail != schema.CursorCompacted {
		w.t.Fatalf("subscribe %+v: %v", params, err)
	}
	return err == nil
}

// reconnect resumes every subscription that was lost, or starts it again.
func (w *world) reconnect() {
	for _, s := range w.subs {
		lost, resumable := s.lost()
		if !lost {
			continue
		}
		if len(w.peers) == 0 {
			w.dial()
		}
		p := w.peers[len(w.peers)-1]
		p.resume()
		if resumable {
			params := s.params
			params.Since = &s.cursor
			s.mu.Lock()
			s.snapshots, s.rejoined = false, true
			s.mu.Unlock()
			if w.place(s, p, params) {
				continue
			}
		}
		w.begin(s, p)
	}
}

func (w *world) unsubscribe(t *rapid.T) {
	if len(w.subs) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.subs)-1).Draw(t, "subscriber")
	s := w.subs[i]
	w.subs = slices.Delete(w.subs, i, i+1)
	p := s.connection()
	if p == nil {
		return
	}
	p.resume()
	p.call(schema.MethodUnsubscribe, schema.UnsubscribeParams{Subscription: s.id}, func(json.RawMessage, *schema.Error) {
		delete(p.subs, s.id)
	})
}

func (w *world) flush(t *rapid.T) {
	if _, err := w.readingPeer(t).call(schema.MethodFlush, schema.FlushParams{}, nil); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// settle waits until nobody writes and every subscriber has everything, and
// compares.
func (w *world) settle() {
	for _, p := range w.peers {
		p.resume()
	}
	w.quiesce()
	list, cursor := w.list(w.peers[0], nil)
	w.readHistory()
	if cursor.Seq != w.history.newest() {
		w.t.Fatalf("the list is at %d, the journal at %d", cursor.Seq, w.history.newest())
	}
	if now := w.history.at(new(schema.EventFilter), cursor.Seq); !maps.Equal(list, now) {
		w.t.Fatalf("task.list has\n%v\nthe journal gives\n%v", list, now)
	}
	w.compareAnswers()
	for _, s := range w.subs {
		w.settleSubscriber(s, cursor.Seq)
	}
}

func (w *world) settleSubscriber(s *subscriber, place int64) {
	deadline := time.NewTimer(stuck)
	defer deadline.Stop()
	for !s.reached(place) {
		w.check()
		if lost, _ := s.lost(); lost {
			w.reconnect()
			continue
		}
		select {
		case <-s.pulse:
		case <-w.failed:
		case <-deadline.C:
			w.t.Fatalf("subscriber %d %+v is at %d and does not reach %d", s.name, s.params, s.place, place)
		}
	}
	if err := s.compare(&w.history, place); err != nil {
		params, _ := json.Marshal(s.params)
		w.t.Fatalf("subscriber %d, %s %s: %v", s.name, s.start, params, err)
	}
	if f := s.filter(); f.Text == nil {
		list, _ := w.list(w.peers[0], &f.Filter)
		if want := w.history.at(f, place); !maps.Equal(list, want) {
			w.t.Fatalf("task.list with %+v has\n%v\nnot\n%v", f, list, want)
		}
	}
}

// within ends the test when wait does not return.
func (w *world) within(what string, wait func()) {
	done := make(chan struct{})
	go func() { wait(); close(done) }()
	select {
	case <-done:
	case <-w.failed:
		w.check()
	case <-time.After(stuck):
		w.t.Fatalf("%s hang", what)
	}
}
