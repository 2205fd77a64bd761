package emitter

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// TestFold plays scripts. A line is a time in milliseconds and what happens to a
// task then; windows are 100 ms long; the subscriber is connection 7, which "own"
// makes the change. Of each event the answer has: time, seq, kind, how many
// changes, statuses, previous, and the place of the cursor.
func TestFold(t *testing.T) {
	high := schema.EventFilter{Filter: schema.Filter{Status: []schema.Status{schema.Todo}}}
	for _, test := range []struct {
		name   string
		filter schema.EventFilter
		script string
		want   string
	}{
		{
			"outside a window a change goes out at once",
			schema.EventFilter{},
			`0 a created todo; 100 a todo>done; 200 a done>todo`,
			`0 #1 created x1 >todo @1; 100 #2 updated x1 todo>done {"status":"todo"} @2; 200 #3 updated x1 done>todo {"status":"done"} @3`,
		},
		{
			"inside it changes are folded",
			schema.EventFilter{},
			`0 a created todo; 10 a todo>done; 20 a done>blocked; 30 a blocked>in_progress`,
			`0 #1 created x1 >todo @1; 100 #4 updated x3 todo>in_progress {"status":"todo"} @4`,
		},
		{
			"sending a fold opens the next window",
			schema.EventFilter{},
			`0 a created todo; 10 a todo>done; 110 a done>todo; 190 a todo>blocked; 210 a blocked>done`,
			`0 #1 created x1 >todo @1; 100 #2 updated x1 todo>done {"status":"todo"} @2; 200 #4 updated x2 done>blocked {"status":"done"} @4; 300 #5 updated x1 blocked>done {"status":"blocked"} @5`,
		},
		{
			"a fold that ends where it began is sent",
			schema.EventFilter{},
			`0 a created todo; 10 a todo>done; 20 a done>todo`,
			`0 #1 created x1 >todo @1; 100 #3 updated x2 todo>todo {} @3`,
		},
		{
			"windows belong to tasks, and the cursor stays before what is held",
			schema.EventFilter{},
			`0 a created todo; 10 a todo>done; 20 b created todo; 30 b todo>done; 40 c created todo`,
			`0 #1 created x1 >todo @1; 20 #3 created x1 >todo @1; 40 #5 created x1 >todo @1; 100 #2 updated x1 todo>done {"status":"todo"} @3; 120 #4 updated x1 todo>done {"status":"todo"} @5`,
		},
		{
			"a deletion comes at once and counts what was held",
			schema.EventFilter{},
			`0 a created todo; 10 a todo>done; 20 a done>blocked; 30 a deleted blocked; 40 a created todo; 50 a todo>done`,
			`0 #1 created x1 >todo @1; 30 #4 deleted x3 todo> @4; 40 #5 created x1 >todo @5; 140 #6 updated x1 todo>done {"status":"todo"} @6`,
		},
		{
			"a deletion with nothing held",
			schema.EventFilter{},
			`0 a created todo; 30 a deleted todo; 40 a created done`,
			`0 #1 created x1 >todo @1; 30 #2 deleted x1 todo> @2; 40 #3 created x1 >done @3`,
		},
		{
			"left is judged from last seen to newest", high,
			`0 a created todo; 10 a todo>done; 20 a done>blocked`,
			`0 #1 created x1 >todo @1; 100 #3 updated x1 todo>blocked {"status":"todo"} left @3`,
		},
		{
			"left and back is not left", high,
			`0 a created todo; 10 a todo>done; 20 a done>todo`,
			`0 #1 created x1 >todo @1; 100 #3 updated x2 todo>todo {} @3`,
		},
		{
			"in view neither before nor now is not sent", high,
			`0 a created todo; 100 a todo>done; 110 a done>todo; 120 a todo>done; 400 b created todo`,
			`0 #1 created x1 >todo @1; 100 #2 updated x1 todo>done {"status":"todo"} left @2; 400 #5 created x1 >todo @5`,
		},
		{
			"what matches neither before nor after does not count", high,
			`0 a created todo; 10 a todo>done; 20 a done>blocked; 30 a blocked>done; 40 a done>todo; 50 a todo>todo`,
			`0 #1 created x1 >todo @1; 100 #6 updated x3 todo>todo {} @6`,
		},
		{
			"what does not count holds no cursor", high,
			`0 a created todo; 100 a todo>done; 110 a done>blocked; 120 b created todo; 130 a blocked>todo; 140 c created todo`,
			`0 #1 created x1 >todo @1; 100 #2 updated x1 todo>done {"status":"todo"} left @2; 120 #4 created x1 >todo @4; 140 #6 created x1 >todo @4; 200 #5 updated x1 done>todo {"status":"done"} @6`,
		},
		{
			"gone from view and deleted", high,
			`0 a created todo; 10 a todo>done; 20 a deleted done`,
			`0 #1 created x1 >todo @1; 20 #3 deleted x2 todo> @3`,
		},
		{
			"neither before nor at its deletion in view", high,
			`0 a created todo; 100 a todo>done; 110 a done>todo; 120 a todo>done; 130 a deleted done`,
			`0 #1 created x1 >todo @1; 100 #2 updated x1 todo>done {"status":"todo"} left @2`,
		},
		{
			"status changes only",
			schema.EventFilter{StatusChangesOnly: true},
			`0 a created todo; 10 a todo>todo; 20 a todo>done; 30 a done>done; 300 a done>done; 310 a done>todo`,
			`0 #1 created x1 >todo @1; 100 #4 updated x1 todo>done {"status":"todo"} @4; 310 #6 updated x1 done>todo {"status":"done"} @6`,
		},
		{
			"no deletions: what was held comes instead",
			schema.EventFilter{ChangeTypes: []schema.ChangeType{schema.Created, schema.Updated}},
			`0 a created todo; 10 a todo>done; 20 a deleted done`,
			`0 #1 created x1 >todo @1; 20 #2 updated x1 todo>done {"status":"todo"} @3`,
		},
		{
			"deletions only",
			schema.EventFilter{ChangeTypes: []schema.ChangeType{schema.Deleted}},
			`0 a created todo; 10 a todo>done; 20 a deleted done`,
			`20 #3 deleted x1 done> @3`,
		},
		{
			"own if all are",
			schema.EventFilter{},
			`0 a created todo own; 10 a todo>done own; 20 a done>todo own; 110 a todo>done own; 120 a done>todo; 220 a todo>done own; 230 a deleted done own`,
			`0 #1 created x1 >todo own @1; 100 #3 updated x2 todo>todo {} own @3; 200 #5 updated x2 todo>todo {} @5; 230 #7 deleted x2 todo> own @7`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(newPlayer(test.filter).play(t, test.script), "; ")
			if got != test.want {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.ReplaceAll(got, "; ", "\n\t"), strings.ReplaceAll(test.want, "; ", "\n\t"))
			}
		})
	}
}

