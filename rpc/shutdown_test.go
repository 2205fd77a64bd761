package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

func (d *daemon) shutDown() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(d.t, d.Shutdown(ctx))
}

func TestShutdownFinishesWhatWasAccepted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		store, option := slowStore()
		d := start(t, overPipe, option)
		p, idle := d.connect(), d.connect()
		idle.subscribe(`{}`)
		p.send(request(0, "task.get", `{"id":"slow"}`))
		for i := range 100 {
			p.send(request(i+1, "task.create", fmt.Sprintf(`{"id":"a%d","title":"x"}`, i)))
		}
		synctest.Wait() // all of them wait for the slow one
		done := make(chan struct{})
		go func() {
			d.shutDown()
			d.shutDown() // again
			close(done)
		}()
		go d.shutDown() // and at the same time
		idle.live()
		for {
			if _, err := idle.read(); err != nil {
				if wire.CloseCode(err) != wire.CloseGoingAway {
					t.Errorf("the idle connection ended with %v, want close code 1001", err)
				}
				break
			}
		}
		close(store.let)
		p.expect(`{"jsonrpc":"2.0","id":0,"result":"at last"}`)
		for i := range 100 {
			if answer := p.next(); !strings.Contains(answer, fmt.Sprintf(`"id":%d,"result":{"id":"a%d"`, i+1, i)) {
				t.Fatalf("answer %d: %s", i, answer)
			}
		}
		if _, err := p.read(); wire.CloseCode(err) != wire.CloseGoingAway {
			t.Errorf("ended with %v, want close code 1001", err)
		}
		<-done
		if _, err := d.tryConnect(nil); err == nil {
			t.Error("a connection was accepted after Shutdown")
		}
	})
}

// What still arrives on a POST that was under way is answered; a write is not made.
func TestWritesDuringShutdownAreRefused(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.post(request(0, "server.ping", `{}`)) // who may come in is known when the first request is answered
	d.shutDown()
	status, body := d.handle("POST", "/rpc", request(1, "task.create", `{"title":"too late"}`))
	const want = `{"jsonrpc":"2.0","id":1,"error":{"code":-32009,"message":"the server is shutting down; nothing was changed","data":{"reason":"shutting_down"}}}`
	if status != 200 || body != want {
		t.Errorf("got %d %s", status, body)
	}
	if _, body := d.handle("POST", "/rpc", request(1, "task.list", `{}`)); !strings.Contains(body, `"tasks":[]`) {
		t.Errorf("got %s, want no task", body)
	}
	if status, _ := d.handle("GET", "/rpc", ""); status != 503 {
		t.Errorf("a handshake got %d, want 503", status)
	}
}

// A client that never stops asking does not keep the server from ending.
func TestShutdownOfABusyConnection(t *testing.T) {
	t.Parallel()
	d := start(t)
	p := d.connect()
	go func() {
		for p.conn.Write([]byte(request(1, "server.ping", `{}`)), []byte(request(1, "server.ping", `{}`))) == nil {
		}
	}()
	p.next()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := p.read(); err != nil {
				ended <- err
				return
			}
		}
	}()
	d.shutDown()
	if err := <-ended; wire.CloseCode(err) != wire.CloseGoingAway {
		t.Errorf("ended with %v, want close code 1001", err)
	}
}

// A peer that takes nothing is cut off when the time for a clean end is over.
func TestShutdownCutsOffWhoTakesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		d.connect().send(request(1, "server.ping", `{}`)) // and reads nothing: a pipe holds nothing
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := d.Shutdown(ctx); !errors.Is(err, context.Canceled) && err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// A batch of which some is made is answered whole, also when the server ends in
// its middle.
func TestShutdownAnswersABatchWhole(t *testing.T) {
	t.Parallel()
	d := start(t)
	p := d.connect()
	const members = 1000 // more than a connection may have unanswered
	var batch []string
	for i := range members {
		batch = append(batch, request(i, "task.create", fmt.Sprintf(`{"id":"b%d","title":"x"}`, i)))
	}
	p.send("[" + strings.Join(batch, ",") + "]")
	for d.emitter.Stats().Changes == 0 {
		runtime.Gosched() // until the first of them is made
	}
	d.shutDown()
	answer, err := p.read()
	if err != nil {
		t.Fatalf("the batch is not answered: %v", err)
	}
	made, refused := strings.Count(answer, `"result"`), strings.Count(answer, `"code":-32009`)
	if made+refused != members || made == 0 {
		t.Errorf("%d made and %d refused of %d", made, refused, members)
	}
	if stats := d.emitter.Stats(); stats.Changes != int64(made) {
		t.Errorf("%d were made, but %d answered so", stats.Changes, made)
	}
}

// A batch of more requests than may be in flight keeps the server from reading, and so
// from seeing that the peer has gone. It is given up all the same: when the patience
// of a shutdown ends, and when the connection does.
func TestLongBatchIsGivenUp(t *testing.T) {
	t.Parallel()
	batch := "[" + strings.Repeat(request(1, "task.get", `{"id":"endless"}`)+",", 9) + request(1, "server.ping", `{}`) + "]"
	for name, end := range map[string]func(d *daemon, p *peer){
		"shutdown": func(d *daemon, _ *peer) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := d.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
				d.t.Error(err)
			}
		},
		"peer that is gone": func(_ *daemon, p *peer) { p.conn.CloseNow() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, overPipe func(*setup)) {
				_, option := slowStore()
				d := start(t, overPipe, option, func(s *setup) { s.rpc.Limits.MaxInFlight = 2 })
				p := d.connect()
				p.send(batch)
				synctest.Wait()
				end(d, p)
				d.running.Wait() // the bubble would say that it waits for ever
			})
		})
	}
}
