package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// Opcodes (RFC 6455, section 11.8).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

const (
	headBytes  = 512      // of a message that are looked at: its envelope, and the begin of a task
	smallRead  = 4 << 10  // what an idle connection holds
	largeRead  = 64 << 10 // what is borrowed while much comes
	maskedSize = 8        // bytes of the header of a client's frame with 126 to 65,535 bytes
)

var largeReads = sync.Pool{New: func() any { return new([largeRead]byte) }}

// conn is a client's WebSocket connection (RFC 6455), for load alone: of a message it
// looks at the first headBytes, and its frames have a mask of zeros, so that thousands
// of connections fit beside the daemon on a machine. receive belongs to one goroutine.
type conn struct {
	net.Conn
	on func(head []byte, size int) error // gets each message: its begin, and how long it is

	small [smallRead]byte
	kept  int // bytes in small: the begin of a frame
	skip  int // bytes of a frame that are still to come and not looked at

	writing sync.Mutex
}

// dial connects to a daemon, at a URL as client.URL gives it.
func (t *target) dial(ctx context.Context) (*conn, error) {
	u, err := url.Parse(t.url)
	if err != nil {
		return nil, err
	}
	c := new(conn)
	dialer := new(net.Dialer)
	switch u.Scheme {
	case "ws":
		c.Conn, err = dialer.DialContext(ctx, "tcp", withPort(u, "80"))
	case "wss":
		config := new(tls.Config)
		if t.tls != nil {
			config = t.tls.Clone()
		}
		config.NextProtos = []string{"http/1.1"}
		c.Conn, err = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", withPort(u, "443"))
	default: // ws+unix
		c.Conn, err = dialer.DialContext(ctx, "unix", u.Path+u.Opaque)
		u = &url.URL{Host: "localhost", Path: "/rpc"}
	}
	if err != nil {
		return nil, err
	}
	if err := c.handshake(u, t.token); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// handshake makes a WebSocket of the connection (RFC 6455, section 4.1). Nothing follows
// the answer before something is asked.
func (c *conn) handshake(u *url.URL, token string) error {
	head := "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := c.Write([]byte(head + "\r\n")); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the daemon refused a connection: %s", response.Status)
	}
	return nil
}

// appendRequest appends the frame of a request, whose params are made by params: an
// object. The frame has between 126 and 65,535 bytes.
func appendRequest(dst []byte, id int, method string, params func(dst []byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, 0x80|opText, 0x80|126, 0, 0, 0, 0, 0, 0)
	dst = strconv.AppendInt(append(dst, `{"jsonrpc":"2.0","id":`...), int64(id), 10)
	dst = append(append(append(dst, `,"method":"`...), method...), `","params":`...)
	dst = append(params(dst), '}')
	for len(dst) < start+maskedSize+126 {
		dst = append(dst, ' ')
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-maskedSize))
	return dst
}

// send writes whole frames.
func (c *conn) send(frames []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.Write(frames)
	return err
}

// receive reads what has come, waiting for the first of it, and hands over each message.
func (c *conn) receive() error {
	n, err := c.Read(c.small[c.kept:])
	if err != nil {
		return err
	}
	full := c.kept+n == len(c.small)
	rest, err := c.frames(c.small[:c.kept+n])
	c.kept = copy(c.small[:], rest)
	if !full || err != nil {
		return err
	}
	buffer := largeReads.Get().(*[largeRead]byte)
	defer largeReads.Put(buffer)
	for full && err == nil {
		copy(buffer[:], c.small[:c.kept])
		if n, err = c.Read(buffer[c.kept:]); err != nil {
			return err
		}
		full = c.kept+n == len(buffer)
		rest, err = c.frames(buffer[:c.kept+n])
		c.kept = copy(c.small[:], rest)
	}
	return err
}

// frames hands over the frames in p, and gives what is left: the begin of one, shorter
// than smallRead.
func (c *conn) frames(p []byte) (rest []byte, err error) {
	for err == nil {
		k := min(c.skip, len(p))
		p, c.skip = p[k:], c.skip-k
		if len(p) < 2 {
			return p, nil
		}
		header, size := 2, int(p[1])
		switch size {
		case 126:
			header = 4
		case 127:
			header = 10
		}
		if len(p) < header {
			return p, nil
		}
		if header > 2 {
			size = 0
			for _, b := range p[2:header] {
				size = size<<8 | int(b)
			}
		}
		head := min(size, headBytes)
		if len(p) < header+head {
			return p, nil
		}
		err = c.frame(p[0]&0xF, p[header:header+head], size)
		p, c.skip = p[header:], size
	}
	return nil, err
}

func (c *conn) frame(opcode byte, head []byte, size int) error {
	switch opcode {
	case opText:
		return c.on(head, size)
	case opPing:
		pong := append([]byte{0x80 | opPong, 0x80 | byte(size), 0, 0, 0, 0}, head...)
		return c.send(pong)
	case opClose:
		if size < 2 {
			return errors.New("the daemon closed a connection")
		}
		return fmt.Errorf("the daemon closed a connection with %d %s", binary.BigEndian.Uint16(head), head[2:])
	}
	return nil
}

// answerHead is what every answer begins with, and no notification.
var answerHead = []byte(`{"jsonrpc":"2.0","id":`)

// answerOf gives the id that an answer is for, -1 for a notification, and an error for an
// error.
func answerOf(head []byte) (id int, err error) {
	rest, ok := bytes.CutPrefix(head, answerHead)
	if !ok {
		return -1, nil
	}
	id, rest = leadingInt(rest)
	if !bytes.HasPrefix(rest, []byte(`,"result":`)) {
		return id, fmt.Errorf("the daemon answered %s", head)
	}
	return id, nil
}

// leadingInt reads the digits that text begins with.
func leadingInt(text []byte) (n int, rest []byte) {
	for len(text) > 0 && text[0] >= '0' && text[0] <= '9' {
		n = n*10 + int(text[0]-'0')
		text = text[1:]
	}
	return n, text
}
