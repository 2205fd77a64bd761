package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"nhooyr.io/websocket"
)

// bareServer makes this program be a bare server.
const bareServer = "DESCARTES_TEST_BARE_SERVER"

// bare is a server that understands just enough to be loaded by "descartes bench": it
// answers each request with one frame, and writes each creation to each subscriber, frame
// by frame. It stores nothing and checks nothing.
type bare struct {
	mu     sync.Mutex // held while a creation is handed to all subscribers: their order
	seq    int
	queues map[*websocket.Conn]chan []byte // bounded: when one is full, writers wait
	frames atomic.Int64                    // written
}

// serveBare prints its address, serves until SIGTERM, and prints how many frames it
// wrote.
func serveBare() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	s := &bare{queues: make(map[*websocket.Conn]chan []byte)}
	go func() { _ = http.Serve(listener, s) }()
	<-ctx.Done()
	fmt.Println(s.frames.Load())
}

// ServeHTTP serves one connection.
func (s *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return
	}
	defer s.leave(c)
	c.SetReadLimit(1 << 20)
	for {
		_, message, err := c.Read(context.Background())
		if err != nil {
			return
		}
		s.answer(c, message)
	}
}

func (s *bare) write(c *websocket.Conn, message []byte) {
	if c.Write(context.Background(), websocket.MessageText, message) == nil {
		s.frames.Add(1)
	}
}

// padding makes answers and events as long as the daemon's.
var padding = strings.Repeat(" ", 500)

func (s *bare) answer(c *websocket.Conn, message []byte) {
	id, method, params := request(message)
	result := `{"id":"t"` + padding + `}`
	switch method {
	case "task.create":
		defer s.publish(bytes.TrimSuffix(bytes.TrimRight(params, " "), []byte("}")))
	case "task.subscribe":
		result = `"s1"`
		defer s.join(c)
	case "task.apply": // the benchmark deletes what it made
		results := strings.Repeat(`,{"id":"t","version":1}`, bytes.Count(params, []byte(`"op":"delete"`)))
		result = `{"results":[` + results[1:] + `],"cursor":"e-0"}`
	case "server.stats":
		result = `{"tasks":{},"slowest_lag":0}`
	}
	s.write(c, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result))
}

// request takes a request apart, as fast as can be if it is one of the load.
func request(message []byte) (id, method string, params []byte) {
	if rest, fast := bytes.CutPrefix(message, []byte(`{"jsonrpc":"2.0","id":`)); fast {
		number, rest, _ := bytes.Cut(rest, []byte(`,"method":"`))
		name, params, _ := bytes.Cut(rest, []byte(`","params":`))
		return string(number), string(name), params
	}
	var r struct {
		ID, Params json.RawMessage
		Method     string
	}
	_ = json.Unmarshal(message, &r) // what cannot be read is answered, too
	return string(r.ID), r.Method, r.Params
}

const notification = `{"jsonrpc":"2.0","method":"task.event","params":{"subscription":"s1","result":`

// publish hands an event with a task to all subscribers.
func (s *bare) publish(task []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	event := fmt.Appendf(nil, notification+`{"seq":%d,"cursor":"e-%d","change_type":"created","task":%s%s}}}`, s.seq, s.seq, task, padding)
	for _, queue := range s.queues {
		queue <- event
	}
}

// join makes a connection a subscriber.
func (s *bare) join(c *websocket.Conn) {
	queue := make(chan []byte, 64)
	queue <- []byte(notification + `{"change_type":"bookmark","cursor":"e-0","live":true}}}`)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[c] = queue
	go func() {
		for event := range queue {
			s.write(c, event)
		}
	}()
}

func (s *bare) leave(c *websocket.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if queue, joined := s.queues[c]; joined {
		close(queue)
		delete(s.queues, c)
	}
	_ = c.CloseNow()
}
