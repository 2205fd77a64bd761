package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMessagesBothWays(t *testing.T) {
	server, client := pair(t, Options{})
	messages := [][]byte{
		{},
		[]byte("a"), []byte("é"), bytes.Repeat([]byte("b"), 125), bytes.Repeat([]byte("c"), 126),
		bytes.Repeat([]byte("d"), 65535), bytes.Repeat([]byte("e"), 65536), bytes.Repeat([]byte("f"), 300_000), []byte("g"),
	}
	for _, ends := range [][2]*Conn{{server, client}, {client, server}} {
		written := make(chan error, 1)
		go func() { written <- ends[0].Write(messages...) }()
		for i, want := range messages {
			got, err := ends[1].Read()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("message %d: got %d bytes, %v", i, len(got), err)
			}
		}
		if err := receive(t, written); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFragmentsBinaryAndEarlyBytes(t *testing.T) {
	url, accepted := serve(t, Options{})
	// All of this is in the packet of the handshake: the HTTP server has read it already.
	early := bytes.Repeat(frame(0x80, opText, "early"), 300)
	client := dialRaw(t, url, early,
		frame(0, opText, "fra"), frame(0x80, opPing, "in between"), frame(0, 0, "gmen"), frame(0x80, 0, "ts"),
		frame(0x80, 0x2, "binary"))
	server := receive(t, accepted)
	for range 300 {
		expectMessage(t, server, "early")
	}
	expectMessage(t, server, "fragments")
	expectMessage(t, server, "binary")
	client.expect(opPong, "in between")
}

func expectMessage(t *testing.T, c *Conn, want string) {
	t.Helper()
	if got, err := c.Read(); err != nil || string(got) != want {
		t.Fatalf("got %.100q, %v, want %.100q", got, err, want)
	}
}

func TestSizeLimit(t *testing.T) {
	url, accepted := serve(t, Options{MaxMessage: 1000})
	client, server := dialRaw(t, url), (*Conn)(nil)
	server = receive(t, accepted)
	exact := strings.Repeat("x", 1000)
	client.write(controlFrame(opText, []byte(exact), true))
	expectMessage(t, server, exact)

	client.write(frame(0, opText, "y"), controlFrame(0, []byte(exact), true), frame(0x80, opClose, "\x03\xf1"))
	if _, err := server.Read(); !errors.Is(err, ErrTooBig) || errors.Is(err, io.EOF) {
		t.Error(err)
	}
	client.expectClose(CloseTooBig)
	if _, _, err := readFrame(client.in); err != io.EOF { // not a reset
		t.Error(err)
	}
}

func TestPeerEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(c *rawClient)
		code int
		eof  bool
	}{
		{"close frame", func(c *rawClient) { c.write(frame(0x80, opClose, "\x03\xe9bye")); c.expectClose(CloseGoingAway) }, CloseGoingAway, true},
		{"close frame without a code", func(c *rawClient) { c.write(frame(0x80, opClose, "")); c.expect(opClose, "") }, 1005, true},
		{"gone", func(c *rawClient) { _ = c.Close() }, 0, true},
		{"gone in a message", func(c *rawClient) { c.write(frame(0, opText, "x")); _ = c.Close() }, 0, true},
		{"reset", func(c *rawClient) { _ = c.Conn.(*net.TCPConn).SetLinger(0); _ = c.Close() }, 0, true},
		{"reserved bits", func(c *rawClient) { c.write(frame(0xC0, opText, "x")); c.expectClose(closeProtocol) }, 0, false},
		{"unmasked", func(c *rawClient) { c.write(controlFrame(opText, []byte("x"), false)); c.expectClose(closeProtocol) }, 0, false},
		{"unknown opcode", func(c *rawClient) { c.write(frame(0x80, 0x3, "x")); c.expectClose(closeProtocol) }, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			url, accepted := serve(t, Options{})
			client := dialRaw(t, url)
			server := receive(t, accepted)
			ended := make(chan error, 1)
			go func() { _, err := server.Read(); ended <- err }()
			test.end(client)
			err := receive(t, ended)
			if errors.Is(err, io.EOF) != test.eof || CloseCode(err) != test.code {
				t.Errorf("got %v, code %d", err, CloseCode(err))
			}
			if err := server.Write([]byte("x")); err == nil {
				t.Error("a Write succeeded")
			}
		})
	}
}

func TestCloseTellsThePeer(t *testing.T) {
	server, client := pair(t, Options{})
	ended := make(chan error, 1)
	go func() { _, err := client.Read(); ended <- err }()
	var wg sync.WaitGroup
	for range 3 { // idempotent, and every call waits
		wg.Go(func() { _ = server.Close(CloseGoingAway, strings.Repeat("ä", 100)) })
	}
	wg.Wait()
	err := receive(t, ended)
	if CloseCode(err) != CloseGoingAway || !strings.HasSuffix(err.Error(), strings.Repeat("ä", 61)) {
		t.Error(err)
	}
	if err := server.Write([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := server.Read(); err != io.EOF {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForAPeerThatTakesNothing(t *testing.T) {
	for _, writing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, far := pipe(t, Options{})
			defer far.Close()
			if writing {
				go func() { _ = c.Write([]byte("x")) }()
				synctest.Wait()
			}
			start := time.Now()
			_ = c.Close(CloseGoingAway, "")
			if took := time.Since(start); took > 2*closeGrace {
				t.Errorf("Close took %v", took)
			}
		})
	}
}

func TestPeerThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{WriteTimeout: 30 * time.Second, PingInterval: time.Hour})
		defer far.Close()
		read := make(chan error, 1)
		go func() { _, err := c.Read(); read <- err }()
		start := time.Now()
		if err := c.Write([]byte("x")); err != ErrStalled {
			t.Error(err)
		}
		if took := time.Since(start); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("gave up after %v", took)
		}
		if err := c.Write([]byte("x")); err == nil {
			t.Error("a Write succeeded")
		}
		if err := <-read; err != ErrStalled {
			t.Error(err)
		}
	})
}

func TestPeerThatComesBackTooLateIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{WriteTimeout: 30 * time.Second})
		defer far.Close()
		go func() { _ = c.Write([]byte("x")) }()
		time.Sleep(30*time.Second + closeGrace/2)
		opcode, payload, err := readFrame(bufio.NewReader(far))
		if opcode != opClose || err != nil || binary.BigEndian.Uint16(payload) != ClosePolicy {
			t.Error(opcode, payload, err)
		}
	})
}

func TestSlowPeerIsServedWhileItTakesSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{WriteTimeout: 30 * time.Second, PingInterval: time.Hour})
		defer c.CloseNow()
		want := bytes.Repeat([]byte("x"), 100)
		go func() {
			one := make([]byte, 1)
			for range len(want) + 2 { // a byte every 20 s: 34 minutes
				time.Sleep(20 * time.Second)
				if _, err := far.Read(one); err != nil {
					t.Error(err)
				}
			}
			far.Close()
		}()
		if err := c.Write(want); err != nil {
			t.Error(err)
		}
	})
}

// A stalled socket must not let a cut frame be followed by anything, close frame included.
func TestNothingFollowsACutFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{WriteTimeout: time.Second, PingInterval: 500 * time.Millisecond})
		go func() { _ = c.Write(bytes.Repeat([]byte("x"), 1000)) }()
		head := make([]byte, 10)
		_, _ = io.ReadFull(far, head)
		time.Sleep(1400 * time.Millisecond) // given up, and a ping was due meanwhile
		rest, err := io.ReadAll(far)
		if len(rest) != 0 || err != nil {
			t.Errorf("%q %v", rest, err)
		}
		<-c.Done()
	})
}

// A peer may be slow to read and still send pings: more than 5 s of that made the library
// close the connection.
func TestPingsOfASlowPeerDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{WriteTimeout: 30 * time.Second, PingInterval: time.Hour})
		defer c.CloseNow()
		go func() { _, _ = c.Read() }()
		written := make(chan error, 1)
		go func() { written <- c.Write([]byte("x")) }()
		synctest.Wait() // it is being written
		_, _ = far.Write(frame(0x80, opPing, "1"))
		_, _ = far.Write(frame(0x80, opPing, "2"))
		time.Sleep(20 * time.Second)
		in := bufio.NewReader(far)
		for _, want := range []string{"x", "2"} { // the older pong is not owed any more
			if _, payload, err := readFrame(in); string(payload) != want || err != nil {
				t.Errorf("%q %v", payload, err)
			}
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

func TestFramesNeverInterleave(t *testing.T) {
	url, accepted := serve(t, Options{PingInterval: time.Millisecond})
	client := dialRaw(t, url)
	server := receive(t, accepted)
	go func() { _, _ = server.Read() }() // answers the pings
	const writers, rounds = 8, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range rounds {
				var messages [][]byte
				for j := range 1 + random.IntN(3) {
					size := random.IntN(1 << random.IntN(18))
					messages = append(messages, fmt.Appendf(nil, "%d %d %d %s", w, i, j, strings.Repeat(string(rune('a'+w)), size)))
				}
				if err := server.Write(messages...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() { // pings for the server to answer, while it writes
		for range 200 {
			if _, err := client.Write(frame(0x80, opPing, "ping")); err != nil {
				t.Error(err)
			}
		}
	})
	finished := make(chan struct{})
	go func() { wg.Wait(); _ = server.Write([]byte("end")); close(finished) }()
	readInterleaved(t, client)
	receive(t, finished)
}

// readInterleaved checks every frame until "end": whole, and in order per writer.
func readInterleaved(t *testing.T, client *rawClient) {
	t.Helper()
	last := map[int]int{}
	for {
		opcode, payload := client.read()
		switch {
		case opcode == opPing && len(payload) == 0, opcode == opPong && string(payload) == "ping":
			continue
		case opcode != opText:
			t.Fatalf("frame %#x %.100q", opcode, payload)
		case string(payload) == "end":
			return
		}
		var w, i, j int
		if n, err := fmt.Sscanf(string(payload), "%d %d %d", &w, &i, &j); n != 3 || err != nil {
			t.Fatalf("%.100q", payload)
		}
		text := payload[bytes.LastIndexByte(payload, ' ')+1:]
		if len(bytes.Trim(text, string(rune('a'+w)))) != 0 || i*10+j+1 <= last[w] {
			t.Fatalf("%.100q after %d", payload, last[w])
		}
		last[w] = i*10 + j + 1
	}
}

func TestManyMessagesAreOneSocketWrite(t *testing.T) {
	counting := &countingConn{}
	n := newNetConn(counting, false, Options{}.withDefaults())
	messages := make([][]byte, 100)
	for i := range messages {
		messages[i] = bytes.Repeat([]byte("x"), 600)
	}
	if err := n.writeMessages(messages); err != nil || counting.writes != 1 {
		t.Error(counting.writes, err)
	}
	if err := n.writeMessages(nil); err != nil || counting.writes != 1 {
		t.Error(counting.writes, err)
	}
}

// countingConn is a socket that takes everything.
type countingConn struct {
	net.Conn
	writes int
}

func (c *countingConn) Write(p []byte) (int, error)      { c.writes++; return len(p), nil }
func (c *countingConn) SetWriteDeadline(time.Time) error { return nil }
