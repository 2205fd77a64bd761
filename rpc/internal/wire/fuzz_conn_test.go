package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/descartes-tasks/descartes/rpc/internal/wire/wiretest"
)

// fuzzMessage is the longest message of the connections that are fuzzed, so short
// that longer ones are found.
const fuzzMessage = 512

// FuzzConn sends any bytes to a server, a few at a time, and then nothing more. What
// comes back is compared with a plain reading of RFC 6455: every message is answered,
// every frame is well-formed, the connection ends with the right close code, and it
// does end. Time is virtual: what hangs, or leaves a goroutine behind, fails at once.
func FuzzConn(f *testing.F) {
	for i, seed := range seeds {
		f.Add(peerFrame(0x81+byte(i&1), seed), uint8(i)) // text or binary
	}
	ping := `{"jsonrpc":"2.0","method":"m","id":1}`
	for _, frames := range [][][]byte{
		{peerFrame(opText, ping[:9]), peerFrame(0x89, "now"), peerFrame(0, ""), peerFrame(0x80, ping[9:]), peerFrame(0x88, "")},
		{peerFrame(0x81, ping), peerFrame(0x88, "\x03\xe8bye"), peerFrame(0x81, ping)},
		{peerFrame(0x88, "\x03")},
		{peerFrame(0x88, "\x03\xed")},
		{peerFrame(0x88, "\x0b\xb8\xff")},
		{peerFrame(9, "")},
		{peerFrame(0x89, "a"), peerFrame(0x89, "b"), peerFrame(0x8A, ""), peerFrame(0x81, ping)},
		{peerFrame(0x83, "")},
		{peerFrame(0x80, ping)},
		{peerFrame(1, "{"), peerFrame(0x81, ping)},
		{peerFrame(0xC1, ping)},
		{{0x81, 0}},
		{{0x81, 0xFF, 0x80}, make([]byte, 11)},
		{{0x81, 0xFF, 0x7F}, make([]byte, 11)},
		{{0x89, 0xFE}, make([]byte, 200)},
		{peerFrame(2, strings.Repeat("[,", 150)), peerFrame(0x8A, "x"), peerFrame(0, strings.Repeat("[,", 150)), peerFrame(0x81, ping)},
		{peerFrame(0x81, strings.Repeat(" ", fuzzMessage)), peerFrame(0x89, strings.Repeat("x", 125)), peerFrame(0x89, "")[:2]},
		{peerFrame(0x81, ping), peerFrame(0x89, "a"), peerFrame(0x89, "later")[:8]},
	} {
		f.Add(slices.Concat(frames...), uint8(0))
	}
	f.Fuzz(func(t *testing.T, sent []byte, chunk uint8) {
		synctest.Test(t, func(t *testing.T) {
			server, peer := pipe(t, Options{MaxMessage: fuzzMessage})
			ended := make(chan error, 1)
			server.Serve(Limits{Batch: fuzzBatch}, echo(server), func(err error) { ended <- err })
			go func() {
				for piece := range slices.Chunk(sent, int(chunk)+1) {
					if _, err := peer.Write(piece); err != nil {
						return // the server has closed
					}
				}
			}()
			received, err := io.ReadAll(peer)
			if err != nil {
				t.Fatal(err)
			}
			d := owed(sent)
			d.compare(t, received)
			if err := <-ended; d.regular != (err == nil) || (d.close == CloseTooBig && !d.regular) != errors.Is(err, ErrTooBig) {
				t.Fatalf("Serve ended with %v after %+v", err, d)
			}
			_ = peer.Close()
		})
	})
}

// peerFrame is a frame whose mask is zeros, so that a fuzzer sees what it changes.
func peerFrame(first byte, payload string) []byte {
	frame := appendHeader(nil, 0, len(payload), new([4]byte))
	frame[0] = first
	return append(frame, payload...)
}

// debt is what a server owes a peer for what it sent.
type debt struct {
	messages [][]byte
	pings    []string // a pong may answer the newest of several
	close    int      // code of the server's close frame, or one of the following
	regular  bool     // this is an ordinary end
	silent   bool     // the peer has to be pinged before it is given up
}

const (
	closeEmpty = 1005 // a close frame without a code
	closeCut   = 1006 // no close frame
)

// owed reads what a peer sent as RFC 6455, section 5, wants a server to.
func owed(sent []byte) (d debt) {
	var message []byte
	started := false // a message of which there is more to come
	for {
		h, ok := readHeader(sent)
		if !ok {
			d.close, d.silent = ClosePolicy, true
			return d
		}
		if d.close = h.fault(started); d.close != 0 {
			return d
		}
		if h.control() && len(sent)-h.size < h.length {
			d.close, d.regular = closeCut, true // within 5 s: a control frame comes in one piece
			return d
		}
		payload := bytes.Clone(sent[h.size:][:min(h.length, len(sent)-h.size)])
		applyMask(h.mask, payload, 0)
		switch h.opcode {
		case opClose:
			return d.closed(payload)
		case opPing:
			d.pings = append(d.pings, string(payload))
		case opPong:
		default:
			if message = append(message, payload...); len(message) > fuzzMessage {
				d.close = CloseTooBig
				return d
			}
			if len(payload) < h.length {
				d.close, d.silent = ClosePolicy, true
				return d
			}
			if started = !h.fin; h.fin {
				d.messages, message = append(d.messages, message), nil
			}
		}
		sent = sent[h.size+h.length:]
	}
}

