package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

// attendants counts the connections that have a goroutine which works for them.
func (d *daemon) attendants() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.sessions {
		s.queue.mu.Lock()
		if s.queue.attended {
			n++
		}
		s.queue.mu.Unlock()
	}
	return n
}

// A connection with nothing to do has no goroutine that works, and one as soon as there is
// something: a request, the end of the connection, a shutdown.
func TestConnectionIsAttendedWhenThereIsWork(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		p, leaver, listener := d.connect(), d.connect(), d.connect()
		listener.subscribe(`{}`)
		listener.live()
		waiter := d.connect()
		waiter.send(request(1, "task.claim", `{"wait_ms":60000}`))
		for range 3 {
			p.call("server.ping", `{}`)
			time.Sleep(attention / 2) // virtual
			synctest.Wait()
			if n := d.attendants(); n < 2 {
				t.Errorf("%d connections are attended just after a request", n)
			}
			time.Sleep(2 * attention)
			synctest.Wait()
			if n := d.attendants(); n != 1 {
				t.Errorf("%d connections are attended while one waits for a task", n)
			}
		}
		leaver.conn.CloseNow()
		synctest.Wait()
		if n := d.Connections(); n != 3 {
			t.Errorf("%d connections after one of four has left", n)
		}
		waiter.conn.CloseNow()
		synctest.Wait()
		ended := make(chan error)
		for _, p := range []*peer{p, listener} {
			go func() {
				_, err := p.read()
				ended <- err
			}()
		}
		d.shutDown()
		for range 2 {
			if err := <-ended; wire.CloseCode(err) != wire.CloseGoingAway {
				t.Errorf("ended with %v, want close code 1001", err)
			}
		}
	})
}

// Requests come out in order, also those that came while nobody worked.
func TestInboxKeepsOrder(t *testing.T) {
	t.Parallel()
	const n = 1000
	worked := make(chan int, n)
	q := newInbox()
	leaving := make(chan struct{})
	work := func() {
		for {
			<-q.ready
			r, open := q.take()
			if r != nil {
				worked <- len(r.Method)
			} else if !open {
				close(worked)
				return
			}
			if q.rest(leaving) {
				return
			}
		}
	}
	method := make([]byte, n)
	q.put(&wire.Request{Method: string(method[:1])})
	q.open(work)
	for i := 1; i < n; i++ {
		q.put(&wire.Request{Method: string(method[:i+1])})
	}
	q.end()
	want := 0
	for got := range worked {
		if want++; got != want {
			t.Fatalf("request %d came as number %d", got, want)
		}
	}
	if want != n {
		t.Errorf("%d of %d requests came", want, n)
	}
}
