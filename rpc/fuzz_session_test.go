package rpc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire/wiretest"
	"github.com/descartes-tasks/descartes/schema"
)

// fuzzLimits are so small that a fuzzer meets them.
var fuzzLimits = Limits{MaxMessage: 4 << 10, MaxAnswer: 32 << 10, MaxSubscriptions: 3, MaxInFlight: 4, MaxBatch: 8}

// FuzzSession plays a session of any messages, one a line, all of them pipelined
// but where an empty line lets time pass. Each request is answered once, as the
// specification wants it and with its id; what answers and notifications tell is
// what the journal tells; and afterwards the connection lives on, unless a message
// was too long. A second connection watches: it gets the whole journal. Time is
// virtual: what hangs, or leaves a goroutine behind, fails at once.
func FuzzSession(f *testing.F) {
	for _, sent := range transcripts(f) {
		for chunk := range slices.Chunk(sent, 12) {
			f.Add([]byte(strings.ReplaceAll(strings.Join(chunk, "\n"), "EPOCH", "memory")))
		}
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"task.create","params":["a"]}` + "\n\n" +
		`[{"jsonrpc":"2.0","id":2,"method":"task_subscribe","params":{"since":"start","batch":{"max":2,"wait_ms":100}}},` +
		`{"jsonrpc":"2.0","id":2,"method":"task.update","params":{"id":"t1","status":"done"}},{"jsonrpc":"2.0","method":"task.delete","params":["t1"]}]` + "\n" +
		strings.Repeat(" ", int(fuzzLimits.MaxMessage)+1) + "\n{}"))
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := newFuzzedWorld(t)
			watcher, player := w.connect(), w.connect()
			watcher.say(`{"jsonrpc":"2.0","id":1,"method":"task.subscribe","params":{"since":"start","debounce_ms":0}}`)
			watcher.say(`{"jsonrpc":"2.0","id":2,"method":"task.subscribe","params":{"debounce_ms":100,"batch":{"max":3,"wait_ms":50}}}`)
			synctest.Wait()
			tooLong := player.play(string(script))
			if !tooLong {
				player.say(`{"jsonrpc":"2.0","id":"the end","method":"server.ping"}`)
			}
			time.Sleep(3 * time.Minute) // longer than every window
			player.end(tooLong)
			watcher.end(false)
			w.stop()
			w.log = must(w.journal.Events(t.Context(), 0, schema.MaxSeq, 1<<20))
			for _, p := range []*fuzzPeer{watcher, player} {
				p.checkAnswers()
				p.checkNotifications(p == player)
			}
			w.checkWatcher(watcher)
		})
	})
}

// play sends the lines of a script up to the first that is too long, and tells
// whether there is one.
func (p *fuzzPeer) play(script string) (tooLong bool) {
	for message := range strings.SplitSeq(script, "\n") {
		switch {
		case message == "":
			time.Sleep(50 * time.Millisecond)
		case len(message) > int(fuzzLimits.MaxMessage):
			synctest.Wait() // what is not yet answered when the connection ends never is
			check(p.t, p.conn.Write([]byte(message)))
			return true
		default:
			p.say(message)
		}
	}
	return false
}

// fuzzAnswer is a response; in the data of its error is what the limit is that was
// exceeded.
type fuzzAnswer struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Code    int
		Message string
		Data    struct{ Reason, Limit string }
	} `json:"error"`
}

// checkAnswers checks that everything that was sent is answered once.
func (p *fuzzPeer) checkAnswers() {
	p.t.Helper()
	var want, got []string
	for _, message := range p.sent {
		answers, batched := wiretest.Answers([]byte(message), fuzzLimits.MaxBatch)
		for i := range answers {
			if answers[i].Code == 0 && p.server.methods[answers[i].Method] == nil {
				answers[i].Code = -32601
			}
		}
		if len(answers) > 0 {
			want = append(want, outline(answers, batched))
		}
	}
	for _, frame := range p.frames {
		if list, batched := responses(p.t, frame); list != nil {
			answers := make([]wiretest.Answer, len(list))
			for i, a := range list {
				answers[i] = p.checkAnswer(a, frame)
			}
			got = append(got, outline(answers, batched))
		}
	}
	slices.Sort(want) // answers may overtake each other
	slices.Sort(got)
	if !slices.Equal(got, want) {
		p.t.Fatalf("%q\nis answered with\n%q, want\n%q", p.sent, got, want)
	}
}

// outline shows the ids and codes of a message.
func outline(answers []wiretest.Answer, batched bool) string {
	var list []string
	for _, a := range answers {
		list = append(list, fmt.Sprint(a.ID, " ", a.Code))
	}
	return fmt.Sprint(list, batched)
}

// responses reads a frame; it gives nil for a notification.
func responses(t *testing.T, frame string) (list []fuzzAnswer, batched bool) {
	t.Helper()
	if strings.HasPrefix(frame, "[") {
		check(t, json.Unmarshal([]byte(frame), &list))
		return list, true
	}
	var one struct {
		fuzzAnswer
		Method *string
	}
	check(t, json.Unmarshal([]byte(frame), &one))
	if one.Method != nil {
		return nil, false
	}
	return []fuzzAnswer{one.fuzzAnswer}, false
}

// checkAnswer checks a response, and that the tasks in its result are the
// journal's. Errors that are for the method to say have no code.
func (p *fuzzPeer) checkAnswer(a fuzzAnswer, frame string) wiretest.Answer {
	p.t.Helper()
	if a.Version != "2.0" || a.ID == nil || (a.Result == nil) == (a.Error == nil) ||
		a.Error != nil && (a.Error.Code == 0 || a.Error.Message == "" || a.Error.Data.Reason == "" || a.Error.Code == -32603) {
		p.t.Fatalf("no response: %s", frame)
	}
	outcome := wiretest.Answer{ID: string(a.ID)}
	if e := a.Error; e != nil && (e.Code <= -32600 && e.Code != -32602 || e.Data.Limit == "batch") {
		outcome.Code = e.Code
	}
	if a.Result == nil || a.Result[0] != '{' {
		return outcome
	}
	var result struct {
		Tasks, Results []json.RawMessage
	}
	check(p.t, json.Unmarshal(a.Result, &result))
	for _, document := range append(append(result.Tasks, result.Results...), a.Result) {
		var task struct {
			ID, Title string
			Version   int64
		}
		_ = json.Unmarshal(document, &task) // server.info has a version that is no number
		if task.ID == "" || task.Version == 0 {
			continue // something else
		}
		if e := p.event(task.Version); e.TaskID != task.ID || task.Title != "" && string(e.Task) != string(document) {
			p.t.Fatalf("%s\nsays %s, the journal %s", frame, document, e.Task)
		}
	}
	return outcome
}

// event gives an event of the journal.
func (w *fuzzedWorld) event(seq int64) *schema.Event {
	w.t.Helper()
	if seq < 1 || seq > int64(len(w.log)) {
		w.t.Fatalf("there is no event %d", seq)
	}
	return &w.log[seq-1]
}

// fuzzNotification is what comes in of a subscription.
type fuzzNotification struct {
	Method string
	Params struct {
		Subscription string
		Result       struct {
			schema.Event
			BatchID string `json:"batch_id"`
			Events  []schema.Event
		}
	}
}

// checkNotifications checks that they come after the answer that told their
// subscription, in order, and say of each event what the journal says.
func (p *fuzzPeer) checkNotifications(own bool) {
	p.t.Helper()
	subscriptions := make(map[string]*received)
	for _, frame := range p.frames {
		if list, _ := responses(p.t, frame); list != nil {
			for _, a := range list {
				var id string
				if json.Unmarshal(a.Result, &id); strings.HasPrefix(id, "s") { // no other result is such a string
					subscriptions[id] = &received{world: p.fuzzedWorld, own: own, seqs: make(map[string]int64)}
				}
			}
			continue
		}
		var n fuzzNotification
		check(p.t, json.Unmarshal([]byte(frame), &n))
		s := subscriptions[n.Params.Subscription]
		methods := []string{schema.NotifyEvent, schema.NotifyEvents, schema.NotifySubscription}
		if s == nil || !slices.Contains(methods, n.Method) || strings.Contains(frame, "\n") {
			p.t.Fatalf("nobody has subscribed to %s", frame)
		}
		events := n.Params.Result.Events
		if n.Params.Result.BatchID == "" {
			events = []schema.Event{n.Params.Result.Event}
		}
		for i := range events {
			if fault := s.add(&events[i], n.Params.Result.BatchID != ""); fault != "" {
				p.t.Fatalf("%s: %s", fault, frame)
			}
		}
	}
	p.received = subscriptions
}

// received is what a subscription has delivered so far.
type received struct {
	world  *fuzzedWorld
	own    bool // every change is made by this connection
	cursor int64
	seqs   map[string]int64 // of each task, the last that was seen
	events []schema.Event
	total  int // changes that the events stand for
}

// add says what is wrong with the next event.
func (r *received) add(e *schema.Event, batched bool) string {
	switch e.ChangeType {
	case schema.Snapshot:
		if e.Cursor != "" || e.Coalesced != 0 || r.cursor != 0 {
			return "this is no snapshot"
		}
	default:
		cursor, err := schema.ParseCursor("cursor", e.Cursor)
		if err != nil || cursor.Epoch != "memory" || cursor.Seq < r.cursor || cursor.Seq > int64(len(r.world.log)) {
			return "the cursor is wrong"
		}
		r.cursor = cursor.Seq
		if e.ChangeType == schema.Bookmark && !batched && e.Seq == 0 {
			return ""
		}
		own := r.own && r.world.event(e.Seq).Source != 0 // the end of a claim is nobody's
		if e.Coalesced == 1 && e.Own != own || e.Own && !r.own || e.Coalesced < 1 || e.ChangeType != r.world.event(e.Seq).ChangeType {
			return "the event is wrong"
		}
		r.total += e.Coalesced
	}
	of := r.world.event(e.Seq)
	if e.TaskID != of.TaskID || e.Task != nil && string(e.Task) != string(of.Task) || e.Timestamp != of.Timestamp || e.Seq <= r.seqs[e.TaskID] {
		return "the event is not the journal's, or old"
	}
	r.seqs[e.TaskID] = e.Seq
	r.events = append(r.events, *e)
	return ""
}

// checkWatcher checks that the subscription to everything has got everything, and
// that the one that folds has got what stands for everything.
func (w *fuzzedWorld) checkWatcher(p *fuzzPeer) {
	w.t.Helper()
	every, folded := p.received["s1"], p.received["s2"]
	if len(every.events) != len(w.log) || every.total != len(w.log) || folded.total != len(w.log) {
		w.t.Fatalf("got %d events that stand for %d, and folded for %d, of %d", len(every.events), every.total, folded.total, len(w.log))
	}
	for i := range w.log {
		id := w.log[i].TaskID
		if every.events[i].Seq != w.log[i].Seq || folded.seqs[id] != every.seqs[id] {
			w.t.Fatalf("the last event of %s is %d, and folded %d", id, every.seqs[id], folded.seqs[id])
		}
	}
}
