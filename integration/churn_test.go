package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// churn is a way to come and to go again. Each of its peers comes once.
type churn struct {
	name   string
	peers  int // eight times as many with DESCARTES_LOAD=full, an eighth under the race detector
	behave func(d *daemon, i int) error
	check  func(t *testing.T, d *daemon, peers int) // of what has become of it, if that is known
}

var churns = []churn{
	{"storm", 800, storm, nil},
	{"half a handshake", 400, halfAHandshake, nil},
	{"half a request over HTTP", 400, halfAPost, nil},
	{"half a frame", 400, halfAFrame, nil},
	{"a batch and gone", 50, batchAndGone, checkBatches},
	{"a big answer not taken", 12, bigAnswer, nil},
	{"byte by byte", 100, byteByByte, nil},
}

// Crowds of peers come at once, and go in the middle of things. Nothing of them stays
// in the daemon, and nobody else notices them.
func TestChurn(t *testing.T) {
	needFiles(t, 2000)
	d := serve(t, database(t), "--log-level", "error")
	g, other := d.gauge(""), newBystander(t, d)
	warm(t, d)
	fill(t, d)
	before := g.settled()
	t.Logf("before: %v", before)
	for _, c := range churns {
		t.Run(c.name, func(t *testing.T) {
			switch {
			case fullLoad():
				c.peers *= 8
			case withRaceDetector:
				c.peers = (c.peers + 7) / 8
			}
			const atATime = 64
			wave := func() {
				if parallel(t, c.peers, atATime, func(i int) error { return c.behave(d, i) }); t.Failed() {
					t.FailNow()
				}
			}
			began := time.Now()
			other.watch(t, func() {
				// After the first wave the runtime has what it needs for such a crowd; a
				// second one must not need a byte more for each peer.
				wave()
				once := g.back(before, 6*atATime)
				wave()
				g.back(once, 0)
			})
			t.Logf("2 x %d peers in %v", c.peers, time.Since(began))
			if c.check != nil {
				c.check(t, d, c.peers)
			}
		})
	}
	t.Logf("after:  %v", g.settled())
}

// leave ends a connection in one of the two ways that need no word of WebSocket.
func leave(i int, conn *net.TCPConn) error {
	if i%2 == 0 {
		return conn.Close()
	}
	return reset(conn)
}

// storm connects, subscribes and goes: politely, or without a word.
func storm(d *daemon, i int) error {
	p, err := d.connect()
	if err != nil {
		return err
	}
	if err := p.subscribe(schema.SubscribeParams{}); err != nil {
		return err
	}
	if i%3 == 0 {
		return p.goodbye()
	}
	return leave(i, p.TCPConn)
}

// cutShort sends a part of something, and goes.
func cutShort(i int, conn *net.TCPConn, whole []byte) error {
	if _, err := conn.Write(whole[:1+i%(len(whole)-1)]); err != nil {
		return err
	}
	return leave(i/2, conn)
}

func halfAHandshake(d *daemon, i int) error {
	conn, err := d.connectTCP()
	if err != nil {
		return err
	}
	return cutShort(i, conn, fmt.Appendf(nil, handshake, d.host()))
}

