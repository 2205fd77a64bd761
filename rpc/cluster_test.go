package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// fakeCluster is a cluster as its log of record may be: it does what a test says.
type fakeCluster struct {
	mu     sync.Mutex
	fresh  func(ctx context.Context) error // nil: everything is here
	asked  int                             // how often it was asked for
	behind error
	broken error // of Stats
}

func (c *fakeCluster) set(change func(c *fakeCluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func (c *fakeCluster) Fresh(ctx context.Context) error {
	c.mu.Lock()
	c.asked++
	fresh := c.fresh
	c.mu.Unlock()
	if fresh == nil {
		return nil
	}
	return fresh(ctx)
}

func (c *fakeCluster) Info() schema.ClusterInfo {
	return schema.ClusterInfo{Name: "tasks", Daemon: "one"}
}

func (c *fakeCluster) Stats(context.Context) (schema.ClusterStats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return schema.ClusterStats{}, c.broken
	}
	return schema.ClusterStats{
		ClusterInfo: c.Info(), Connected: true, Current: c.behind == nil, Position: 7, Newest: 9, Lag: 2, Unknown: 3,
		Daemons: []schema.ClusterDaemon{
			{Name: "one", Version: "test", Position: 7, HeardAt: 1_767_225_600_000, Current: true},
			{Name: "two", Version: "test", Position: 9, HeardAt: 1_767_225_600_000},
		},
	}, nil
}

func (c *fakeCluster) Behind() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.behind
}

// vague is a journal that does not tell what becomes of the task of that name.
type vague struct{ emitter.Journal }

func (v vague) Apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	if changes[0].Operations[0].TaskID() == "vague" {
		return nil, nil, schema.OutcomeUnknown()
	}
	return v.Journal.Apply(ctx, changes)
}

// inCluster makes a daemon one of several.
func inCluster(cluster Cluster) func(*setup) {
	return func(s *setup) {
		s.rpc.Cluster, s.emitter.AheadPatience = cluster, 5*time.Second
	}
}

// A fresh read waits for the log of record, and whoever comes after it on its connection.
// What was asked before is answered meanwhile, and so is everybody else.
func TestFreshReadWaits(t *testing.T) {
	t.Parallel()
	for _, read := range []string{`"task.get","params":{"id":"a","fresh":true}`, `"task.list","params":{"fresh":true}`} {
		inBubble(t, func(t *testing.T, overPipe func(*setup)) {
			cluster, let := new(fakeCluster), make(chan struct{})
			cluster.fresh = func(context.Context) error { <-let; return nil }
			d := start(t, overPipe, inCluster(cluster))
			p, other := d.connect(), d.connect()
			p.send(request(1, "task.claim", `{"assigned_to":"me","wait_ms":60000}`), request(2, "task.create", `{"id":"blocked","title":"x","status":"blocked"}`),
				`{"jsonrpc":"2.0","id":3,"method":`+read+`}`, request(4, "server.ping", `{}`))
			if answer := p.next(); !strings.HasPrefix(answer, `{"jsonrpc":"2.0","id":2,`) {
				t.Errorf("before the read came %s", answer)
			}
			other.call("task.create", `{"id":"a","title":"by another"}`)
			if answer := p.next(); !strings.HasPrefix(answer, `{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"a"`) {
				t.Errorf("who waits for a task got %s", answer)
			}
			time.Sleep(time.Second)
			close(let)
			if answer := p.next(); !strings.HasPrefix(answer, `{"jsonrpc":"2.0","id":3,"result":{`) || !strings.Contains(answer, `"by another"`) {
				t.Errorf("the read was answered %s", answer)
			}
			p.expect(`{"jsonrpc":"2.0","id":4,"result":"pong"}`)
		})
	}
}

