package rpc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

// write makes changes until stop is closed, and tells how many.
func (d *daemon) write(stop <-chan struct{}) (changes <-chan int) {
	p, done := d.connect(), make(chan int, 1)
	p.call("task.create", `{"id":"busy","title":"0"}`)
	go func() {
		n := 1
		for ; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
				p.call("task.update", fmt.Sprintf(`{"id":"busy","title":"%d"}`, n))
			}
		}
	}()
	return done
}

func TestAnswerToSubscribeComesFirstAndNothingAfterUnsubscribe(t *testing.T) {
	t.Parallel()
	d := start(t)
	stop := make(chan struct{})
	written := d.write(stop)
	p := d.connect()
	p.send(request(0, "task.subscribe", `{}`)) // s1 shows that others go on
	known, ended := map[string]bool{}, map[string]bool{}
	open, rounds := 0, 0
	for rounds < 50 {
		var frame struct {
			ID     int
			Result any
			Params struct{ Subscription string }
		}
		check(t, json.Unmarshal([]byte(p.next()), &frame))
		switch id, _ := frame.Result.(string); {
		case id != "":
			known[id] = true
			open++
			p.send(request(open, "task.subscribe", `{"since":"start"}`))
			if open > 1 {
				p.send(request(1_000_000+open, "task.unsubscribe", fmt.Sprintf(`[%q]`, id)))
			}
		case frame.ID > 1_000_000:
			ended[fmt.Sprint("s", frame.ID-1_000_000)] = true
			rounds++
		case !known[frame.Params.Subscription]:
			t.Fatalf("a notification of %s came before its answer", frame.Params.Subscription)
		case ended[frame.Params.Subscription]:
			t.Fatalf("a notification of %s came after its end", frame.Params.Subscription)
		}
	}
	close(stop)
	<-written
}

// Whoever goes on after its last cursor sees every change exactly once, whatever
// is being written meanwhile.
func TestSinceHasNoGapAndNoDuplicate(t *testing.T) {
	t.Parallel()
	d := start(t, func(s *setup) { s.emitter.TailEvents = 16 }) // most of it comes from the file
	stop := make(chan struct{})
	written := d.write(stop)
	seen, since := int64(0), "start"
	reconnect := func(events int) {
		p := d.connect()
		p.subscribe(fmt.Sprintf(`{"since":%q}`, since))
		for range events {
			e := p.event()
			if e.ChangeType == "bookmark" {
				since = e.Cursor
				continue
			}
			if e.Seq != seen+1 {
				t.Fatalf("after %d came %d", seen, e.Seq)
			}
			seen, since = e.Seq, e.Cursor
		}
		p.conn.CloseNow()
	}
	for range 20 {
		reconnect(15)
	}
	close(stop)
	for last := int64(<-written); seen < last; {
		reconnect(1)
	}
}

// A snapshot is true at one place of the journal, and goes on from there.
func TestSnapshotUnderWrites(t *testing.T) {
	t.Parallel()
	d := start(t)
	setup := d.connect()
	for range 600 { // several pages
		setup.call("task.create", `{"title":"x"}`)
	}
	stop := make(chan struct{})
	written := d.write(stop)
	for range 5 {
		p := d.connect()
		p.subscribe(`{"snapshot":true}`)
		view := make(map[string]int64)
		newest := int64(0)
		for _, e := range p.live() {
			if e.ChangeType == "snapshot" {
				if _, twice := view[e.TaskID]; twice || e.Cursor != "" || e.Task.Version != e.Seq {
					t.Fatalf("in the snapshot: %+v", e)
				}
				view[e.TaskID] = e.Seq
				newest = max(newest, e.Seq)
				continue
			}
			if e.Seq != newest+1 {
				t.Fatalf("after a snapshot at %d came %d", newest, e.Seq)
			}
			newest = e.Seq
		}
		for range 5 {
			if e := p.event(); e.Seq != newest+1 {
				t.Fatalf("after %d came %d", newest, e.Seq)
			}
			newest++
		}
		if len(view) < 600 {
			t.Fatalf("%d tasks in the snapshot", len(view))
		}
		p.conn.CloseNow()
	}
	close(stop)
	<-written
}

