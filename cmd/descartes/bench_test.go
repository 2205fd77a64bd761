package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/cmd/descartes/bench"
)

// benchRows runs the benchmark and gives its rows by the names of their scenarios. Its
// daemons are this program.
func benchRows(t *testing.T, args ...string) map[string]bench.Row {
	t.Helper()
	t.Setenv(asCommand, "1")
	r := descartes(t, append([]string{"bench", "--json"}, args...)...)
	if r.code != 0 || r.errors != "" {
		t.Fatalf("bench exits with %d: %s%s", r.code, r.out, r.errors)
	}
	var report struct{ Rows []bench.Row }
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	rows := make(map[string]bench.Row)
	for _, row := range report.Rows {
		name, _, _ := strings.Cut(row.Name, ":")
		rows[name] = row
	}
	return rows
}

// Every row gives what it promises, also with sizes of one's own.
func TestBenchMeasuresEveryRow(t *testing.T) {
	var names []string
	for _, s := range bench.Scenarios() {
		names = append(names, s.Name)
	}
	if withRaceDetector { // what is concurrent; all of them take minutes
		names = []string{"create", "fanout"}
	}
	rows := benchRows(t, append([]string{
		"--duration", "200ms", "--writers", "3", "--in-flight", "2", "--subscribers", "3", "--tasks", "1100", "--events", "2300", "--rate", "100",
	}, names...)...)
	flow := []string{bench.Rate, bench.P50, bench.P99, "max"}
	for name, want := range map[string][]string{
		"create": flow, "update": flow, "latency": flow, "fanout": flow, "list": flow, "replay": {bench.Rate},
		"stuck": append(flow, "ratio", "lag of the stuck one"), "start": {"ready after"},
		"memory": {bench.Resident, "per subscriber"}, "idle": {bench.Resident},
	} {
		if !slices.Contains(names, name) {
			continue
		}
		for _, figure := range want {
			value, ok := rows[name].Figure(figure)
			if noise := figure == "per subscriber"; !ok || value <= 0 && !noise {
				t.Errorf("%s: %s is %v, %v", name, figure, value, ok)
			}
		}
		_, cpu := rows[name].Figure(bench.DaemonCPU)
		if runtime.GOOS == "linux" && slices.Contains(want, bench.Rate) && !cpu {
			t.Errorf("%s does not tell the daemon's processor time", name)
		}
	}
	if rate, _ := rows["fanout"].Figure(bench.Rate); rate < 100 || rate > 500 { // three subscribers
		t.Errorf("%g events came a second of 100 writes", rate)
	}
}

// At the daemon of somebody else a benchmark leaves everything as it was, and does not
// begin when that one has tasks.
func TestBenchAtURL(t *testing.T) {
	if withRaceDetector {
		t.Skip("TestBenchMeasuresEveryRow has what is concurrent")
	}
	url := tempDaemon(t).urls[0]
	descartes(t, "call", "--url", url, "task.create", `{"id":"theirs","title":"theirs"}`)
	tasks := func() string { return descartes(t, "call", "--url", url, "task.list").out }
	before := tasks()
	r := descartes(t, "bench", "--url", url, "create")
	if r.code != 1 || !strings.Contains(r.errors, "has 1 task: ") || !strings.Contains(r.errors, "--force") {
		t.Errorf("exits with %d: %s", r.code, r.errors)
	}
	rows := benchRows(t, "--url", url, "--force", "--duration", "100ms", "--tasks", "700", "--events", "900", "--writers", "3", "--subscribers", "1",
		"create", "update", "latency", "fanout", "list", "replay", "memory")
	for name, row := range rows {
		if rate, _ := row.Figure(bench.Rate); (rate <= 0) != (name == "memory") || (row.Skipped != "") != (name == "memory") {
			t.Errorf("%s: %+v", name, row)
		}
	}
	withoutCursor := func(page string) string { page, _, _ = strings.Cut(page, `"cursor"`); return page }
	if got := tasks(); withoutCursor(got) != withoutCursor(before) {
		t.Errorf("tasks were %s and are %s", before, got)
	}
}

// A daemon is reached by every way that clients have: TLS, a token, a socket.
func TestBenchAtSecureURL(t *testing.T) {
	if withRaceDetector {
		t.Skip("TestBenchMeasuresEveryRow has what is concurrent")
	}
	files, directory := newTLSFiles(t), t.TempDir()
	db, socket := filepath.Join(directory, "tasks.db"), filepath.Join(directory, "s")
	added := inProcess(t, "token", "add", "bench", "--scope", "write", "--db", db)
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0", "--socket", socket, "--tls-cert", files.cert, "--tls-key", files.key)
	t.Setenv("DESCARTES_TOKEN", strings.TrimSpace(added.out))
	for _, url := range d.urls {
		row := benchRows(t, "create", "--url", url, "--tls-ca", files.cert, "--duration", "100ms", "--writers", "2")["create"]
		if rate, _ := row.Figure(bench.Rate); rate <= 0 {
			t.Errorf("%s: %+v", url, row)
		}
	}
	t.Setenv("DESCARTES_TOKEN", "")
	if r := descartes(t, "bench", "--url", d.urls[1], "create"); r.code != 1 || !strings.Contains(r.errors, "wants a token") {
		t.Errorf("without a token: %+v", r)
	}
}

// One that is interrupted in the middle of a load leaves no daemon and no file.
func TestBenchInterrupted(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("TMPDIR", directory)
	t.Setenv(asCommand, "1")
	create, _ := bench.Find("create")
	ctx, cancel := context.WithCancel(t.Context())
	var daemon *exec.Cmd
	rows, err := bench.Run(ctx, []bench.Planned{{Scenario: create, Settings: create.Settings}}, bench.Options{
		Serve: func(arguments ...string) *exec.Cmd {
			daemon = serveProcess(os.Args[0], arguments)
			return daemon
		},
		Progress: func(_ string, done, _ int64) {
			if done > 0 { // the load is there
				cancel()
			}
		},
	})
	if len(rows) > 0 || err == nil || err.Error() != "create: 64 writers, 1 subscriber: context canceled" {
		t.Errorf("ends with %v, %v", rows, err)
	}
	if daemon.ProcessState == nil || !daemon.ProcessState.Success() {
		t.Errorf("the daemon is left: %v", daemon.ProcessState)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{
		{"creates"},
		{"--repeat", "0"},
		{"--writers", "-1"},
		{"--rate", "-1"},
		{"--duration", "1ms"},
		{"--tasks", "many"},
		{"create", "--writers", "0"},
		{"update", "--tasks", "0"},
		{"fanout", "--subscribers", "0"},
		{"latency", "--rate", "0"},
	} {
		if r := descartes(t, append([]string{"bench"}, args...)...); r.code != exitUsage || r.out != "" || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
