package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
)

// stream is a connection whose reads give what a daemon sent, in pieces of any length.
type stream struct {
	net.Conn
	rest []byte
	sent bytes.Buffer // by the client
}

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(s.rest))
	if rand.IntN(2) == 0 {
		n = 1 + rand.IntN(n)
	}
	copy(p, s.rest[:n])
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) Write(p []byte) (int, error) { return s.sent.Write(p) }

// frame is one of a daemon.
func frame(opcode byte, payload []byte) []byte {
	head := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	return append(head, payload...)
}

// Every message is handed over once, with its begin, wherever reads cut it.
func TestReceiveMessagesCutAnywhere(t *testing.T) {
	type message struct {
		head string
		size int
	}
	s := new(stream)
	var want, got []message
	for range 300 {
		size := []int{rand.IntN(126), rand.IntN(1000), rand.IntN(smallRead + 100), rand.IntN(1 << 17)}[rand.IntN(4)]
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(rand.Int())
		}
		s.rest = append(s.rest, frame(opText, payload)...)
		want = append(want, message{string(payload[:min(size, headBytes)]), size})
		if rand.IntN(10) == 0 {
			s.rest = append(s.rest, frame(opPing, []byte("ping"))...)
		}
	}
	pings := bytes.Count(s.rest, frame(opPing, []byte("ping")))
	c := &conn{Conn: s, on: func(head []byte, size int) error {
		got = append(got, message{string(head), size})
		return nil
	}}
	var err error
	for err == nil {
		err = c.receive()
	}
	if !errors.Is(err, io.EOF) || !slices.Equal(got, want) {
		t.Fatalf("%d messages came of %d, then %v", len(got), len(want), err)
	}
	pong := append([]byte{0x80 | opPong, 0x80 | 4, 0, 0, 0, 0}, "ping"...)
	if !bytes.Equal(s.sent.Bytes(), bytes.Repeat(pong, pings)) {
		t.Errorf("%d pings were answered by %q", pings, s.sent.Bytes())
	}
}

func TestReceiveTellsWhyItWasClosed(t *testing.T) {
	c := &conn{Conn: &stream{rest: frame(opClose, append([]byte{1008 >> 8, 1008 & 0xFF}, "too slow"...))}}
	var err error
	for err == nil {
		err = c.receive()
	}
	if want := "the daemon closed a connection with 1008 too slow"; err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestAnswerOf(t *testing.T) {
	for _, c := range []struct {
		head   string
		id     int
		failed bool
	}{
		{`{"jsonrpc":"2.0","id":63,"result":{"id":"t1"}}`, 63, false},
		{`{"jsonrpc":"2.0","id":7,"error":{"code":-32602}}`, 7, true},
		{`{"jsonrpc":"2.0","method":"task.event","params":{}}`, -1, false},
	} {
		if id, err := answerOf([]byte(c.head)); id != c.id || (err != nil) != c.failed {
			t.Errorf("%s: %d, %v", c.head, id, err)
		}
	}
}

// A subscriber that missed an event, or got one twice, ends the row.
func TestSubscriberMissesNothing(t *testing.T) {
	for _, seqs := range [][]int{{5, 7}, {5, 5}, {5, 6, 8}, {6, 5}} {
		s := &subscriber{live: make(chan struct{})}
		var err error
		for _, seq := range seqs {
			err = errors.Join(err, s.message(fmt.Appendf(nil,
				`{"jsonrpc":"2.0","method":"task.event","params":{"subscription":"s1","result":{"seq":%d,"cursor":"e-%d"`, seq, seq), 900))
		}
		if err == nil {
			t.Errorf("%v is accepted", seqs)
		}
	}
}
