package rpc_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/descartes-tasks/descartes/schema"
)

// held is a task as a subscriber has it: its document is "" without include_task.
type held struct {
	version int64
	task    string
}

type view map[string]held

// subscriber is what a client with a view of the tasks does, as the protocol says,
// and checks on the way what it is promised. It lives through disconnections.
type subscriber struct {
	w      *world
	name   int
	params schema.SubscribeParams // Since and Snapshot only for the first time
	start  string                 // "snapshot", "list", "start" or "now"

	mu     sync.Mutex
	peer   *peer // nil: disconnected, or ended by a resync
	id     string
	over   bool // it has to start from the beginning
	pulse  chan struct{}
	view   view
	cursor string // "" before the first one
	place  int64  // of cursor
	base   int64  // what was not touched after this place is not in the view; -1: not known yet
	lives  int    // bookmarks with live, of this connection

	// What came since from, which is the place of the last comparison or, where that
	// is later, the first that is known.
	from      int64 // -1: not known yet
	got       []schema.Event
	rejoined  bool             // events may have come twice
	perTask   map[string]int64 // seq of the last event of each task, of this connection
	lastSeq   int64            // of this connection
	snapshots bool             // this connection's subscription answers a resync with a snapshot
	shownAt   int64            // place of the snapshot; -1: it goes on
	presented view             // the snapshot, until it is compared
}

func (s *subscriber) filter() *schema.EventFilter {
	if s.params.Filter == nil {
		return new(schema.EventFilter)
	}
	return s.params.Filter
}

func (s *subscriber) withTask() bool { return s.params.IncludeTask == nil || *s.params.IncludeTask }

func (s *subscriber) everyChange() bool { return *s.params.DebounceMS == 0 }

// sees tells whether the view can be made of what such a subscriber is told.
func (s *subscriber) sees() bool {
	return s.filter().ChangeTypes == nil && !s.filter().StatusChangesOnly
}

// begun is called with the answer to task.subscribe, before anything else comes.
func (s *subscriber) begun(p *peer, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer, s.id, s.lives, s.lastSeq, s.perTask = p, id, 0, 0, make(map[string]int64)
	p.subs[id] = s
}

// disconnected is called when nothing more comes from p.
func (s *subscriber) disconnected(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != p {
		return // it was over before, and began again elsewhere
	}
	s.peer = nil
	s.over = s.over || s.cursor == ""
	s.wake()
}

func (s *subscriber) wake() {
	select {
	case s.pulse <- struct{}{}:
	default:
	}
}

// notified takes what came in one message.
func (s *subscriber) notified(from *peer, events []schema.Event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake()
	for i := range events {
		if s.peer != from {
			err = fmt.Errorf("%+v came after the end", events[i])
		}
		if err == nil {
			err = s.take(&events[i])
		}
	}
	if err != nil {
		s.w.fail("subscriber %d (%s): %v", s.name, s.id, err)
	}
}

// take checks one event and applies it to the view.
func (s *subscriber) take(e *schema.Event) error {
	switch e.ChangeType {
	case schema.Resync:
		return s.resync(e)
	case schema.Snapshot:
		if e.Cursor != "" || !s.snapshots || s.shownAt >= 0 {
			return fmt.Errorf("unexpected %+v", e)
		}
		s.set(e)
		return nil
	}
	if err := s.advance(e); err != nil || e.ChangeType == schema.Bookmark {
		return err
	}
	s.got = append(s.got, *e)
	if e.Seq <= s.perTask[e.TaskID] || s.everyChange() && e.Seq <= s.lastSeq {
		return fmt.Errorf("event %d of %s comes after %d, and %d of it", e.Seq, e.TaskID, s.lastSeq, s.perTask[e.TaskID])
	}
	s.perTask[e.TaskID], s.lastSeq = e.Seq, e.Seq
	if e.Seq <= s.view[e.TaskID].version {
		if !s.rejoined {
			return fmt.Errorf("event %d of %s came twice", e.Seq, e.TaskID)
		}
		return nil
	}
	if e.ChangeType == schema.Deleted || e.Left {
		delete(s.view, e.TaskID)
	} else {
		s.set(e)
	}
	return nil
}

func (s *subscriber) set(e *schema.Event) { s.view[e.TaskID] = held{e.Seq, string(e.Task)} }

// advance moves the cursor to that of an event.
func (s *subscriber) advance(e *schema.Event) error {
	c, err := schema.ParseCursor("cursor", e.Cursor)
	if err != nil {
		return err
	}
	if c.Seq < s.place || s.everyChange() && e.Seq != 0 && e.Seq != c.Seq {
		return fmt.Errorf("the cursor of event %d goes from %d to %d", e.Seq, s.place, c.Seq)
	}
	s.cursor, s.place = e.Cursor, c.Seq
	before := c.Seq // the place before this event
	if e.Seq != 0 {
		before = e.Seq - 1
	}
	if s.from < 0 {
		s.from = before
	}
	if s.base < 0 {
		s.base = before
	}
	if s.snapshots && s.shownAt < 0 {
		s.presented, s.shownAt = maps.Clone(s.view), before
	}
	if e.Live {
		s.lives++
	}
	if s.lives > 1 {
		return fmt.Errorf("the past was over %d times", s.lives)
	}
	return nil
}