// player plays a subscription as its goroutine does, with times given.
type player struct {
	s     Subscription
	start time.Time
	seq   int64
	lines []string
}

func newPlayer(filter schema.EventFilter) *player {
	p := &player{start: time.UnixMilli(0)}
	p.s = Subscription{spec: Spec{Filter: filter, Source: 7}, fold: newFold(100*time.Millisecond, 0)}
	return p
}

func (p *player) play(t *testing.T, script string) []string {
	t.Helper()
	for line := range strings.SplitSeq(script, "; ") {
		words := strings.Fields(line)
		ms, _ := strconv.Atoi(words[0])
		now := p.start.Add(time.Duration(ms) * time.Millisecond)
		p.passTo(now)
		it := p.happens(words[1:])
		v, err := p.s.look(it)
		if err != nil {
			t.Fatal(err)
		}
		p.s.place.Store(it.event.Seq)
		if out, send := p.s.fold.add(now, it, v); send {
			p.note(now, out)
		}
	}
	p.passTo(p.start.Add(time.Hour))
	if f := p.s.fold; f.bytes != 0 || f.count != 0 || f.held.Len()+f.ending.Len()+len(f.tasks) != 0 {
		t.Errorf("at the end the fold is %+v", f)
	}
	return p.lines
}

// passTo lets windows end that end until then.
func (p *player) passTo(now time.Time) {
	for end, any := p.s.fold.next(); any && !end.After(now); end, any = p.s.fold.next() {
		p.s.fold.expire(end, func(f folded) { p.note(end, f) })
	}
}