// closed is what is owed for a close frame (sections 5.5.1 and 7.4).
func (d debt) closed(payload []byte) debt {
	switch code, reason := closePayload(payload); {
	case len(payload) == 0:
		d.close, d.regular = closeEmpty, true
	case maySend(code) && utf8.Valid(reason):
		d.close, d.regular = code, true
	default:
		d.close, d.regular = closeProtocol, maySend(code)
	}
	return d
}

func closePayload(payload []byte) (code int, reason []byte) {
	if len(payload) < 2 {
		return 0, nil
	}
	return int(binary.BigEndian.Uint16(payload)), payload[2:]
}

// maySend tells whether a close frame may have this code, in the registry that
// section 7.4 founded.
func maySend(code int) bool {
	return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006) || code >= 3000 && code < 5000
}

// header is what a frame begins with (section 5.2).
type header struct {
	fin, reserved bool
	opcode        byte
	mask          mask
	length        int
	size          int // of the header itself
}

// readHeader reads a header, if all of it is there.
func readHeader(p []byte) (h header, ok bool) {
	if len(p) < 2 {
		return h, false
	}
	h = header{fin: p[0]&0x80 != 0, reserved: p[0]&0x70 != 0, opcode: p[0] & 0xF, length: int(p[1] & 0x7F), size: 2}
	long := map[int]int{126: 2, 127: 8}[h.length]
	if h.size += long; len(p) < h.size {
		return h, false
	}
	if long > 0 {
		h.length = int(binary.BigEndian.Uint64(append(make([]byte, 8-long, 8), p[2:h.size]...)))
	}
	if p[1]&0x80 == 0 || h.length < 0 {
		return h, true
	}
	if h.size += 4; len(p) < h.size {
		return h, false
	}
	h.mask = mask(p[h.size-4 : h.size])
	return h, true
}

func (h *header) control() bool { return h.opcode >= opClose }

// fault is the code for a frame that no client may send now.
func (h *header) fault(started bool) int {
	switch {
	case h.reserved, h.mask == nil, h.length < 0,
		h.opcode > 2 && h.opcode < opClose, h.opcode > opPong,
		h.control() && (!h.fin || h.length > maxControl),
		!h.control() && (h.opcode == 0) != started:
		return closeProtocol
	}
	return 0
}

// compare checks what a server has sent before it closed the socket.
func (d *debt) compare(t *testing.T, received []byte) {
	t.Helper()
	var texts, pongs []string
	pings, last := 0, opText
	for len(received) > 0 {
		h, ok := readHeader(received)
		if !ok || !h.fin || h.reserved || h.mask != nil || h.length < 0 || len(received)-h.size < h.length ||
			h.size != len(appendHeader(nil, 0, h.length, nil)) || h.control() && h.length > maxControl {
			t.Fatalf("this is no frame: %q", received)
		}
		payload := string(received[h.size : h.size+h.length])
		received, last = received[h.size+h.length:], int(h.opcode)
		switch h.opcode {
		case opText:
			texts = append(texts, payload)
		case opPing:
			pings++
		case opPong:
			pongs = append(pongs, payload)
		case opClose:
			code, reason := closePayload([]byte(payload))
			if empty := payload == "" && d.close == closeEmpty; !empty && code != d.close || !utf8.Valid(reason) || len(received) > 0 {
				t.Fatalf("the server closed with %q, want %d, and then sent %q", payload, d.close, received)
			}
		default:
			t.Fatalf("the server sent a frame of kind %#x", h.opcode)
		}
	}
	if (last == opClose) != (d.close != closeCut) || (pings > 0) != d.silent {
		t.Fatalf("%d pings, the last frame was of kind %#x; want %+v", pings, last, d)
	}
	d.compareAnswers(t, texts)
	d.comparePongs(t, pongs)
}

// compareAnswers checks that each message has its answer, in order.
func (d *debt) compareAnswers(t *testing.T, texts []string) {
	t.Helper()
	for _, m := range d.messages {
		answers, _ := wiretest.Answers(m, fuzzBatch)
		n := min(len(answers), len(texts), 1)
		checkAnswers(t, m, texts[:n])
		texts = texts[n:]
	}
	if len(texts) > 0 {
		t.Fatalf("nobody asked for %q", texts)
	}
}

// comparePongs checks that the pongs answer the pings, in order, and the last one if
// there was time.
func (d *debt) comparePongs(t *testing.T, pongs []string) {
	t.Helper()
	pings := d.pings
	for _, pong := range pongs {
		i := slices.Index(pings, pong)
		if i < 0 {
			t.Fatalf("pongs %q for pings %q", pongs, d.pings)
		}
		pings = pings[i+1:]
	}
	if d.silent && len(d.pings) > 0 && (len(pongs) == 0 || pongs[len(pongs)-1] != d.pings[len(d.pings)-1]) {
		t.Fatalf("pongs %q do not answer the last of %q", pongs, d.pings)
	}
}
