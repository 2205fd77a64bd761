package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// scene is what a fake daemon does with one task.subscribe: it may be refused, and
// otherwise the messages are sent and, if cut is set, the connection is ended.
type scene struct {
	since  string // what must be asked for, "snapshot" for a snapshot
	early  []string
	refuse *schema.Error
	events []string // results of task.event
	cut    bool
}

// play starts a daemon that plays the scenes, one for each subscription.
func play(t *testing.T, scenes ...scene) *client.Client {
	t.Helper()
	var mu sync.Mutex
	var conns sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := wire.Accept(w, r, wire.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		conns.Add(1)
		conn.Serve(wire.Limits{}, func(r *wire.Request) {
			mu.Lock()
			defer mu.Unlock()
			if len(scenes) == 0 {
				t.Errorf("one subscription too many: %s", r.Params)
				return
			}
			scenes[0].answer(t, conn, r)
			scenes = scenes[1:]
		}, func(error) { conns.Done() })
	}))
	c := dial(t, server.URL, client.Options{Reconnect: true, Backoff: quickly})
	t.Cleanup(func() {
		c.Close()
		conns.Wait()
		server.Close()
	})
	return c
}

func (s scene) answer(t *testing.T, conn *wire.Conn, r *wire.Request) {
	var params schema.SubscribeParams
	if err := schema.Decode(r.Params, &params); err != nil {
		t.Error(err)
	}
	asked := ""
	if params.Since != nil {
		asked = *params.Since
	}
	if params.Snapshot != nil && *params.Snapshot {
		asked += "snapshot"
	}
	if asked != s.since {
		t.Errorf("asked for %q, want %q", asked, s.since)
	}
	notify := func(events []string) {
		for _, e := range events {
			params := []byte(`{"subscription":"s1","result":` + e + `}`)
			method := schema.NotifyEvent
			if strings.Contains(e, "batch_id") {
				method = schema.NotifyEvents
			}
			_ = conn.Write(wire.AppendNotification(nil, method, params))
		}
	}
	if s.refuse != nil {
		data, _ := json.Marshal(s.refuse.Data)
		_ = conn.Write(r.Answer(nil, &wire.Error{Code: int(s.refuse.Code), Message: s.refuse.Message, Data: data}))
		return
	}
	notify(s.early)
	_ = conn.Write(r.Answer([]byte(`"s1"`), nil))
	notify(s.events)
	if s.cut {
		go conn.CloseNow()
	}
}

const (
	a1     = `{"seq":1,"cursor":"e-1","change_type":"created","task_id":"a"}`
	b3     = `{"seq":3,"cursor":"e-1","change_type":"created","task_id":"b"}` // a2 is held back
	a2     = `{"seq":2,"cursor":"e-3","change_type":"updated","task_id":"a"}`
	a2live = `{"seq":2,"cursor":"e-2","change_type":"updated","task_id":"a"}`
	b3live = `{"seq":3,"cursor":"e-3","change_type":"created","task_id":"b"}`
	b4     = `{"seq":4,"cursor":"e-4","change_type":"updated","task_id":"b"}`
	mark1  = `{"change_type":"bookmark","cursor":"e-1","live":true}`
	mark9  = `{"change_type":"bookmark","cursor":"f-9","live":true}`
	snapA  = `{"change_type":"snapshot","seq":1,"task_id":"a"}`
	resync = `{"change_type":"resync","reason":"compacted"}`
	batch  = `{"batch_id":"b1","timestamp":1,"events":[` + b3live + `,` + b4 + `]}`
)