// A read that is to be fresh, and cannot be, is refused after 5 s; any other one is not
// delayed. Who sends it with POST is told the same.
func TestFreshReadThatCannotBe(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		cluster := new(fakeCluster)
		cluster.fresh = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		d := start(t, overPipe, inCluster(cluster))
		p := d.connect()
		began := time.Now()
		p.call("task.list", `{}`)
		p.call("task.list", `{"fresh":false}`)
		if cluster.asked != 0 || time.Since(began) != 0 {
			t.Errorf("the log was asked %d times, in %v", cluster.asked, time.Since(began))
		}
		a := p.ask("task.list", `{"fresh":true}`)
		if a.Error == nil || a.Error.Code != -32010 || a.Error.Data.Reason != "storage_unavailable" ||
			strings.Contains(a.Error.Message, "changed") || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), a.Error)
		}
		if _, body := d.post(request(1, "task.get", `{"id":"a","fresh":true}`)); !strings.Contains(body, `"code":-32010`) {
			t.Errorf("by POST: %s", body)
		}
		cluster.set(func(c *fakeCluster) { c.fresh = func(context.Context) error { panic("a bug") } })
		if a := p.ask("task.list", `{"fresh":true}`); a.Error == nil || a.Error.Code != -32603 {
			t.Errorf("after a panic: %+v", a.Error)
		}
	})
}

// The end of the server, and that of the connection, end the wait.
func TestEndOfAFreshRead(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, overPipe func(*setup)) {
		cluster, ended := new(fakeCluster), make(chan error, 2)
		cluster.fresh = func(ctx context.Context) error { <-ctx.Done(); ended <- ctx.Err(); return ctx.Err() }
		d := start(t, overPipe, inCluster(cluster))
		began := time.Now()
		gone, p := d.connect(), d.connect()
		gone.send(request(1, "task.list", `{"fresh":true}`))
		synctest.Wait()
		gone.conn.CloseNow()
		<-ended
		p.send(request(1, "task.list", `{"fresh":true}`))
		synctest.Wait()
		go d.shutDown()
		if answer := p.next(); !strings.Contains(answer, `"code":-32009`) || time.Since(began) != 0 {
			t.Errorf("after %v: %s", time.Since(began), answer)
		}
		p.read()
	})
}

// A cursor of another daemon, that is ahead of this one, waits for it, in every method
// that takes one, and answers from before are not held back.
func TestCursorOfAnotherDaemon(t *testing.T) {
	t.Parallel()
	for method, params := range map[string]string{
		"task.subscribe": `{"since":"%s"}`, "task.history": `{"since":"%s"}`, "task.history ": `{"before":"%s"}`,
	} {
		inBubble(t, func(t *testing.T, overPipe func(*setup)) {
			cluster := new(fakeCluster)
			d := start(t, overPipe, inCluster(cluster))
			p, other := d.connect(), d.connect()
			began := time.Now()
			ahead := schema.Cursor{Epoch: d.emitter.Epoch(), Seq: 2}.String()
			method, params := strings.TrimSpace(method), fmt.Sprintf(params, ahead)
			p.send(request(1, "server.ping", `{}`), request(2, method, params), request(3, "server.ping", `{}`))
			p.expect(`{"jsonrpc":"2.0","id":1,"result":"pong"}`)
			other.call("task.create", `{"title":"one"}`)
			time.Sleep(2 * time.Second)
			other.call("task.create", `{"title":"two"}`)
			if answer := p.next(); !strings.HasPrefix(answer, `{"jsonrpc":"2.0","id":2,"result":`) || time.Since(began) != 2*time.Second {
				t.Errorf("%s %s after %v: %s", method, params, time.Since(began), answer)
			}
			for answer := p.next(); answer != `{"jsonrpc":"2.0","id":3,"result":"pong"}`; answer = p.next() {
				if !strings.Contains(answer, "bookmark") {
					t.Errorf("%s: then came %s", method, answer)
				}
			}
			later := schema.Cursor{Epoch: d.emitter.Epoch(), Seq: 3}.String()
			if a := other.ask(method, strings.ReplaceAll(params, ahead, later)); a.Error == nil ||
				a.Error.Data.ReasonDetail != "ahead" || time.Since(began) != 7*time.Second {
				t.Errorf("%s after %v: %+v", method, time.Since(began), a.Error)
			}
			cluster.set(func(c *fakeCluster) { c.fresh = func(context.Context) error { return errors.New("no answer") } })
			if a := other.ask(method, strings.ReplaceAll(params, ahead, later)); a.Error == nil || schema.Code(a.Error.Code) != schema.CodeStorageUnavailable {
				t.Errorf("%s of a daemon that may be behind: %+v", method, a.Error)
			}
		})
	}
}