// resync clears the view. A subscription that began with a snapshot gets a new one;
// any other is over.
func (s *subscriber) resync(e *schema.Event) error {
	if e.Cursor != "" || e.Reason != schema.CursorCompacted {
		return fmt.Errorf("a strange resync: %+v", e)
	}
	if s.w.pruned.Load() == 0 {
		return fmt.Errorf("a resync, but nothing was pruned")
	}
	if !s.snapshots {
		s.over, s.peer = true, nil
		return nil
	}
	s.clear(-1, 0)
	s.lives, s.perTask, s.lastSeq = 0, make(map[string]int64), 0
	return nil
}

// clear forgets everything. from and base are those of the new beginning.
func (s *subscriber) clear(from, base int64) {
	s.view, s.got, s.cursor, s.place, s.rejoined = view{}, nil, "", max(from, 0), false
	s.from, s.base, s.presented, s.shownAt = from, base, nil, -1
}

// reached tells whether everything up to a place is here, and the past is over.
func (s *subscriber) reached(place int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer != nil && s.place >= place && s.lives == 1
}

// connection gives the connection that the subscription is on, nil if it is lost.
func (s *subscriber) connection() *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer
}

// lost tells whether there is no subscription any more, and whether it can be
// resumed.
func (s *subscriber) lost() (lost, resumable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer == nil, !s.over
}

// compare checks everything against the model at a place that the subscriber has
// reached, and forgets what it has compared.
func (s *subscriber) compare(h *history, through int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.filter()
	if s.everyChange() {
		if err := s.compareEvents(h.told(f, s.from, through)); err != nil {
			return err
		}
	} else if err := s.compareFolds(h, through); err != nil {
		return err
	}
	if s.presented != nil && s.sees() && s.everyChange() {
		if err := s.same(h.at(f, s.shownAt), s.presented); err != nil {
			return fmt.Errorf("snapshot at %d: %w", s.shownAt, err)
		}
	}
	s.presented = nil
	if s.sees() {
		want := h.at(f, through)
		maps.DeleteFunc(want, func(_ string, task held) bool { return task.version <= s.base })
		if err := s.same(want, s.view); err != nil {
			return fmt.Errorf("view at %d: %w", through, err)
		}
	}
	s.from, s.got, s.rejoined = through, nil, false
	return nil
}

func (s *subscriber) same(want, got view) error {
	for id, task := range want {
		if !s.withTask() {
			task.task = ""
		}
		if got[id] != task {
			return fmt.Errorf("task %s is %+v, not %+v", id, got[id], task)
		}
	}
	for id, task := range got {
		if _, there := want[id]; !there {
			return fmt.Errorf("task %s is not to be seen: %+v", id, task)
		}
	}
	return nil
}

// compareEvents checks that every event came, once, in order, and told the truth.
func (s *subscriber) compareEvents(want []*entry) error {
	for i, e := range want {
		if i >= len(s.got) || s.got[i].Seq != e.seq {
			return fmt.Errorf("event %d is missing: %s", e.seq, seqs(s.got))
		}
		if err := e.check(&s.got[i], s.filter(), s.withTask()); err != nil {
			return err
		}
		if own := e.maker == s.peer.name; e.maker != 0 && own != s.got[i].Own && !s.rejoined {
			return fmt.Errorf("event %d of connection %d, on %d: %+v", e.seq, e.maker, s.peer.name, s.got[i])
		}
	}
	if len(s.got) > len(want) {
		return fmt.Errorf("event %d should not have come", s.got[len(want)].Seq)
	}
	return nil
}

// compareFolds checks what folding must not lose: creations, deletions, and the
// number of changes.
func (s *subscriber) compareFolds(h *history, through int64) error {
	told, changes := map[int64]bool{}, map[string]int{}
	for _, e := range s.got {
		told[e.Seq] = true
		changes[e.TaskID] += e.Coalesced
	}
	everything := s.filter().IsZero() && s.sees() && !s.rejoined
	for _, e := range h.told(s.filter(), s.from, through) {
		if e.kind != schema.Updated && !told[e.seq] {
			return fmt.Errorf("%s event %d is missing: %s", e.kind, e.seq, seqs(s.got))
		}
		changes[e.id]--
	}
	for id, more := range changes {
		if everything && more != 0 {
			return fmt.Errorf("task %s has %d changes more than it had: %s", id, more, seqs(s.got))
		}
	}
	return nil
}

func seqs(events []schema.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%d %s %s x%d", e.Seq, e.TaskID, e.ChangeType, e.Coalesced))
	}
	text, _ := json.Marshal(all)
	return string(text)
}
