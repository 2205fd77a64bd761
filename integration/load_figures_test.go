package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// figures is what a daemon's /metrics says that its process holds.
type figures struct {
	goroutines, files, connections, subscriptions int64
	heap, stacks, resident                        int64 // bytes; heap as the last collection left it
	collections                                   int64 // of garbage, since the start
}

func (f figures) String() string {
	return fmt.Sprintf("%d connections, %d subscriptions, %d goroutines, %d files, heap %.1f MiB, stacks %.1f MiB, resident %.1f MiB",
		f.connections, f.subscriptions, f.goroutines, f.files, mebibytes(f.heap), mebibytes(f.stacks), mebibytes(f.resident))
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// lowest gives the lower of each figure.
func (f figures) lowest(other figures) figures {
	return figures{
		goroutines: min(f.goroutines, other.goroutines), files: min(f.files, other.files),
		connections: min(f.connections, other.connections), subscriptions: min(f.subscriptions, other.subscriptions),
		heap: min(f.heap, other.heap), stacks: min(f.stacks, other.stacks), resident: min(f.resident, other.resident),
		collections: other.collections,
	}
}

// gauge reads a daemon's figures, over one HTTP connection that it keeps: reading
// does not change them.
type gauge struct {
	t    *testing.T
	http *http.Client
	base string
}

// gauge reads the figures of d, over its Unix socket if that is given.
func (d *daemon) gauge(socket string) *gauge {
	transport := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}
	base := d.page("")
	if socket != "" {
		base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &gauge{t: d.t, http: &http.Client{Transport: transport}, base: base}
}

// metrics gives every sample of /metrics, under its name with its labels.
func (g *gauge) metrics() map[string]float64 {
	g.t.Helper()
	samples := make(map[string]float64)
	for line := range strings.Lines(string(g.exchange(http.MethodGet, "/metrics", nil))) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		name := line[:end]
		value, err := strconv.ParseFloat(strings.TrimSpace(line[end:]), 64)
		if err != nil {
			g.t.Fatalf("metric %q: %v", line, err)
		}
		samples[name] = value
	}
	return samples
}

func (g *gauge) exchange(method, path string, body []byte) []byte {
	g.t.Helper()
	request, err := http.NewRequestWithContext(g.t.Context(), method, g.base+path, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := g.http.Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s: %s, %v", method, path, response.Status, err)
	}
	return answer
}

// read gives the present figures.
func (g *gauge) read() figures {
	g.t.Helper()
	samples := g.metrics()
	value := func(name string) int64 {
		v, there := samples[name]
		if !there {
			g.t.Fatalf("/metrics has no %s", name)
		}
		return int64(v)
	}
	return figures{
		goroutines: value("go_goroutines"), files: value("process_open_fds"),
		connections: value("descartes_connections"), subscriptions: value("descartes_subscriptions"),
		heap: value("go_gc_heap_live_bytes"), stacks: value("go_memstats_stack_inuse_bytes"),
		resident: value("process_resident_memory_bytes"), collections: value("go_gc_duration_seconds_count"),
	}
}

// padding is a request of almost a megabyte: the garbage that it makes gives the
// collector of an idle daemon a reason to run.
var padding = append(bytes.Repeat([]byte(" "), 900<<10), `{"jsonrpc":"2.0","id":1,"method":"server.ping"}`...)

func (g *gauge) readAfterGarbage() figures {
	g.t.Helper()
	g.exchange(http.MethodPost, "/rpc", padding)
	return g.read()
}

// settled gives the figures without garbage: the lowest of some collections. What
// a pool holds is gone after two.
func (g *gauge) settled() figures {
	g.t.Helper()
	lowest := g.read()
	// What was left before, or when one was under way, is of the past.
	for until := lowest.collections + 2; lowest.collections < until; {
		lowest = g.readAfterGarbage()
	}
	for until := lowest.collections + 4; lowest.collections < until; {
		lowest = lowest.lowest(g.readAfterGarbage())
	}
	return lowest
}

// settleTime bounds how long a daemon may take to give back what it held.
const settleTime = 30 * time.Second

// back waits until everything has come back to where it was before, and fails the
// test if it does not. peak is the most goroutines that there were: the runtime
// keeps about half a kibibyte of each for the next one. Resident memory is not
// waited for: the runtime gives pages back over minutes.
func (g *gauge) back(before figures, peak int64) (after figures) {
	g.t.Helper()
	const goroutines, files, memory = 3, 2, 4 << 20 // more than before, at most
	ctx, cancel := context.WithTimeout(g.t.Context(), settleTime)
	defer cancel()
	for ctx.Err() == nil {
		after = g.readAfterGarbage()
		if after.connections == before.connections && after.subscriptions == before.subscriptions &&
			after.goroutines <= before.goroutines+goroutines && after.files <= before.files+files &&
			after.heap+after.stacks <= before.heap+before.stacks+memory+512*peak {
			return after
		}
	}
	g.t.Errorf("%v later not everything has come back:\nbefore %v\nafter  %v", settleTime, before, after)
	return after
}

// needFiles skips the test where a process may not have n open files. The runtime
// raises the soft limit to the hard one at the start, here and in the daemon.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("a process may have %d open files, %d are needed", limit.Cur, n)
	}
	t.Skipf("a process may have %d open files, %d are needed", limit.Cur, n)
}

// fullLoad tells whether the tests of load and churn are to run at full size.
func fullLoad() bool { return os.Getenv("DESCARTES_LOAD") == "full" }