func TestTooManySubscriptions(t *testing.T) {
	t.Parallel()
	p := start(t, func(s *setup) { s.rpc.Limits.MaxSubscriptions = 2 }).connect()
	p.subscribe(`{}`)
	p.subscribe(`{}`)
	if a := p.ask("task.subscribe", `{}`); a.Error == nil || a.Error.Code != -32006 || a.Error.Data.Limit != "subscriptions" || a.Error.Data.Value != 2 {
		t.Errorf("got %+v, want -32006", a)
	}
	p.call("task.unsubscribe", `["s1"]`)
	p.subscribe(`{}`)
}

// A subscription that could not be made takes no place.
func TestRefusedSubscriptionTakesNoPlace(t *testing.T) {
	t.Parallel()
	p := start(t, func(s *setup) { s.rpc.Limits.MaxSubscriptions = 1 }).connect()
	for range 3 {
		if a := p.ask("task.subscribe", `{"since":"other-1"}`); a.Error == nil || a.Error.Code != -32005 || a.Error.Data.ReasonDetail != "epoch" {
			t.Errorf("got %+v, want -32005", a)
		}
	}
	p.subscribe(`{}`)
}

func TestBookmarkAfterSilence(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		p := d.connect()
		p.subscribe(`{"filter":{"status":["done"]}}`)
		p.live()
		began := time.Now()
		d.connect().call("task.create", `{"title":"not for this subscription"}`)
		for i := range 3 {
			e := p.event()
			if e.ChangeType != "bookmark" || e.Live || !strings.HasSuffix(e.Cursor, "-1") {
				t.Errorf("got %+v, want a bookmark at 1", e)
			}
			if since := time.Since(began); since != time.Duration(i+1)*15*time.Second {
				t.Errorf("bookmark %d came after %v", i, since)
			}
		}
	})
}

func TestDebounceDeliversTheLastState(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe, func(s *setup) { s.rpc.Debounce = 100 * time.Millisecond })
		folded, every, w := d.connect(), d.connect(), d.connect()
		w.call("task.create", `{"title":"x"}`)
		folded.subscribe(`{}`) // the server's default
		every.subscribe(`{"debounce_ms":0}`)
		folded.live()
		every.live()
		for i := range 20 {
			w.call("task.update", fmt.Sprintf(`{"id":"t1","title":"%d"}`, i))
			every.event()
		}
		began := time.Now()
		if e := folded.event(); e.Task.Title != "0" || e.Coalesced != 1 {
			t.Errorf("got %+v, want the first change", e)
		}
		if e := folded.event(); e.Task.Title != "19" || e.Coalesced != 19 || time.Since(began) != 100*time.Millisecond {
			t.Errorf("after %v: got %+v, want the last change", time.Since(began), e)
		}
		if e := folded.event(); e.ChangeType != "bookmark" {
			t.Errorf("got %+v, want nothing more", e)
		}
	})
}

func TestBatches(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		p, w := d.connect(), d.connect()
		p.subscribe(`{"batch":{"max":3,"wait_ms":2000}}`)
		p.live()
		began := time.Now()
		for range 5 {
			w.call("task.create", `{"title":"x"}`)
		}
		for i, want := range []struct {
			events int
			after  time.Duration
		}{{3, 0}, {2, 2 * time.Second}} {
			e := p.event()
			if e.Method != "task.events" || e.BatchID != fmt.Sprint("b", i+1) || len(e.Events) != want.events || time.Since(began) != want.after {
				t.Errorf("after %v: got %+v, want %+v", time.Since(began), e, want)
			}
		}
		w.call("task.create", `{"title":"x"}`)
		if n := p.call("task.flush", `{}`); n != "1" {
			t.Errorf("flushed %s, want 1", n)
		}
		if e := p.event(); len(e.Events) != 1 {
			t.Errorf("got %+v, want one event", e)
		}
		// A bookmark never overtakes a batch, nor is it in one.
		w.call("task.create", `{"title":"x"}`)
		if e := p.event(); len(e.Events) != 1 {
			t.Errorf("got %+v, want one event", e)
		}
		if e := p.event(); e.ChangeType != "bookmark" || e.Method != "task.event" {
			t.Errorf("got %+v, want a bookmark by itself", e)
		}
	})
}

