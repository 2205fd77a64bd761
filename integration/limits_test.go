package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
)

const messageLimit = 1 << 20 // bytes

// padded is a ping of n bytes.
func padded(n int) string { return pingRequest + strings.Repeat(" ", n-len(pingRequest)) }

// fragments makes frames of at most size bytes of a message (RFC 6455, section 5.4).
func fragments(message string, size int) (frames []byte) {
	opcode := byte(opText)
	for len(message) > size {
		f := frame(opcode, []byte(message[:size]))
		f[0] &^= 0x80 // more follow
		frames, message, opcode = append(frames, f...), message[size:], 0
	}
	return append(frames, frame(opcode, []byte(message))...)
}

// A message of exactly the limit is answered; one byte more ends the connection with
// 1009, in one frame or in many, and without waiting for the end of the message. A
// POST is answered 413.
func TestMessageLimit(t *testing.T) {
	d := serve(t, database(t))
	endless := fragments(padded(2*messageLimit), 4<<10)
	for name, test := range map[string]struct {
		send []byte
		want string
	}{
		"exactly":               {frame(opText, []byte(padded(messageLimit))), ""},
		"one more":              {frame(opText, []byte(padded(messageLimit+1))), "closed with 1009 message too big"},
		"exactly, in fragments": {fragments(padded(messageLimit), 1000), ""},
		"one more in fragments": {fragments(padded(messageLimit+1), 1000), "closed with 1009 message too big"},
		"bytes one by one":      {fragments(padded(100_000), 1), ""},
		"without an end":        {endless[:messageLimit+messageLimit/2], "closed with 1009 message too big"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := d.connect()
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if _, err := p.Write(test.send); err != nil {
				t.Fatal(err)
			}
			m, err := p.next()
			switch {
			case test.want != "" && (err == nil || err.Error() != test.want):
				t.Errorf("got %s, %v, want %s", m.Result, err, test.want)
			case test.want == "" && (err != nil || string(m.Result) != `"pong"`):
				t.Errorf("got %s, %v", m.Result, err)
			}
		})
	}
	for size, want := range map[int]int{messageLimit: 200, messageLimit + 1: 413} {
		response, err := http.Post("http://"+d.host()+"/rpc", "application/json", strings.NewReader(padded(size)))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("a POST of %d bytes: got %d, want %d", size, response.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// Strangers who connect and say nothing, or never finish what they say, take neither
// files nor memory from the others: who comes after them is served at once, and only
// so many of them stay.
func TestSilentStrangers(t *testing.T) {
	const strangers, maxConnections, spare = 3000, 100, 1000
	needFiles(t, strangers+100)
	d := serve(t, database(t), "--max-connections", fmt.Sprint(maxConnections), "--log-level", "error")
	before := d.dial()
	words := []string{"", "G", "GET /rpc HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "POST /rpc HTTP/1.1\r\nHost: evil.example\r\n"}
	for i := range strangers {
		conn, err := net.Dial("tcp", d.host())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, words[i%len(words)])
	}
	after := d.dial()
	for _, c := range []*client.Client{before, after} {
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		t.Skip("/proc does not tell the files of a process here")
	}
	if most := maxConnections + spare + 50; len(files) > most {
		t.Errorf("the daemon has %d files open, more than %d", len(files), most)
	}
	t.Logf("%d strangers: %d files open, %.0f MiB resident", strangers, len(files), mebibytes(d.resident()))
}
