package rpc

import (
	"bufio"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A request on a connection that was accepted before a shutdown is answered, though it
// comes after its begin.
func TestShutdownHearsWhoWasAccepted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		d := start(t, overPipe)
		conn := must(d.dial(t.Context(), "tcp", d.address))
		defer conn.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.shutDown()
		}()
		synctest.Wait() // nobody is let in any more
		if _, err := d.dial(t.Context(), "tcp", d.address); err == nil {
			t.Error("a connection was accepted after the begin of a shutdown")
		}
		if _, err := fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("the request is answered %+v, %v", answer, err)
		}
		<-done
	})
}

// Who was accepted and says nothing delays a shutdown by a second, no more, and
// nobody who has been heard delays it at all.
func TestShutdownDoesNotWaitForTheSilent(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		inBubble(t, func(t *testing.T, overPipe func(*setup)) {
			d := start(t, overPipe)
			d.connect()
			want := time.Duration(0)
			if silent {
				defer must(d.dial(t.Context(), "tcp", d.address)).Close()
				want = arrivalWait
			}
			began := time.Now()
			d.arrivals.settle(t.Context())
			if took := time.Since(began); took != want {
				t.Errorf("silent %v: settled after %v, want %v", silent, took, want)
			}
		})
	}
}
