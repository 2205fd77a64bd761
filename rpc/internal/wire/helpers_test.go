package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second // for what must happen at once

// serve starts a server on 127.0.0.1 whose connections arrive on the channel.
func serve(t testing.TB, o Options) (url string, accepted <-chan *Conn) {
	t.Helper()
	conns := make(chan *Conn, 16)
	server := httptest.NewServer(accepting(t, o, conns))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/rpc", conns
}

func accepting(t testing.TB, o Options, conns chan<- *Conn) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.CloseNow() })
		conns <- c
	}
}

// pair is a server's and a client's end of one connection over a real socket.
func pair(t testing.TB, o Options) (server, client *Conn) {
	t.Helper()
	url, accepted := serve(t, o)
	client = dial(t, url, DialOptions{})
	return receive(t, accepted), client
}

func dial(t testing.TB, url string, o DialOptions) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := Dial(ctx, url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// rawClient speaks WebSocket by hand, to say what no library would.
type rawClient struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

const handshake = "GET /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// dialRaw does the handshake and sends first in the same packet.
func dialRaw(t testing.TB, url string, first ...[]byte) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/rpc"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	c := &rawClient{t, conn, bufio.NewReader(conn)}
	c.write(append([][]byte{[]byte(handshake + "\r\n")}, first...)...)
	response, err := http.ReadResponse(c.in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response, err)
	}
	return c
}

func (c *rawClient) write(parts ...[]byte) {
	c.t.Helper()
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if _, err := c.Write(all); err != nil {
		c.t.Fatal(err)
	}
}

// frame is a masked frame; fin is 0x80 or 0.
func frame(fin, opcode byte, payload string) []byte {
	f := controlFrame(opcode, []byte(payload), true)
	f[0] = fin | opcode
	return f
}

// read returns the next frame from the server, which must be whole and unmasked.
func (c *rawClient) read() (opcode byte, payload []byte) {
	c.t.Helper()
	opcode, payload, err := readFrame(c.in)
	if err != nil {
		c.t.Fatal(err)
	}
	return opcode, payload
}

func (c *rawClient) expect(opcode byte, payload string) {
	c.t.Helper()
	gotCode, got := c.read()
	if gotCode != opcode || string(got) != payload {
		c.t.Fatalf("got frame %#x %.200q, want %#x %.200q", gotCode, got, opcode, payload)
	}
}

func (c *rawClient) expectClose(code int) {
	c.t.Helper()
	opcode, payload := c.read()
	if opcode != opClose || int(binary.BigEndian.Uint16(payload)) != code {
		c.t.Fatalf("got frame %#x %q, want close %d", opcode, payload, code)
	}
}

func readFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	var head [10]byte
	if _, err = io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		_, err = io.ReadFull(r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:10])
	}
	if err != nil || n > 1<<24 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return head[0] & 0xF, payload, err
}

// pipe is a server's connection over a net.Pipe, for virtual time, and the other end.
func pipe(t testing.TB, o Options) (*Conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(handshake + "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Accept(pipeWriter{httptest.NewRecorder(), near}, r, o)
	if err != nil {
		t.Fatal(err)
	}
	return c, far
}

// pipeWriter is a response writer that is hijacked to a pipe; the handshake's answer goes
// to the recorder.
type pipeWriter struct {
	http.ResponseWriter
	conn net.Conn
}

func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}
