package wire

import (
	"bytes"
	"strings"
	"testing"
)

// Pings and pongs between messages are dealt with before the library sees them, in pieces
// by it; what surrounds them arrives whole, whatever it is read together with.
func TestControlFramesBetweenMessages(t *testing.T) {
	url, accepted := serve(t, Options{})
	client := dialRaw(t, url)
	server := receive(t, accepted)
	received := make(chan string)
	go func() {
		defer close(received)
		for {
			message, err := server.Read()
			if err != nil {
				return
			}
			received <- string(message)
		}
	}()
	ping := func(payload string) []byte { return controlFrame(opPing, []byte(payload), true) }
	text := func(payload string) []byte { return controlFrame(opText, []byte(payload), true) }
	longest := strings.Repeat("p", maxControl)
	pieces := ping("dd")
	big := strings.Repeat("m", inBuffer-30) // the ping after it does not fit into the buffer
	for name, test := range map[string]struct {
		sent  [][]byte
		pong  string
		texts []string
	}{
		"alone":               {[][]byte{ping("a")}, "a", nil},
		"empty":               {[][]byte{ping("")}, "", nil},
		"longest":             {[][]byte{ping(longest)}, longest, nil},
		"before a message":    {[][]byte{bytes.Join([][]byte{ping("b"), text("m")}, nil)}, "b", []string{"m"}},
		"after a pong":        {[][]byte{controlFrame(opPong, []byte("?"), true), ping("c")}, "c", nil},
		"in two pieces":       {[][]byte{pieces[:3], pieces[3:]}, "dd", nil},
		"across the buffer":   {[][]byte{bytes.Join([][]byte{text(big), ping(longest), text("n")}, nil)}, longest, []string{big, "n"}},
		"inside of a message": {[][]byte{frame(0, opText, "o"), ping("e"), frame(0x80, 0, "p")}, "e", []string{"op"}},
	} {
		for _, piece := range test.sent {
			client.write(piece)
		}
		for i, want := range test.texts {
			if got := receive(t, received); got != want {
				t.Fatalf("%s: message %d is %.20q, want %.20q", name, i, got, want)
			}
		}
		client.expect(opPong, test.pong)
	}
	client.write(frame(0x80, opClose, "\x03\xe8"))
	client.expectClose(CloseNormal)
	if message, open := <-received; open {
		t.Errorf("got %q after everything", message)
	}
}