// pruned makes a subscriber that has not read for so long that the journal behind
// it is gone: a pipe holds nothing.
func pruned(t *testing.T, overPipe func(*setup), params string) (p *peer, id string) {
	const changes = 600
	d := start(t, overPipe, func(s *setup) { s.emitter.TailEvents = 4 })
	p, w := d.connect(), d.connect()
	w.call("task.create", `{"title":"x"}`)
	id = p.subscribe(params)
	p.live()
	for i := range changes {
		w.call("task.update", fmt.Sprintf(`{"id":"t1","title":"%d"}`, i))
	}
	synctest.Wait()
	d.exec(`DELETE FROM journal WHERE seq <= ?`, changes-3)
	return p, id
}

func TestResyncEndsASubscription(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		p, id := pruned(t, overPipe, `{}`)
		last := readToResync(p)
		if last.Reason != "compacted" || last.Cursor != "" || last.Timestamp == 0 {
			t.Errorf("got %+v", last)
		}
		synctest.Wait()
		if ended := p.call("task.unsubscribe", fmt.Sprintf(`[%q]`, id)); ended != "false" {
			t.Errorf("unsubscribe gave %s, want false: it has ended", ended)
		}
	})
}

func TestResyncGivesANewSnapshot(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		p, _ := pruned(t, overPipe, `{"snapshot":true}`)
		readToResync(p)
		past := p.live()
		if len(past) != 1 || past[0].ChangeType != "snapshot" || past[0].Task.Title != "599" {
			t.Errorf("got %+v, want a snapshot of the task as it is now", past)
		}
		p.call("task.update", `{"id":"t1","title":"after"}`)
		if e := p.event(); e.Task.Title != "after" || !e.Own {
			t.Errorf("got %+v, want the next change", e)
		}
	})
}

// readToResync reads the events that were already on their way, then the resync.
func readToResync(p *peer) event {
	p.t.Helper()
	for seq := int64(2); ; seq++ {
		e := p.event()
		if e.ChangeType == "resync" {
			return e
		}
		if e.Seq != seq {
			p.t.Fatalf("before the resync: got %d, want %d", e.Seq, seq)
		}
	}
}

func TestPeerThatTakesNothingFor30sIsClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		p, w := d.connect(), d.connect()
		p.subscribe(`{}`)
		p.live()
		cursor := p.call("task.list", `{}`)
		began := time.Now()
		w.call("task.create", `{"title":"x"}`)
		for d.Connections() == 2 {
			w.call("server.ping", `{}`)
			time.Sleep(time.Second) // virtual
		}
		if took := time.Since(began); took < 30*time.Second || took > 45*time.Second {
			t.Errorf("closed after %v", took)
		}
		if _, err := p.read(); wire.CloseCode(err) != 0 && wire.CloseCode(err) != wire.ClosePolicy {
			t.Errorf("ended with %v", err)
		}
		// Nothing is lost: the client goes on from its cursor.
		var list struct{ Cursor string }
		check(t, json.Unmarshal([]byte(cursor), &list))
		again := d.connect()
		again.subscribe(fmt.Sprintf(`{"since":%q}`, list.Cursor))
		if past := again.live(); len(past) != 1 || past[0].TaskID != "t1" {
			t.Errorf("got %+v, want the missed event", past)
		}
	})
}