func halfAPost(d *daemon, i int) error {
	conn, err := d.connectTCP()
	if err != nil {
		return err
	}
	body := request(1, schema.MethodCreate, schema.Draft{Title: "never"})
	return cutShort(i, conn, fmt.Appendf(nil, "POST /rpc HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		d.host(), len(body), body))
}

func halfAFrame(d *daemon, i int) error {
	p, err := d.connect()
	if err != nil {
		return err
	}
	return cutShort(i, p.TCPConn, frame(opText, request(1, schema.MethodCreate, schema.Draft{Title: "never"})))
}

// batchOf is how many tasks a peer of batchAndGone makes.
const batchOf = 50

// batchAndGone sends a batch of writes and goes without waiting for the answer:
// with the whole batch sent, or in the middle of it.
func batchAndGone(d *daemon, i int) error {
	p, err := d.connect()
	if err != nil {
		return err
	}
	requests := make([]string, batchOf)
	for n := range requests {
		requests[n] = string(request(int64(n), schema.MethodCreate, schema.Draft{Title: "batch", AssignedTo: new(batchName(i))}))
	}
	batch := frame(opText, []byte("["+strings.Join(requests, ",")+"]"))
	if i%2 == 1 {
		return cutShort(i*1009, p.TCPConn, batch)
	}
	if _, err := p.Write(batch); err != nil {
		return err
	}
	return p.Close()
}

func batchName(i int) string { return fmt.Sprint("batch", i) }

// checkBatches looks for what batchAndGone has left: all of what arrived, nothing
// of what did not. It came in two waves.
func checkBatches(t *testing.T, d *daemon, peers int) {
	t.Helper()
	c := d.dial()
	defer c.Close()
	for i := range peers {
		page, err := c.List(t.Context(), schema.ListParams{
			Filter: &schema.Filter{AssignedTo: []*string{new(batchName(i))}}, Limit: new(int64(1000)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * batchOf * (1 - i%2); len(page.Tasks) != want {
			t.Errorf("%d tasks of the batches of peer %d, want %d", len(page.Tasks), i, want)
		}
	}
}

// bigAnswer asks for megabytes, takes a few bytes of them, and goes.
func bigAnswer(d *daemon, i int) error {
	p, err := d.connect()
	if err != nil {
		return err
	}
	list := request(1, schema.MethodList, schema.ListParams{
		Limit: new(int64(1000)), Filter: &schema.Filter{AssignedTo: []*string{new(bigName)}},
	})
	if _, err := p.Write(frame(opText, list)); err != nil {
		return err
	}
	if _, err := p.in.Discard(100); err != nil {
		return err
	}
	return leave(i, p.TCPConn)
}

// bigName has the tasks that bigAnswer asks for: 6 MB of them, under the race detector 1.
const bigName = "big"

func fill(t *testing.T, d *daemon) {
	t.Helper()
	c := d.dial()
	defer c.Close()
	big, groups := strings.Repeat("x", 30<<10), 10
	if withRaceDetector {
		groups = 2
	}
	for range groups {
		operations := make([]schema.Operation, 20)
		for i := range operations {
			operations[i] = schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{Title: "big", Description: &big, AssignedTo: new(bigName)}}
		}
		if _, err := c.Apply(t.Context(), operations...); err != nil {
			t.Fatal(err)
		}
	}
}

// byteByByte sends handshake and request in packets of one byte, and is answered.
func byteByByte(d *daemon, _ int) error {
	conn, err := d.connectTCP()
	if err != nil {
		return err
	}
	p := newPeer(conn)
	defer p.Close()
	slowly := func(whole []byte) error {
		for i := range whole {
			if _, err := p.Write(whole[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(slowly(fmt.Appendf(nil, handshake, d.host())), p.upgraded(),
		slowly(frame(opText, request(1, schema.MethodPing, nil)))); err != nil {
		return err
	}
	if m, err := p.next(); err != nil || string(m.Result) != `"pong"` {
		return fmt.Errorf("answered %s, %v", m.Result, err)
	}
	return p.goodbye()
}

// bystander is a client that has nothing to do with the others.
type bystander struct {
	client *client.Client
	events *client.Subscription
}

const bystanderName = "bystander"

func newBystander(t *testing.T, d *daemon) *bystander {
	t.Helper()
	c := d.dial()
	return &bystander{c, subscribe(t, c, schema.SubscribeParams{
		Filter: &schema.EventFilter{Filter: schema.Filter{AssignedTo: []*string{new(bystanderName)}}},
	})}
}

// pingBound is the most that the median ping of a bystander may take. Alone it takes
// less than a millisecond.
const pingBound = 100 * time.Millisecond

// watch lets the bystander ping, write and be told of it while something is done.
func (b *bystander) watch(t *testing.T, do func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var pings []time.Duration
	go func() {
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for {
			took, err := b.round()
			pings = append(pings, took)
			if err != nil {
				ended <- err
				return
			}
			select {
			case <-pace.C:
			case <-ctx.Done():
				ended <- nil
				return
			}
		}
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the bystander: %v", err)
		}
		slices.Sort(pings)
		median := pings[len(pings)/2]
		t.Logf("a bystander's ping takes %v, at most %v; it had each of its %d events", median, pings[len(pings)-1], len(pings))
		if median > pingBound {
			t.Errorf("the bystander's ping takes %v, more than %v", median, pingBound)
		}
	}()
	do()
}

// round is one ping, and one write with its event.
func (b *bystander) round() (ping time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	began := time.Now()
	if err = b.client.Ping(ctx); err != nil {
		return 0, err
	}
	ping = time.Since(began)
	task, err := b.client.Create(ctx, schema.Draft{Title: "nothing special", AssignedTo: new(bystanderName)})
	for err == nil {
		var e schema.Event
		if e, err = b.events.Next(ctx); err == nil && e.ChangeType != schema.Bookmark {
			if e.Seq != task.Version || e.TaskID != task.ID {
				err = fmt.Errorf("created %s at %d, but was told of %+v", task.ID, task.Version, e)
			}
			break
		}
	}
	return ping, err
}
