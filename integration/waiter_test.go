package integration

import (
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// waiter is a connection with claims that wait.
type waiter struct {
	*peer
	t    *testing.T
	sent int64     // requests
	came []message // answers that nobody has asked for yet
}

func (d *daemon) waiter() *waiter {
	d.t.Helper()
	p, err := d.connect()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { p.Close() })
	return &waiter{peer: p, t: d.t}
}

// wait claims, and returns when the daemon has the claim in its place behind all those
// before it: when a request after it is answered.
func (w *waiter) wait(params schema.ClaimParams) (id int64) {
	w.t.Helper()
	id, ping := w.sent+1, w.sent+2
	w.sent = ping
	w.pipeline(request(id, schema.MethodClaim, params), request(ping, schema.MethodPing, nil))
	for {
		m := w.message()
		if *m.ID == ping {
			return id
		}
		w.came = append(w.came, m)
	}
}

// pipeline sends requests at once.
func (w *waiter) pipeline(requests ...[]byte) {
	w.t.Helper()
	var frames []byte
	for _, r := range requests {
		frames = append(frames, frame(opText, r)...)
	}
	if _, err := w.Write(frames); err != nil {
		w.t.Fatal(err)
	}
}

// message gives the next message.
func (w *waiter) message() message {
	w.t.Helper()
	m, err := w.next()
	if err != nil || m.ID == nil {
		w.t.Fatalf("message %+v, %v", m, err)
	}
	return m
}

// answer gives the next answer to a claim.
func (w *waiter) answer() (m message) {
	w.t.Helper()
	if len(w.came) == 0 {
		return w.message()
	}
	m, w.came = w.came[0], w.came[1:]
	return m
}

// claimed gives the next claim that was answered with a task.
func (w *waiter) claimed() (id int64, claimed *client.Claimed) {
	w.t.Helper()
	m := w.answer()
	if m.Error != nil {
		w.t.Fatalf("claim %d: %v", *m.ID, m.Error)
	}
	if claimed = decodeClaim(w.t, m.Result); claimed == nil {
		w.t.Fatalf("claim %d found nothing", *m.ID)
	}
	return *m.ID, claimed
}
