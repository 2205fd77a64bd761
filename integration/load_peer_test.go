package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// peer is the client's end of a WebSocket connection (RFC 6455), as light as can
// be, and free to do what package client never would.
type peer struct {
	*net.TCPConn
	in     *bufio.Reader
	events []schema.Event // that came while something else was waited for
}

// handshake is what a client sends first (RFC 6455, section 4.1).
const handshake = "GET /rpc HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// Opcodes (RFC 6455, section 11.8).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// peerPatience is how long a peer may live.
const peerPatience = 5 * time.Minute

// connectTCP connects to the daemon and says nothing.
func (d *daemon) connectTCP() (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", d.host())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), conn.SetDeadline(time.Now().Add(peerPatience))
}

// host is the address of the daemon.
func (d *daemon) host() string {
	d.t.Helper()
	u, err := url.Parse(d.url)
	if err != nil {
		d.t.Fatal(err)
	}
	return u.Host
}

// connect opens a WebSocket connection.
func (d *daemon) connect() (*peer, error) {
	conn, err := d.connectTCP()
	if err != nil {
		return nil, err
	}
	p := newPeer(conn)
	if _, err = fmt.Fprintf(conn, handshake, d.host()); err == nil {
		err = p.upgraded()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func newPeer(conn *net.TCPConn) *peer {
	return &peer{TCPConn: conn, in: bufio.NewReaderSize(conn, 1<<10)}
}

// upgraded reads the answer to the handshake.
func (p *peer) upgraded() error {
	response, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake: %s", response.Status)
	}
	return nil
}

// frame makes a client's frame. Its mask is zero, which masks nothing.
func frame(opcode byte, payload []byte) []byte {
	const final, masked = 0x80, 0x80
	f := []byte{final | opcode}
	switch n := len(payload); {
	case n < 126:
		f = append(f, masked|byte(n))
	case n < 1<<16:
		f = append(f, masked|126, byte(n>>8), byte(n))
	default:
		f = append(f, masked|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(append(f, 0, 0, 0, 0), payload...)
}

// request makes a JSON-RPC request.
func request(id int64, method string, params any) []byte {
	encoded, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		panic(err) // the tests' own params
	}
	return encoded
}

// readFrame reads a server's frame.
func (p *peer) readFrame() (opcode byte, payload []byte, err error) {
	var head [10]byte
	if _, err = io.ReadFull(p.in, head[:2]); err != nil {
		return 0, nil, err
	}
	size, length := int(head[1]), head[2:2]
	switch size {
	case 126:
		size, length = 0, head[2:4]
	case 127:
		size, length = 0, head[2:10]
	}
	if _, err = io.ReadFull(p.in, length); err != nil {
		return 0, nil, err
	}
	for _, b := range length {
		size = size<<8 | int(b)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(p.in, payload)
	return head[0] & 0xF, payload, err
}

// message is what a daemon sends: an answer or a notification.
type message struct {
	ID     *int64          `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *schema.Error   `json:"error"`
	Params struct {
		Result schema.Event `json:"result"`
	} `json:"params"`
}

// next reads the next message, and answers pings.
func (p *peer) next() (m message, err error) {
	for {
		opcode, payload, err := p.readFrame()
		switch {
		case err != nil:
			return m, err
		case opcode == opText:
			return m, json.Unmarshal(payload, &m)
		case opcode == opPing:
			if _, err := p.Write(frame(opPong, payload)); err != nil {
				return m, err
			}
		case opcode == opClose:
			return m, closed(payload)
		}
	}
}

// closed is the error of a close frame.
func closed(payload []byte) error {
	if len(payload) < 2 {
		return errors.New("closed without a code")
	}
	return fmt.Errorf("closed with %d %s", int(payload[0])<<8|int(payload[1]), payload[2:])
}

// call makes a request and waits for its answer.
func (p *peer) call(method string, params any) (json.RawMessage, error) {
	const id = 1
	if _, err := p.Write(frame(opText, request(id, method, params))); err != nil {
		return nil, err
	}
	for {
		m, err := p.next()
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", method, err)
		case m.Error != nil:
			return nil, fmt.Errorf("%s: %w", method, m.Error)
		case m.ID != nil:
			return m.Result, nil
		}
		p.events = append(p.events, m.Params.Result)
	}
}

// workerPeer is a connection of a worker.
type workerPeer struct{ *peer }

func (c workerPeer) Call(method string, params any) (json.RawMessage, error) {
	return c.call(method, params)
}

// Cut cuts it; the daemon may have been the first.
func (c workerPeer) Cut() { _ = reset(c.TCPConn) }

// event gives the next event that is no bookmark.
func (p *peer) event() (schema.Event, error) {
	for {
		var e schema.Event
		if len(p.events) > 0 {
			e, p.events = p.events[0], p.events[1:]
		} else {
			m, err := p.next()
			if err != nil {
				return e, err
			}
			e = m.Params.Result
		}
		if e.ChangeType != schema.Bookmark {
			return e, nil
		}
	}
}

// subscribe subscribes and waits until that is live.
func (p *peer) subscribe(params schema.SubscribeParams) error {
	if params.DebounceMS == nil {
		params.DebounceMS = new(int64(0))
	}
	if _, err := p.call(schema.MethodSubscribe, params); err != nil {
		return err
	}
	for len(p.events) == 0 {
		m, err := p.next()
		if err != nil {
			return err
		}
		p.events = append(p.events, m.Params.Result)
	}
	return nil
}

// goodbye closes the connection as RFC 6455 has it: a close frame, the server's, the end.
func (p *peer) goodbye() error {
	defer p.Close()
	if _, err := p.Write(frame(opClose, []byte{1000 >> 8, 1000 & 0xFF})); err != nil {
		return err
	}
	for {
		opcode, payload, err := p.readFrame()
		if err != nil {
			return err
		}
		if opcode == opClose {
			if !bytes.Equal(payload, []byte{1000 >> 8, 1000 & 0xFF}) {
				return closed(payload)
			}
			return nil
		}
	}
}

// reset ends the connection with a TCP reset, whatever is under way.
func reset(conn *net.TCPConn) error { return errors.Join(conn.SetLinger(0), conn.Close()) }

// crowd connects n peers, at most 64 at a time, and lets each do something with
// its connection. It gives them in their order, and closes them with the test.
func (d *daemon) crowd(n int, do func(i int, p *peer) error) []*peer {
	d.t.Helper()
	peers := make([]*peer, n)
	parallel(d.t, n, 64, func(i int) error {
		p, err := d.connect()
		if err != nil {
			return err
		}
		peers[i] = p
		return do(i, p)
	})
	d.t.Cleanup(func() {
		for _, p := range peers {
			if p != nil {
				p.Close()
			}
		}
	})
	if d.t.Failed() {
		d.t.FailNow()
	}
	return peers
}

// parallel does n things, some at a time, and reports the first error.
func parallel(t *testing.T, n, atATime int, do func(i int) error) {
	t.Helper()
	work := make(chan int)
	failures := make(chan error, atATime)
	for range atATime {
		go func() {
			var failed error
			for i := range work {
				if failed == nil {
					if failed = do(i); failed != nil {
						failed = fmt.Errorf("%d: %w", i, failed)
					}
				}
			}
			failures <- failed
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	var first error
	for range atATime {
		if err := <-failures; first == nil {
			first = err
		}
	}
	if first != nil {
		t.Error(first)
	}
}

// mustCall is call where nothing may go wrong.
func mustCall(t *testing.T, p *peer, method string, params any) json.RawMessage {
	t.Helper()
	result, err := p.call(method, params)
	if err != nil {
		t.Fatal(err)
	}
	return result
}
