package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// player is a fake daemon of several. It does with each request what it was told last.
type player struct {
	epoch string // of its journal
	url   string
	does  atomic.Pointer[func(conn *wire.Conn, r *wire.Request)]
	asked atomic.Int64 // requests besides server.info
	full  atomic.Bool  // it takes no connection
}

func startPlayer(t *testing.T, epoch string, does func(*wire.Conn, *wire.Request)) *player {
	t.Helper()
	p := &player{epoch: epoch}
	p.does.Store(&does)
	var conns sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.full.Load() {
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		conn, err := wire.Accept(w, r, wire.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		conns.Add(1)
		conn.Serve(wire.Limits{}, func(r *wire.Request) {
			if r.Method == schema.MethodInfo {
				_ = conn.Write(r.Answer([]byte(`{"epoch":"`+p.epoch+`"}`), nil))
				return
			}
			p.asked.Add(1)
			(*p.does.Load())(conn, r)
		}, func(error) { conns.Done() })
	}))
	t.Cleanup(func() { conns.Wait(); server.Close() })
	p.url = server.URL
	return p
}

// deeds of a player.
func answers(result string) func(*wire.Conn, *wire.Request) {
	return func(conn *wire.Conn, r *wire.Request) { _ = conn.Write(r.Answer([]byte(result), nil)) }
}

func refuses(e *schema.Error) func(*wire.Conn, *wire.Request) {
	return func(conn *wire.Conn, r *wire.Request) {
		data, _ := json.Marshal(e.Data)
		_ = conn.Write(r.Answer(nil, &wire.Error{Code: int(e.Code), Message: e.Message, Data: data}))
	}
}

func cuts(conn *wire.Conn, _ *wire.Request) { go conn.CloseNow() }

// tells answers a subscription that asks to go on after since, and sends events; then it
// cuts the connection, if that is wanted.
func tells(t *testing.T, since string, cut bool, events ...string) func(*wire.Conn, *wire.Request) {
	return func(conn *wire.Conn, r *wire.Request) {
		scene{since: since, events: events, cut: cut}.answer(t, conn, r)
	}
}

func urlsOf(players ...*player) string {
	urls := make([]string, len(players))
	for i, p := range players {
		urls[i] = p.url
	}
	return strings.Join(urls, ", ")
}

var several = client.Options{Reconnect: true, Backoff: quickly, DialTimeout: 5 * time.Second}

// mute is the address of somebody who takes connections and says nothing.
func mute(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes them
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	return "ws://" + listener.Addr().String()
}

// The first daemon that answers is taken, in the order of the list, whatever keeps those
// before it.
func TestDialSeveral(t *testing.T) {
	one, two := startPlayer(t, "e", answers(`"pong"`)), startPlayer(t, "e", answers(`"pong"`))
	full := startPlayer(t, "e", cuts)
	full.full.Store(true)
	_, closed := keepDoor(t, (*httptest.Server).Start, func(*http.Request) (int, string) { return 401, "who are you" })
	const nobody = "ws://127.0.0.1:1"
	for name, test := range map[string]struct{ list, want string }{
		"the first":           {urlsOf(one, two), one.url},
		"one that is away":    {nobody + "," + two.url, two.url},
		"one that is full":    {urlsOf(full, two), two.url},
		"one that is mute":    {mute(t) + "," + two.url, two.url},
		"one that refuses":    {closed.URL + "," + two.url, two.url},
		"twice the same":      {one.url + "," + one.url, one.url},
		"all that can happen": {strings.Join([]string{nobody, full.url, closed.URL, one.url}, " , "), one.url},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, test.list, client.Options{DialTimeout: 100 * time.Millisecond})
			if want := "ws" + strings.TrimPrefix(test.want, "http") + "/rpc"; c.URL() != want {
				t.Errorf("took %s, want %s", c.URL(), want)
			}
			must(t, c.Ping(t.Context()))
		})
	}
	_, err := client.Dial(t.Context(), strings.Join([]string{nobody, full.url, closed.URL}, ","), client.Options{})
	for _, want := range []error{client.ErrUnreachable, client.ErrUnavailable, client.ErrUnauthorized} {
		if !errors.Is(err, want) || !client.IsTemporary(err) {
			t.Errorf("%v is not %v, or not temporary", err, want)
		}
	}
	if !strings.Contains(err.Error(), "; ws"+strings.TrimPrefix(closed.URL, "http")+"/rpc: the daemon refused the connection: 401") {
		t.Errorf("does not tell who said what: %v", err)
	}
	for _, list := range []string{one.url + ",", "," + one.url, one.url + ",ftp://x"} {
		if _, err := client.Dial(t.Context(), list, client.Options{}); err == nil || client.IsTemporary(err) {
			t.Errorf("%q: %v", list, err)
		}
	}
}

