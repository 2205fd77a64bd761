package rpc

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen at once. In a bubble of
// synctest it is virtual, and longer than every timer under test.
const patience = 5 * time.Minute

// clock is the time of every daemon under test: 2026-01-01T00:00:00Z.
func clock() time.Time { return time.UnixMilli(1_767_225_600_000) }

// daemon is a server under test, on a real file.
type daemon struct {
	*Server
	t       testing.TB
	path    string // of the database file
	emitter *emitter.Emitter
	address string // host:port, or the path of the socket
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// setup is what a test may choose about its daemon.
type setup struct {
	rpc     Config
	emitter emitter.Config
	storage storage.Config
	store   func(Store) Store                     // puts something between server and file
	journal func(emitter.Journal) emitter.Journal // the same, between emitter and file
	tokens  func(TokenStore) TokenStore           // the same, for tokens
	listen  func() net.Listener
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// start runs a daemon until the test ends. Ids of tasks are t1, t2, …; time does
// not pass.
func start(t testing.TB, options ...func(*setup)) *daemon {
	t.Helper()
	var ids, leases atomic.Int64
	s := setup{
		rpc:     Config{Version: "test"},
		emitter: emitter.Config{Now: clock, NewID: func() string { return fmt.Sprint("t", ids.Add(1)) }, NewToken: func() string { return fmt.Sprint("lease", leases.Add(1)) }},
		storage: storage.Config{Path: filepath.Join(t.TempDir(), "descartes.db"), Now: clock},
		listen:  func() net.Listener { return must(net.Listen("tcp", "127.0.0.1:0")) },
		dial:    new(net.Dialer).DialContext,
	}
	for _, option := range options {
		option(&s)
	}
	ctx := context.Background()
	db := must(storage.Open(ctx, s.storage))
	t.Cleanup(func() { check(t, db.Close()) })
	s.rpc.Metrics = NewMetrics()
	s.emitter.Committed, s.emitter.Delivered = s.rpc.Metrics.Committed, s.rpc.Metrics.Delivered
	journal := emitter.Journal(db)
	if s.journal != nil {
		journal = s.journal(db)
	}
	s.rpc.Emitter, s.rpc.Store, s.rpc.Tokens = must(emitter.New(ctx, journal, s.emitter)), db, db
	t.Cleanup(s.rpc.Emitter.Close)
	if s.store != nil {
		s.rpc.Store = s.store(db)
	}
	if s.tokens != nil {
		s.rpc.Tokens = s.tokens(db)
	}
	d := &daemon{Server: NewServer(s.rpc), t: t, path: s.storage.Path, emitter: s.rpc.Emitter, dial: s.dial}
	d.serve(s.listen())
	return d
}

// serve serves on one more listener.
func (d *daemon) serve(listener net.Listener) {
	d.address = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- d.Serve(listener) }()
	d.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		check(d.t, d.Shutdown(ctx))
		check(d.t, <-served)
	})
}

// exec runs SQL on the file, as another process would.
func (d *daemon) exec(statement string, args ...any) {
	d.t.Helper()
	db := must(sql.Open("sqlite", "file:"+d.path+"?_pragma=busy_timeout(5000)"))
	defer db.Close()
	_, err := db.Exec(statement, args...)
	check(d.t, err)
}

// do makes one HTTP request and gives the status and the body of the answer.
func (d *daemon) do(method, path, body string, header http.Header) (int, string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := must(http.NewRequestWithContext(ctx, method, "http://"+d.host()+path, strings.NewReader(body)))
	for name, values := range header {
		r.Header[name] = values
	}
	r.Host = orDefault(header.Get("Host"), r.Host)
	client := &http.Client{Transport: &http.Transport{DialContext: d.dial, DisableKeepAlives: true}}
	response, err := client.Do(r)
	check(d.t, err)
	defer response.Body.Close()
	return response.StatusCode, string(must(io.ReadAll(response.Body)))
}

func (d *daemon) host() string {
	if strings.HasPrefix(d.address, "/") {
		return "localhost"
	}
	return d.address
}

func (d *daemon) post(body string) (int, string) {
	d.t.Helper()
	return d.do("POST", "/rpc", body, http.Header{"Content-Type": {"application/json"}})
}