// story takes n events and tells them in short.
func story(t *testing.T, s *client.Subscription, n int) string {
	t.Helper()
	var words []string
	for range n {
		e := nextAny(t, s)
		word := string(e.ChangeType)
		switch {
		case e.TaskID != "":
			word = e.TaskID + string(rune('0'+e.Seq))
		case e.Reason != "":
			word += ":" + e.Reason
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestResume(t *testing.T) {
	expired := schema.CursorExpired(schema.CursorEpoch, schema.Cursor{Epoch: "f"})
	for name, test := range map[string]struct {
		since  string
		scenes []scene
		want   string
		end    error
	}{
		"before the first cursor as asked": {
			scenes: []scene{{cut: true}, {events: []string{mark1}}},
			want:   "bookmark",
		},
		"early notifications are kept": {
			scenes: []scene{{early: []string{mark1, a1}, events: []string{a2live}}},
			want:   "bookmark a1 a2",
		},
		"batches are taken apart": {
			scenes: []scene{{events: []string{a1, batch}}},
			want:   "a1 b3 b4",
		},
		"after the last cursor": {
			since: "start",
			scenes: []scene{
				{since: "start", events: []string{a1, a2live}, cut: true},
				{since: "e-2", cut: true},
				{since: "e-2", events: []string{b3live}, cut: true},
				{since: "e-3", events: []string{b4}},
			},
			want: "a1 a2 b3 b4",
		},
		"what was beyond the cursor comes once": {
			scenes: []scene{
				{events: []string{a1, b3}, cut: true},
				{since: "e-1", events: []string{a2live, b3live, b4}},
			},
			want: "a1 b3 a2 b4",
		},
		"a held change that was sent is not repeated": {
			scenes: []scene{
				{events: []string{a1, b3, a2}, cut: true},
				{since: "e-3", events: []string{b4}},
			},
			want: "a1 b3 a2 b4",
		},
		"a snapshot goes on after its bookmark": {
			since: "snapshot",
			scenes: []scene{
				{since: "snapshot", events: []string{snapA, mark1}, cut: true},
				{since: "e-1", events: []string{a2live}},
			},
			want: "a1 bookmark a2",
		},
		"an unfinished snapshot starts over": {
			since: "snapshot",
			scenes: []scene{
				{since: "snapshot", events: []string{snapA}, cut: true},
				{since: "snapshot", events: []string{snapA, mark1}},
			},
			want: "a1 resync:interrupted a1 bookmark",
		},
		"a resync of the daemon within its snapshot": {
			since:  "snapshot",
			scenes: []scene{{since: "snapshot", events: []string{mark1, resync, snapA, mark9}}},
			want:   "bookmark resync:compacted a1 bookmark",
		},
		"a resync after a resume asks for a snapshot": {
			since: "snapshot",
			scenes: []scene{
				{since: "snapshot", events: []string{snapA, mark1}, cut: true},
				{since: "e-1", events: []string{resync}},
				{since: "snapshot", events: []string{snapA, mark9}},
			},
			want: "a1 bookmark resync:compacted a1 bookmark",
		},
		"a resync without a snapshot ends": {
			scenes: []scene{{events: []string{mark1, resync}}},
			want:   "bookmark resync:compacted",
			end:    expired,
		},
		"an expired cursor with a snapshot": {
			since: "snapshot",
			scenes: []scene{
				{since: "snapshot", events: []string{mark1}, cut: true},
				{since: "e-1", refuse: expired},
				{since: "snapshot", events: []string{snapA, mark9}},
			},
			want: "bookmark resync:epoch a1 bookmark",
		},
		"an expired cursor without a snapshot ends": {
			scenes: []scene{{events: []string{mark1}, cut: true}, {since: "e-1", refuse: expired}},
			want:   "bookmark",
			end:    expired,
		},
		"a daemon that is about to stop": {
			scenes: []scene{
				{events: []string{mark1}, cut: true},
				{since: "e-1", refuse: schema.ShuttingDown()},
				{since: "e-1", events: []string{a2live}},
			},
			want: "bookmark a2",
		},
		"an answer that will not change": {
			scenes: []scene{{events: []string{mark1}, cut: true}, {since: "e-1", refuse: schema.LimitExceeded("subscriptions", 0)}},
			want:   "bookmark",
			end:    schema.LimitExceeded("", 0),
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := play(t, test.scenes...)
			var params schema.SubscribeParams
			switch test.since {
			case "":
			case "snapshot":
				params.Snapshot = new(true)
			default:
				params.Since = &test.since
			}
			sub, err := c.Subscribe(t.Context(), params)
			must(t, err)
			if got := story(t, sub, len(strings.Fields(test.want))); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if test.end == nil {
				return
			}
			if _, err := sub.Next(t.Context()); !errors.Is(err, test.end) {
				t.Errorf("ended with %v, want %v", err, test.end)
			}
		})
	}
}