// What a subscription does when the daemon that it is on is lost.
func TestSubscriptionGoesOn(t *testing.T) {
	ahead := schema.CursorExpired(schema.CursorAhead, schema.Cursor{Epoch: "e", Seq: 1})
	pruned := schema.CursorExpired(schema.CursorCompacted, schema.Cursor{Epoch: "e", Seq: 9})
	type deed = func(*wire.Conn, *wire.Request)
	from := func(since string, events ...string) deed { return tells(t, since, false, events...) }
	for name, test := range map[string]struct {
		since  string
		epochs string // one letter a daemon
		then   []deed // of each daemon once the first one has told a1 and is lost
		want   string // what is told after a1
		end    error
	}{
		"at the next":                      {"start", "eee", []deed{cuts, from("e-1", a2live), cuts}, "a2", nil},
		"past one that is lost, too":       {"start", "eee", []deed{cuts, cuts, from("e-1", a2live)}, "a2", nil},
		"past one that is behind":          {"start", "eee", []deed{cuts, refuses(ahead), from("e-1", a2live)}, "a2", nil},
		"past one that has pruned more":    {"snapshot", "eee", []deed{cuts, refuses(pruned), from("e-1", a2live)}, "a2", nil},
		"past one of another journal":      {"snapshot", "efe", []deed{cuts, from("e-1", b4), from("e-1", a2live)}, "a2", nil},
		"back to the first":                {"start", "ee", []deed{from("e-1", a2live), refuses(ahead)}, "a2", nil},
		"when all are behind, anew":        {"snapshot", "ee", []deed{refuses(ahead), refuses(ahead)}, "resync:ahead", nil},
		"when all have pruned, it is over": {"start", "ee", []deed{refuses(pruned), refuses(pruned)}, "", pruned},
		"past one that shuts down":         {"start", "eee", []deed{cuts, refuses(schema.ShuttingDown()), from("e-1", a2live)}, "a2", nil},
		"past one whose file is damaged":   {"start", "eee", []deed{cuts, refuses(schema.StorageUnavailable("x")), from("e-1", a2live)}, "a2", nil},
	} {
		t.Run(name, func(t *testing.T) {
			first := []string{a1}
			if test.since == "snapshot" {
				first = []string{snapA, mark1}
			}
			var players []*player
			var away sync.WaitGroup
			away.Add(1)
			for i, epoch := range test.epochs {
				does := func(conn *wire.Conn, r *wire.Request) { away.Wait(); test.then[i](conn, r) }
				if i == 0 {
					does = func(conn *wire.Conn, r *wire.Request) {
						players[0].does.Store(&test.then[0])
						tells(t, test.since, true, first...)(conn, r)
						away.Done()
					}
				}
				players = append(players, startPlayer(t, string(epoch), does))
			}
			c := dial(t, urlsOf(players...), several)
			params := schema.SubscribeParams{Since: &test.since}
			if test.since == "snapshot" {
				params = schema.SubscribeParams{Snapshot: new(true)}
			}
			sub, err := c.Subscribe(t.Context(), params)
			must(t, err)
			story(t, sub, len(first))
			if got := story(t, sub, len(strings.Fields(test.want))); got != test.want {
				t.Errorf("told %s, want %s", got, test.want)
			}
			if test.end != nil {
				if _, err := sub.Next(t.Context()); !errors.Is(err, test.end) {
					t.Errorf("ended with %v, want %v", err, test.end)
				}
			}
		})
	}
}