// peer is a client under test: it sees every frame.
type peer struct {
	t      testing.TB
	conn   *wire.Conn
	calls  int
	events []json.RawMessage // notifications that came while it waited for an answer
}

func (d *daemon) tryConnect(header http.Header) (*wire.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	header = header.Clone()
	host := orDefault(header.Get("Host"), d.host())
	header.Del("Host")
	return wire.Dial(ctx, "ws://"+host+"/rpc", wire.DialOptions{
		Header:  header,
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) { return d.dial(ctx, network, d.address) },
	})
}

func (d *daemon) connect() *peer {
	d.t.Helper()
	conn, err := d.tryConnect(nil)
	check(d.t, err)
	d.t.Cleanup(func() { conn.CloseNow() })
	return &peer{t: d.t, conn: conn}
}

func (p *peer) send(messages ...string) {
	p.t.Helper()
	for _, m := range messages {
		check(p.t, p.conn.Write([]byte(m)))
	}
}

// read gives the next frame. A connection on which nothing comes is closed.
func (p *peer) read() (string, error) {
	limit := time.AfterFunc(patience, func() { p.conn.CloseNow() })
	defer limit.Stop()
	frame, err := p.conn.Read()
	return string(frame), err
}

func (p *peer) next() string {
	p.t.Helper()
	frame, err := p.read()
	check(p.t, err)
	return frame
}

func (p *peer) expect(want string) {
	p.t.Helper()
	if got := p.next(); got != want {
		p.t.Fatalf("\n got %.2000s\nwant %.2000s", got, want)
	}
}

// answer is what a request is answered with.
type answer struct {
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
		Data    struct {
			Reason, Field, Rule, Limit string
			ReasonDetail               string `json:"reason_detail"`
			Oldest                     string
			Value                      int64
		}
	}
}

// ask sends one request and waits for its answer; notifications that come first
// are kept in events.
func (p *peer) ask(method, params string) (a answer) {
	p.t.Helper()
	p.calls++
	p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, p.calls, method, params))
	for {
		frame := []byte(p.next())
		if !bytes.Contains(frame[:min(len(frame), 30)], []byte(`"id":`)) {
			p.events = append(p.events, frame)
			continue
		}
		check(p.t, json.Unmarshal(frame, &a))
		return a
	}
}

// call is ask for requests that succeed.
func (p *peer) call(method, params string) string {
	p.t.Helper()
	a := p.ask(method, params)
	if a.Error != nil {
		p.t.Fatalf("%s %.200s: %d %s", method, params, a.Error.Code, a.Error.Message)
	}
	return string(a.Result)
}

// subscribe gives the id without its quotes.
func (p *peer) subscribe(params string) string {
	p.t.Helper()
	return strings.Trim(p.call("task.subscribe", params), `"`)
}

// event is what tests look at in an event.
type event struct {
	Subscription string
	Method       string
	Seq          int64
	Cursor       string
	ChangeType   string `json:"change_type"`
	TaskID       string `json:"task_id"`
	Task         *struct {
		Title, Status string
		Version       int64
	}
	Coalesced         int
	Left, Own, Live   bool
	Reason, Origin    string
	TxLast, Timestamp int64
	BatchID           string `json:"batch_id"`
	Events            []event
}

// event gives the next notification.
func (p *peer) event() (e event) {
	p.t.Helper()
	var frame json.RawMessage
	if len(p.events) > 0 {
		frame, p.events = p.events[0], p.events[1:]
	} else {
		frame = json.RawMessage(p.next())
	}
	var notification struct {
		Method string
		Params *struct {
			Subscription string
			Result       json.RawMessage
		}
	}
	check(p.t, json.Unmarshal(frame, &notification))
	if notification.Params == nil {
		p.t.Fatalf("not a notification: %s", frame)
	}
	check(p.t, json.Unmarshal(notification.Params.Result, &e))
	e.Subscription, e.Method = notification.Params.Subscription, notification.Method
	return e
}

// live reads events up to the bookmark that says that the past is over.
func (p *peer) live() (past []event) {
	p.t.Helper()
	for {
		e := p.event()
		if e.Live {
			return past
		}
		past = append(past, e)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
