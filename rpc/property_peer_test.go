package rpc_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// peer is one WebSocket connection, with nothing between the test and the wire:
// what comes in is handled by one goroutine, in the order in which it came.
type peer struct {
	w    *world
	name int
	conn *wire.Conn
	done chan struct{} // closed when nothing more comes in

	gate   sync.Mutex // held by the test while the peer does not read
	paused bool       // the test's own

	mu      sync.Mutex
	calls   int
	pending map[string]func(json.RawMessage, *schema.Error)
	subs    map[string]*subscriber
	closing bool // the end of the connection is the test's doing
}

// errLost is what a call gets when the connection ends before its answer.
var errLost = &schema.Error{Code: schema.CodeInternal, Message: "connection lost"}

func (w *world) dial() *peer {
	conn, err := wire.Dial(w.t.Context(), w.url, wire.DialOptions{NetDial: dialNarrow})
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	w.dialed++
	p := &peer{
		w: w, name: w.dialed, conn: conn, done: make(chan struct{}),
		pending: make(map[string]func(json.RawMessage, *schema.Error)), subs: make(map[string]*subscriber),
	}
	w.peers = append(w.peers, p)
	go p.read()
	return p
}

// message is anything that a server sends.
type message struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *schema.Error   `json:"error"`
	Method string          `json:"method"`
	Params struct {
		Subscription string          `json:"subscription"`
		Result       json.RawMessage `json:"result"`
	} `json:"params"`
}

func (p *peer) read() {
	defer close(p.done)
	for {
		p.waitAtGate()
		raw, err := p.conn.Read()
		if err != nil {
			p.end(err)
			return
		}
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			p.w.fail("peer %d got %s: %v", p.name, raw, err)
		} else if m.Method == "" {
			p.answered(&m)
		} else {
			p.notified(&m)
		}
	}
}

// waitAtGate waits while the test holds the gate.
func (p *peer) waitAtGate() {
	p.gate.Lock()
	defer p.gate.Unlock()
}

// end settles what the lost connection leaves open.
func (p *peer) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.w.fail("peer %d lost its connection: %v", p.name, err)
	}
	pending, subs := p.pending, p.subs
	p.pending, p.subs = nil, nil
	for _, answer := range pending {
		answer(nil, errLost)
	}
	for _, s := range subs {
		s.disconnected(p)
	}
}

func (p *peer) answered(m *message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := p.pending[string(m.ID)]
	if answer == nil {
		p.w.fail("peer %d got an answer that nobody waits for: %s", p.name, m.ID)
		return
	}
	delete(p.pending, string(m.ID))
	answer(m.Result, m.Error)
}

// notified passes events on. A subscription is known from the moment its id was
// answered until its end was: anything before or after is a breach.
func (p *peer) notified(m *message) {
	p.mu.Lock()
	s := p.subs[m.Params.Subscription]
	p.mu.Unlock()
	if s == nil {
		p.w.fail("peer %d was notified of %q, which it has not", p.name, m.Params.Subscription)
		return
	}
	if m.Method == schema.NotifyEvent {
		var e schema.Event
		err := json.Unmarshal(m.Params.Result, &e)
		s.notified(p, []schema.Event{e}, err)
		return
	}
	var batch struct {
		BatchID string         `json:"batch_id"`
		Events  []schema.Event `json:"events"`
	}
	err := json.Unmarshal(m.Params.Result, &batch)
	isSpecial := func(e schema.Event) bool { return e.ChangeType == schema.Bookmark || e.ChangeType == schema.Resync }
	if most := s.params.Batch; err == nil && (most == nil || int64(len(batch.Events)) > most.Max || len(batch.Events) == 0 ||
		slices.ContainsFunc(batch.Events, isSpecial)) {
		err = fmt.Errorf("a batch of %d breaks %+v", len(batch.Events), most)
	}
	s.notified(p, batch.Events, err)
}

// send calls a method. answer is called by the reading goroutine, under p.mu, or
// at once when the connection is over.
func (p *peer) send(method string, params any, answer func(json.RawMessage, *schema.Error)) {
	encoded, err := json.Marshal(params)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	if p.pending == nil {
		p.mu.Unlock()
		answer(nil, errLost)
		return
	}
	p.calls++
	id := fmt.Sprint(p.calls)
	p.pending[id] = answer
	p.mu.Unlock()
	_ = p.conn.Write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, encoded))
}

// call calls a method and waits for the answer.
func (p *peer) call(method string, params any, before func(json.RawMessage, *schema.Error)) (json.RawMessage, *schema.Error) {
	type outcome struct {
		result json.RawMessage
		err    *schema.Error
	}
	answered := make(chan outcome, 1)
	p.send(method, params, func(result json.RawMessage, err *schema.Error) {
		if before != nil {
			before(result, err)
		}
		answered <- outcome{result, err}
	})
	o := <-answered
	return o.result, o.err
}

// close ends the connection: with a close frame, or by pulling the plug.
func (p *peer) close(abrupt bool) {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	if abrupt {
		p.conn.CloseNow()
	} else {
		p.conn.Close(wire.CloseNormal, "bye")
	}
	p.resume()
	<-p.done
	p.w.peers = slices.DeleteFunc(p.w.peers, func(other *peer) bool { return other == p })
}

func (p *peer) pause() {
	if !p.paused {
		p.paused = true
		p.gate.Lock()
	}
}

func (p *peer) resume() {
	if p.paused {
		p.paused = false
		p.gate.Unlock()
	}
}
