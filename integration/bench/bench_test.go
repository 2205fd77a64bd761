package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(bareServer) != "" {
		serveBare()
		return
	}
	code := m.Run()
	if built.directory != "" {
		_ = os.RemoveAll(built.directory)
	}
	os.Exit(code)
}

// setting is the variable that says how long.
const setting = "DESCARTES_BENCH"

// duration is how long each figure is measured.
func duration(b *testing.B) time.Duration {
	b.Helper()
	text := os.Getenv(setting)
	if text == "" {
		return 200 * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// BenchmarkCreate: durable creates, beside the same rows in bare SQLite and beside a
// server that only answers.
func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			round(b, func(m metrics) {
				daemon := row(b, "", "create", "--writers", strconv.Itoa(writers))
				sqlite, sqliteCPU := bareWrites(b, writers)
				s := startBare(b)
				echo := row(b, s.url, "create", "--writers", strconv.Itoa(writers), "--subscribers", "0")
				echoCPU := s.stop()
				m["creates/s"] = daemon["rate"]
				m["µs-cpu/create"] = daemon["daemon cpu"]
				m["sqlite/s"], m["echo/s"] = sqlite, echo["rate"]
				m["of-sqlite"], m["of-echo"] = daemon["rate"]/sqlite, daemon["rate"]/echo["rate"]
				m["cpu-of-floors"] = daemon["daemon cpu"] / (sqliteCPU + echoCPU)
			})
		})
	}
}

// BenchmarkFanout: events to many subscribers flat out, beside a server that writes
// each frame to each of them and stores nothing.
func BenchmarkFanout(b *testing.B) {
	sizes := []struct{ subscribers, inFlight string }{{"100", "16"}}
	if os.Getenv(setting) != "" {
		sizes = append(sizes, struct{ subscribers, inFlight string }{"1000", "4"})
	}
	for _, size := range sizes {
		b.Run("subscribers="+size.subscribers, func(b *testing.B) {
			round(b, func(m metrics) {
				flags := []string{"fanout", "--subscribers", size.subscribers, "--in-flight", size.inFlight}
				daemon := row(b, "", flags...)
				s := startBare(b)
				broadcast := row(b, s.url, flags...)
				cpu := s.stop()
				m["events/s"], m["broadcast/s"] = daemon["rate"], broadcast["rate"]
				m["µs-cpu/event"] = daemon["daemon cpu"]
				m["of-broadcast"] = daemon["rate"] / broadcast["rate"]
				m["cpu-of-broadcast"] = daemon["daemon cpu"] / cpu
			})
		})
	}
}

// BenchmarkLatency: from a write to its event on another connection, beside the same
// way through a server that stores nothing, and one commit of bare SQLite.
func BenchmarkLatency(b *testing.B) {
	round(b, func(m metrics) {
		daemon := row(b, "", "latency")
		commits, _ := bareWrites(b, 1)
		s := startBare(b)
		broadcast := row(b, s.url, "latency")
		s.stop()
		commit := 1000 / commits
		m["p50-ms"], m["broadcast-p50-ms"], m["commit-ms"] = daemon["p50"], broadcast["p50"], commit
		m["of-floors"] = daemon["p50"] / (broadcast["p50"] + commit)
	})
}

// metrics are what a round measures, by their units.
type metrics map[string]float64

// round measures once for each iteration, and reports the means.
func round(b *testing.B, measure func(m metrics)) {
	sums := make(metrics)
	for b.Loop() {
		m := make(metrics)
		measure(m)
		for unit, value := range m {
			sums[unit] += value
		}
	}
	for unit, sum := range sums {
		b.ReportMetric(sum/float64(b.N), unit)
	}
	b.ReportMetric(0, "ns/op") // of a whole round: says nothing
}

// built is the command, built when it is needed.
var built struct {
	once      sync.Once
	directory string
	err       error
}

func binary(b *testing.B) string {
	b.Helper()
	built.once.Do(func() {
		if built.directory, built.err = os.MkdirTemp("", "descartes-bench"); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", built.directory, "../../cmd/descartes")
		build.Stderr = os.Stderr
		built.err = build.Run()
	})
	if built.err != nil {
		b.Fatal(built.err)
	}
	return filepath.Join(built.directory, "descartes")
}

// row measures a row of "descartes bench", on a daemon of its own or the server at url,
// and gives its figures.
func row(b *testing.B, url string, arguments ...string) map[string]float64 {
	b.Helper()
	arguments = append([]string{"bench", "--json", "--duration", duration(b).String()}, arguments...)
	if url != "" {
		arguments = append(arguments, "--url", url)
	}
	command := exec.Command(binary(b), arguments...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		b.Fatalf("%v: %v: %s", command, err, &problems)
	}
	var report struct {
		Rows []struct {
			Figures []struct {
				Name  string
				Value float64
			}
		}
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Rows) != 1 {
		b.Fatalf("%v: %s", err, out)
	}
	figures := make(map[string]float64)
	for _, f := range report.Rows[0].Figures {
		figures[f.Name] = f.Value
	}
	if figures["rate"] <= 0 {
		b.Fatalf("%v measured nothing: %s", command, out)
	}
	return figures
}

// bareProcess is a bare server in a process of its own, as the daemon is.
type bareProcess struct {
	b       *testing.B
	command *exec.Cmd
	out     *bufio.Reader
	url     string
}

func startBare(b *testing.B) *bareProcess {
	b.Helper()
	s := &bareProcess{b: b, command: exec.Command(os.Args[0])}
	s.command.Env = append(os.Environ(), bareServer+"=1")
	s.command.Stderr = os.Stderr
	out, err := s.command.StdoutPipe()
	if err == nil {
		err = s.command.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	s.url = "ws://" + s.line() + "/rpc"
	return s
}

func (s *bareProcess) line() string {
	s.b.Helper()
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// stop ends the server and gives the microseconds of processor time for each frame that
// it wrote.
func (s *bareProcess) stop() float64 {
	s.b.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.b.Fatal(err)
	}
	frames, err := strconv.ParseFloat(s.line(), 64)
	if err != nil {
		s.b.Fatal(err)
	}
	if err := s.command.Wait(); err != nil {
		s.b.Fatal(err)
	}
	used := s.command.ProcessState.UserTime() + s.command.ProcessState.SystemTime()
	return used.Seconds() * 1e6 / frames
}