// A daemon of a cluster is ready when it has what the others have.
func TestReadyInACluster(t *testing.T) {
	t.Parallel()
	cluster := &fakeCluster{behind: errors.New("4 messages of the log are to be applied yet")}
	d := start(t, inCluster(cluster))
	if status, text := d.do("GET", "/readyz", "", nil); status != http.StatusServiceUnavailable || strings.TrimSpace(text) != cluster.behind.Error() {
		t.Errorf("behind: %d %s", status, text)
	}
	if status, _ := d.do("GET", "/healthz", "", nil); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
	cluster.set(func(c *fakeCluster) { c.behind = nil })
	if status, text := d.do("GET", "/readyz", "", nil); status != http.StatusOK {
		t.Errorf("not behind: %d %s", status, text)
	}
}

// Metrics of a cluster are there where there is one, whatever it can tell, and are those
// that the dashboard and the alerts of docs/running are about.
func TestClusterMetrics(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`\bdescartes_cluster_[a-z_]+`)
	namesIn := func(text string) []string {
		names := named.FindAllString(text, -1)
		slices.Sort(names)
		return slices.Compact(names)
	}
	if _, text := start(t).do("GET", "/metrics", "", nil); named.MatchString(text) {
		t.Errorf("a single daemon has %s", named.FindString(text))
	}
	cluster := new(fakeCluster)
	d := start(t, inCluster(cluster))
	_, text := d.do("GET", "/metrics", "", nil)
	for _, problem := range must(promlint.New(strings.NewReader(text)).Lint()) {
		t.Errorf("promlint: %s: %s", problem.Metric, problem.Text)
	}
	for _, line := range []string{
		"descartes_cluster_connected 1", "descartes_cluster_current 1", "descartes_cluster_position 7", "descartes_cluster_lag 2",
		"descartes_cluster_unknown_outcomes_total 3", `descartes_cluster_daemons{current="yes"} 1`, `descartes_cluster_daemons{current="no"} 1`,
	} {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("/metrics has no line %s", line)
		}
	}
	dashboard := string(must(os.ReadFile("../docs/running/grafana.json")))
	alerts := string(must(os.ReadFile("../docs/running/alerts.yml")))
	exposed := namesIn(text)
	if shown := namesIn(dashboard); !slices.Equal(shown, exposed) {
		t.Errorf("the dashboard shows %q of %q", shown, exposed)
	}
	for _, name := range namesIn(alerts) {
		if !slices.Contains(exposed, name) {
			t.Errorf("alerts.yml: there is no metric %s", name)
		}
	}
	cluster.set(func(c *fakeCluster) { c.broken = errors.New("no figures") })
	if status, text := d.do("GET", "/metrics", "", nil); status != http.StatusOK || !strings.Contains(text, "\ndescartes_cluster_connected 0\n") {
		t.Errorf("without figures: %d, connected is not 0", status)
	}
}

// The connections of a process can be told from those of another one, and from each
// other; of a single daemon they are random.
func TestSourcesOfAnIncarnation(t *testing.T) {
	t.Parallel()
	const incarnation = 1<<31 - 1
	seen := make(map[int64]bool)
	config := Config{Incarnation: incarnation}
	for _, number := range []int64{1, 2, 1 << 31, 1<<32 - 1} {
		source := config.source(number, 5)
		if source>>32 != incarnation || source < 1 || seen[source] {
			t.Errorf("connection %d: %x", number, source)
		}
		seen[source] = true
	}
	if source := (&Config{}).source(1, 5); source != 5 {
		t.Errorf("without one: %d", source)
	}
	d := start(t, func(s *setup) { s.rpc.Incarnation = 7 })
	d.connect().call("task.create", `{"title":"x"}`)
	events := must(must2(d.config.Store.History(t.Context(), "", 0, 10)))
	if len(events) != 1 || events[0].Source>>32 != 7 {
		t.Errorf("%+v", events)
	}
}

// must2 drops whether there is more.
func must2[T any](value T, _ bool, err error) (T, error) { return value, err }
