package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// slow is a Store in which the task "slow" is read only when the test lets it.
type slow struct {
	Store
	asked, let chan struct{}
}

func slowStore() (*slow, func(*setup)) {
	s := &slow{asked: make(chan struct{}, 100), let: make(chan struct{})}
	return s, func(o *setup) {
		o.store = func(store Store) Store {
			s.Store = store
			return s
		}
	}
}

func (s *slow) Get(ctx context.Context, id string) (json.RawMessage, error) {
	switch id {
	case "slow":
	case "endless":
		<-ctx.Done()
		return nil, ctx.Err()
	default:
		return s.Store.Get(ctx, id)
	}
	s.asked <- struct{}{}
	<-s.let
	return json.RawMessage(`"at last"`), nil
}

func request(id int, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
}

func TestPipelinedWritesAreCommittedInOrderAndSeen(t *testing.T) {
	t.Parallel()
	const n = 1000
	p := start(t).connect()
	go func() {
		p.conn.Write([]byte(request(0, "task.create", `{"id":"a","title":"0"}`)))
		for i := 1; i < n; i += 2 {
			p.conn.Write([]byte(request(i, "task.update", fmt.Sprintf(`{"id":"a","title":"%d"}`, i))),
				[]byte(request(i+1, "task.get", `{"id":"a"}`)))
		}
	}()
	for i := range n {
		var got struct {
			ID     int
			Result struct {
				Title   string
				Version int
			}
		}
		check(t, json.Unmarshal([]byte(p.next()), &got))
		last := max(got.ID-1+got.ID%2, 0) // the write that this answer shows
		if title := fmt.Sprint(last); got.Result.Title != title || got.Result.Version != (last+3)/2 {
			t.Fatalf("answer %d: got %+v, want title %s", i, got, title)
		}
	}
}

// A claim that may wait is a write like any other where it need not wait.
func TestReadSeesThePatientClaimBeforeIt(t *testing.T) {
	t.Parallel()
	p := start(t).connect()
	for i := range 20 {
		id := fmt.Sprintf("a%d", i)
		p.call("task.create", `{"id":"`+id+`","title":"t"}`)
		p.conn.Write([]byte(request(1, "task.claim", `{"assigned_to":"me","wait_ms":60000}`)),
			[]byte(request(2, "task.get", `{"id":"`+id+`"}`)))
		for range 2 {
			if answer := p.next(); !strings.Contains(answer, `"leased_by":"me"`) {
				t.Fatal(answer)
			}
		}
	}
	// One that waits holds up nothing.
	p.conn.Write([]byte(request(1, "task.claim", `{"assigned_to":"me","wait_ms":60000}`)), []byte(request(2, "task.get", `{"id":"a0"}`)))
	if answer := p.next(); !strings.Contains(answer, `"id":2,`) {
		t.Error(answer)
	}
}

func TestSlowCallHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	store, option := slowStore()
	d := start(t, option)
	waits, other := d.connect(), d.connect()
	waits.subscribe(`{}`)
	waits.live()
	waits.send(request(1, "task.get", `{"id":"slow"}`), request(2, "server.ping", `{}`))
	<-store.asked
	other.call("task.create", `{"title":"meanwhile"}`)
	if e := waits.event(); e.TaskID != "t1" { // and subscriptions go on
		t.Fatalf("got %+v", e)
	}
	close(store.let)
	waits.expect(`{"jsonrpc":"2.0","id":1,"result":"at last"}`)
	waits.expect(`{"jsonrpc":"2.0","id":2,"result":"pong"}`)
}

func TestServerStopsReadingAtMaxInFlight(t *testing.T) {
	t.Parallel()
	store, option := slowStore()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		const limit, all = 8, 100
		store.asked, store.let = make(chan struct{}, 1), make(chan struct{})
		d := start(t, overPipe, option, func(s *setup) { s.rpc.Limits.MaxInFlight = limit })
		p := d.connect()
		p.send(request(0, "task.get", `{"id":"slow"}`))
		var sent atomic.Int64
		go func() {
			for i := 1; i < all; i++ { // each is longer than every buffer on the way
				if p.conn.Write([]byte(request(i, "server.ping", `{}`)+strings.Repeat(" ", 4096))) == nil {
					sent.Add(1)
				}
			}
		}()
		synctest.Wait()
		if n := sent.Load(); n < limit-1 || n > limit+1 {
			t.Errorf("the server read %d requests more than the one it was busy with, the limit is %d", n, limit)
		}
		close(store.let)
		for range all {
			p.next()
		}
	})
}