// happens gives the event of "a created todo", "a todo>done" or "a deleted done".
func (p *player) happens(words []string) *item {
	p.seq++
	e := schema.Event{Seq: p.seq, TaskID: words[0], ChangeType: schema.Updated}
	before, after, _ := strings.Cut(words[1], ">")
	switch words[1] {
	case "created":
		e.ChangeType, before, after = schema.Created, "", words[2]
	case "deleted":
		e.ChangeType, before, after = schema.Deleted, words[2], ""
	default:
		e.Previous = fmt.Appendf(nil, `{"title":"title %d"}`, p.seq-1)
		if before != after {
			e.Previous = fmt.Appendf(nil, `{"status":%q}`, before)
		}
	}
	if words[len(words)-1] == "own" {
		e.Source = 7
	}
	e.PreviousStatus, e.NewStatus = schema.Status(before), schema.Status(after)
	task := schema.Task{ID: e.TaskID, Title: "title", Status: e.NewStatus, Metadata: json.RawMessage("{}"), Version: p.seq}
	if e.ChangeType == schema.Deleted {
		task.Status = e.PreviousStatus
	}
	if string(e.Previous) != "" && before == after {
		e.Previous = []byte(`{}`) // something that the script does not show
	}
	e.Task = task.AppendJSON(nil)
	return &item{event: e}
}

func (p *player) note(now time.Time, f folded) {
	e := &f.item.event
	text := fmt.Sprintf("%d #%d %s x%d %s>%s", now.UnixMilli(), e.Seq, e.ChangeType, f.coalesced, e.PreviousStatus, e.NewStatus)
	if e.ChangeType == schema.Updated {
		text += " " + string(e.Previous)
	}
	if f.left {
		text += " left"
	}
	if f.own {
		text += " own"
	}
	p.lines = append(p.lines, fmt.Sprintf("%s @%d", text, p.s.cursor()))
}

// A fold that holds too much gives it up early, oldest window first, and loses
// nothing.
func TestFoldHoldsBoundedBytes(t *testing.T) {
	p := newPlayer(schema.EventFilter{})
	big := strings.Repeat("x", 60<<10)
	const tasks = 100
	sent := map[string]int64{}
	for round := range 3 {
		for i := range tasks {
			kind := "todo>done"
			if round == 0 {
				kind = "created"
			}
			it := p.happens([]string{fmt.Sprint("t", i), kind, "todo"})
			task, err := schema.ParseTask(it.event.Task)
			if err != nil {
				t.Fatal(err)
			}
			task.Title = big
			it.event.Task = task.AppendJSON(nil)
			p.s.fold.expire(p.start, func(f folded) { sent[f.item.event.TaskID] = f.item.event.Seq })
			if p.s.fold.bytes > maxFoldBytes {
				t.Fatalf("%d bytes are held", p.s.fold.bytes)
			}
			v, _ := p.s.look(it)
			if out, send := p.s.fold.add(p.start, it, v); send {
				sent[out.item.event.TaskID] = out.item.event.Seq
			}
		}
	}
	if len(sent) != tasks || p.s.fold.bytes > maxFoldBytes+200<<10 {
		t.Errorf("%d tasks were sent, %d bytes are held", len(sent), p.s.fold.bytes)
	}
	early := 0
	for _, seq := range sent {
		if seq > tasks {
			early++
		}
	}
	if early == 0 {
		t.Error("no window ended early")
	}
	p.s.fold.flush(p.start, func(f folded) { sent[f.item.event.TaskID] = f.item.event.Seq })
	for i := range tasks {
		if got, want := sent[fmt.Sprint("t", i)], int64(2*tasks+i+1); got != want {
			t.Errorf("task %d: the last event was %d, not %d", i, got, want)
		}
	}
	if p.s.fold.bytes != 0 || p.s.fold.count != 0 {
		t.Errorf("at the end %d bytes, %d changes are held", p.s.fold.bytes, p.s.fold.count)
	}
}