// Tasks of two journals do not mix: neither do calls go to a daemon of another one, nor
// does a subscription without saying so.
func TestAnotherJournal(t *testing.T) {
	one, other := startPlayer(t, "e", answers(`{"id":"x"}`)), startPlayer(t, "f", answers(`{"id":"y"}`))
	c := dial(t, urlsOf(one, other), several)
	lose := func(conn *wire.Conn, r *wire.Request) { one.full.Store(true); cuts(conn, r) }
	one.does.Store(&lose)
	_, err := c.Get(t.Context(), "x")
	if !errors.Is(err, client.ErrOtherJournal) || !errors.Is(err, client.ErrUnavailable) || !client.IsTemporary(err) {
		t.Errorf("%v", err)
	}
	one.full.Store(false)
	back := answers(`{"id":"x"}`)
	one.does.Store(&back)
	if task, err := c.Get(t.Context(), "x"); err != nil || task.ID != "x" {
		t.Errorf("%+v, %v", task, err)
	}
	if other.asked.Load() != 0 {
		t.Errorf("the other daemon was asked %d times", other.asked.Load())
	}
}

// Where nothing but another journal is left, a subscription with a snapshot says so and
// begins anew with it, as it does with one daemon; any other ends.
func TestOnlyAnotherJournalIsLeft(t *testing.T) {
	for _, snapshot := range []bool{true, false} {
		t.Run(fmt.Sprint("snapshot ", snapshot), func(t *testing.T) {
			one := startPlayer(t, "e", nil)
			other := startPlayer(t, "f", tells(t, "snapshot", false, mark9))
			since, events := "start", []string{a1}
			if snapshot {
				since, events = "snapshot", []string{snapA, mark1}
			}
			begin := func(conn *wire.Conn, r *wire.Request) {
				one.full.Store(true)
				tells(t, since, true, events...)(conn, r)
			}
			one.does.Store(&begin)
			c := dial(t, urlsOf(one, other), several)
			sub, err := c.Subscribe(t.Context(), schema.SubscribeParams{Snapshot: new(snapshot), Since: map[bool]*string{false: &since}[snapshot]})
			must(t, err)
			story(t, sub, len(events))
			if snapshot {
				if got := story(t, sub, 2); got != "resync:epoch bookmark" {
					t.Errorf("told %s", got)
				}
				return
			}
			if _, err := sub.Next(t.Context()); schema.CodeOf(err) != schema.CodeCursorExpired {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// Real daemons on one file: a subscriber goes from one to the other and back, and has
// every event once; so does a View; calls go where somebody answers.
func TestDaemonsTakeTurns(t *testing.T) {
	one := startDaemon(t)
	two := &daemon{t: t, path: one.path, address: "127.0.0.1:0"}
	two.start()
	t.Cleanup(func() { two.stop() })
	daemons := []*daemon{one, two}
	c := dial(t, one.url()+","+two.url(), several)
	sub, err := c.Subscribe(t.Context(), schema.SubscribeParams{Since: new(schema.SinceStart), DebounceMS: new(int64(0))})
	must(t, err)
	shown := make(chan client.Change, 10)
	_, err = c.View(t.Context(), client.ViewOptions{Changed: func(change client.Change) { shown <- change }})
	must(t, err)
	for i := range 6 {
		lost, stays := daemons[i%2], daemons[1-i%2]
		if c.URL() != lost.url() || sub.URL() != lost.url() {
			t.Fatalf("calls go to %s, the subscription is on %s, want %s", c.URL(), sub.URL(), lost.url())
		}
		lost.stop()
		if _, err := c.List(t.Context(), schema.ListParams{}); err != nil { // a read, whatever this side knows already
			t.Fatal(err)
		}
		task := create(t, c, fmt.Sprint(i))
		if e := next(t, sub); e.Seq != int64(i+1) || e.TaskID != task.ID || sub.URL() != stays.url() {
			t.Fatalf("%d: %+v from %s", i, e, sub.URL())
		}
		lost.start()
	}
	for i := range 6 {
		if change := <-shown; change.Before != nil || change.After.Title != fmt.Sprint(i) {
			t.Fatalf("the view changes by %+v, want the task %d", change, i)
		}
	}
}