func TestTooLongMessageClosesWith1009(t *testing.T) {
	t.Parallel()
	p := start(t, func(s *setup) { s.rpc.Limits.MaxMessage = 1000 }).connect()
	ping := request(1, "server.ping", "{}")
	p.send(ping + strings.Repeat(" ", 1000-len(ping)))
	p.expect(`{"jsonrpc":"2.0","id":1,"result":"pong"}`)
	p.send(ping + strings.Repeat(" ", 1001-len(ping)))
	if _, err := p.read(); wire.CloseCode(err) != wire.CloseTooBig {
		t.Fatalf("got %v, want close code 1009", err)
	}
}

func TestTooLongBatchIsRefusedWhole(t *testing.T) {
	t.Parallel()
	p := start(t, func(s *setup) { s.rpc.Limits.MaxBatch = 2 }).connect()
	ping := request(1, "server.ping", "{}")
	p.send("[" + ping + "," + ping + "]")
	p.next()
	p.send("[" + ping + "," + ping + "," + ping + "]")
	p.expect(`{"jsonrpc":"2.0","id":null,"error":{"code":-32006,"message":"Batch too long",` +
		`"data":{"reason":"limit_exceeded","limit":"batch","value":2}}}`)
}

const answerLimit = 64 << 10

// large starts a daemon with ten tasks t1 … t10 of 20 KB.
func large(t *testing.T) *peer {
	p := start(t, func(s *setup) { s.rpc.Limits.MaxAnswer = answerLimit }).connect()
	for range 10 {
		p.call("task.create", fmt.Sprintf(`{"title":"large","description":%q}`, strings.Repeat("x", 20_000)))
	}
	return p
}

func TestPagesEndBeforeTheAnswerIsTooLong(t *testing.T) {
	t.Parallel()
	p := large(t)
	for _, method := range []string{"task.list", "task.history"} {
		pages, items, params := 0, 0, `{}`
		for params != "" {
			result := p.call(method, params)
			if len(result) > answerLimit {
				t.Errorf("%s: a page of %d bytes", method, len(result))
			}
			var page struct {
				Tasks, Events []json.RawMessage
				NextPageToken string `json:"next_page_token"`
				Next          string
			}
			check(t, json.Unmarshal([]byte(result), &page))
			pages, items = pages+1, items+len(page.Tasks)+len(page.Events)
			switch params = ""; {
			case page.NextPageToken != "":
				params = fmt.Sprintf(`{"page_token":%q}`, page.NextPageToken)
			case page.Next != "":
				params = fmt.Sprintf(`{"since":%q}`, page.Next)
			}
		}
		if pages != 4 || items != 10 { // three tasks fit
			t.Errorf("%s: got %d items on %d pages, want 10 on 4", method, items, pages)
		}
	}
}

// A notification has no answer that could be too long: it is heard in any batch.
func TestNotificationInABatchThatIsTooLong(t *testing.T) {
	t.Parallel()
	p := large(t)
	id := p.subscribe(`{"filter":{"ids":[]}}`)
	var batch []string
	for i := range 4 { // writes are answered in full, past the limit
		batch = append(batch, request(i, "task.update", fmt.Sprintf(`{"id":"t%d","status":"done"}`, i+1)))
	}
	batch = append(batch, request(4, "task.get", `{"id":"t1"}`),
		fmt.Sprintf(`{"jsonrpc":"2.0","method":"task.unsubscribe","params":{"subscription":%q}}`, id))
	p.send("[" + strings.Join(batch, ",") + "]")
	for answer := ""; !strings.Contains(answer, "-32006"); {
		answer = p.next()
	}
	if got := p.call("task.unsubscribe", fmt.Sprintf(`{"subscription":%q}`, id)); got != "false" {
		t.Errorf("the subscription was still there: %s", got)
	}
}

func TestBatchThatIsTooLongRefusesTheRest(t *testing.T) {
	t.Parallel()
	p := large(t)
	codes := func(method string, params ...string) (codes []int) {
		var batch []string
		for i, param := range params {
			// The ping waits for what is before it.
			batch = append(batch, request(i, method, param), `{"jsonrpc":"2.0","method":"server.ping","params":{}}`)
		}
		p.send("[" + strings.Join(batch, ",") + "]")
		answer := p.next()
		if len(answer) > answerLimit+21_000 {
			t.Errorf("an answer of %d bytes", len(answer))
		}
		var answers []struct{ Error struct{ Code int } }
		check(t, json.Unmarshal([]byte(answer), &answers))
		for _, a := range answers {
			codes = append(codes, a.Error.Code)
		}
		return codes
	}
	id := func(i int) string { return fmt.Sprintf(`{"id":"t%d"}`, i) }
	want := fmt.Sprint([]int{0, 0, 0, -32006, -32006})
	if got := fmt.Sprint(codes("task.get", id(1), id(2), id(3), id(4), id(5))); got != want {
		t.Errorf("gets: got codes %s, want %s", got, want)
	}
	done := func(i int) string { return fmt.Sprintf(`{"id":"t%d","status":"done"}`, i) }
	want = fmt.Sprint([]int{0, 0, 0, 0, -32006, -32006}) // the fourth goes past the limit, no further one is made
	if got := fmt.Sprint(codes("task.update", done(1), done(2), done(3), done(4), done(5), done(6))); got != want {
		t.Errorf("updates: got codes %s, want %s", got, want)
	}
	if list := p.call("task.list", `{"filter":{"status":["done"],"ids":["t4","t5","t6"]}}`); strings.Count(list, `"status":"done"`) != 1 {
		t.Errorf("a refused update was made")
	}
	// Whatever is too long alone is refused alone.
	p.call("task.create", fmt.Sprintf(`{"id":"huge","title":"huge","description":%q,"metadata":{"x":%q}}`,
		strings.Repeat("x", 60_000), strings.Repeat("x", 10_000)))
	if a := p.ask("task.get", `{"id":"huge"}`); a.Error == nil || a.Error.Code != -32006 || a.Error.Data.Limit != "answer" || a.Error.Data.Value != answerLimit {
		t.Errorf("got %+v, want -32006", a.Error)
	}
}

func TestPanicInAMethodShowsNothing(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.methods["reads"] = &method{name: "reads", read: func(*session, *wire.Request) (json.RawMessage, error) { panic("secret") }}
	d.methods["writes"] = &method{name: "writes", write: func(*session, *wire.Request) (schema.Change, error) { panic("secret") }}
	p := d.connect()
	for _, method := range []string{"reads", "writes"} {
		const want = `,"error":{"code":-32603,"message":"internal error","data":{"reason":"internal"}}}`
		p.send(request(1, method, `{}`))
		p.expect(`{"jsonrpc":"2.0","id":1` + want)
		if status, body := d.post(request(2, method, `{}`)); status != 200 || strings.TrimSpace(body) != `{"jsonrpc":"2.0","id":2`+want {
			t.Errorf("POST %s: got %d %s", method, status, body)
		}
	}
	p.call("server.ping", `{}`)
}

// The array of a batch comes before the notifications of what it subscribes, also
// when something that is answered at once follows the batch.
func TestSubscriptionOfABatchStartsAfterItsArray(t *testing.T) {
	t.Parallel()
	p := start(t).connect()
	for i := range 100 {
		subscribe := request(1, "task.subscribe", `{"since":"start"}`)
		create := request(2, "task.create", fmt.Sprintf(`{"id":"b%d","title":"x"}`, i))
		p.send("["+subscribe+","+create+"]", "no JSON", request(3, "no.such", "{}"))
		array := false
		for answers := 0; answers < 3; {
			switch frame := p.next(); {
			case frame[0] == '[':
				array = true
				answers++
			case !strings.Contains(frame, `"method"`):
				answers++
			case !array:
				t.Fatalf("round %d: a notification before the array: %s", i, frame)
			}
		}
		p.call("task.unsubscribe", fmt.Sprintf(`["s%d"]`, i+1))
		p.events = nil
	}
}

// A transaction whose results would be too long is refused before it is made.
func TestApplyWithTooLongResultsIsRefused(t *testing.T) {
	t.Parallel()
	p := start(t, func(s *setup) { s.rpc.Limits.MaxAnswer = 20_000 }).connect()
	description := strings.Repeat("d", 9_000)
	var updates []string
	for i := range 3 {
		p.call("task.create", fmt.Sprintf(`{"id":"t%d","title":"x","description":%q}`, i, description))
		updates = append(updates, fmt.Sprintf(`{"op":"update","id":"t%d","priority":"high"}`, i))
	}
	p.send(request(1, "task.apply", `{"operations":[`+strings.Join(updates, ",")+`]}`))
	if answer := p.next(); !strings.Contains(answer, `"code":-32006`) || !strings.Contains(answer, `"limit":"answer"`) {
		t.Errorf("got %.300s", answer)
	}
	if task := p.call("task.get", `{"id":"t0"}`); !strings.Contains(task, `"priority":"medium"`) {
		t.Errorf("the refused transaction was made: %.100s", task)
	}
}
