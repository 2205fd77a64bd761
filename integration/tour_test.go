package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// README's tour works as printed: its commands are run and their output compared,
// but for ids, times and the epoch, and the colours. A block without a command is what
// the watching terminal shows next.
func TestTour(t *testing.T) {
	for _, tool := range []string{"sqlite3", "wscat", "script"} {
		need(t, tool)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "## A tour")
	tour := &tour{t: t, folder: t.TempDir()}
	defer tour.end()
	text, _, ended := strings.Cut(text, "\n## ")
	blocks := regexp.MustCompile("(?s)```(?:console)?\n(.*?)```").FindAllStringSubmatch(text, -1)
	if !found || !ended || len(blocks) < 8 {
		t.Fatalf("found %d blocks in README's tour", len(blocks))
	}
	for _, block := range blocks {
		tour.play(strings.Split(strings.TrimSuffix(block[1], "\n"), "\n"))
	}
}

// tour is the three terminals of the tour.
type tour struct {
	t       *testing.T
	folder  string
	address string // of the daemon
	daemon  *exec.Cmd
	watch   *exec.Cmd
	watched *bufio.Reader
	lease   string // the token of the last claim that wscat has made
}

func (r *tour) play(lines []string) {
	r.t.Helper()
	command, typed := strings.CutPrefix(lines[0], "$ ")
	switch want := lines[1:]; {
	case !typed:
		for _, line := range lines {
			r.compare(r.line(r.watched), line)
		}
	case command == "descartes serve":
		out := r.start(&r.daemon, command, "DESCARTES_LISTEN=127.0.0.1:0")
		line := r.line(out)
		r.address = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
		r.compare(strings.ReplaceAll(line, r.address, "127.0.0.1:7420"), want[0])
	case strings.HasPrefix(command, "descartes watch") && !strings.Contains(command, "--count"):
		r.watched = r.start(&r.watch, command)
		r.awaitSubscription()
	case strings.HasPrefix(command, "wscat"):
		r.converse(command, want)
	default:
		out, err := r.command(command).CombinedOutput()
		got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if len(out) == 0 {
			got = nil
		}
		if len(got) != len(want) {
			r.t.Fatalf("%s (%v) printed\n%s\nwant\n%s", command, err, out, strings.Join(want, "\n"))
		}
		for i := range want {
			r.compare(got[i], want[i])
		}
	}
}

// command makes a line of the tour runnable: by this binary, on this daemon.
func (r *tour) command(line string, environment ...string) *exec.Cmd {
	if r.address != "" {
		line = strings.ReplaceAll(line, "127.0.0.1:7420", r.address)
	}
	command := exec.Command("sh", "-c", "exec "+line)
	command.Dir = r.folder
	command.Env = append(os.Environ(), environment...)
	command.Env = append(command.Env, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"),
		"DESCARTES_URL=ws://"+r.address+"/rpc", "DESCARTES_LOG_LEVEL=error",
		"DESCARTES_COLOR=always") // as people see it
	return command
}

func (r *tour) start(at **exec.Cmd, line string, environment ...string) *bufio.Reader {
	r.t.Helper()
	*at = r.command(line, environment...)
	(*at).Stderr = testLog{r.t}
	out, err := (*at).StdoutPipe()
	if err == nil {
		err = (*at).Start()
	}
	if err != nil {
		r.t.Fatalf("%s: %v", line, err)
	}
	return bufio.NewReader(out)
}

// awaitSubscription waits until somebody watches.
func (r *tour) awaitSubscription() {
	r.t.Helper()
	deadline, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for deadline.Err() == nil {
		out, err := r.command("descartes call server.stats").Output()
		if err == nil && bytes.Contains(out, []byte(`"subscriptions":1`)) {
			return
		}
	}
	r.t.Fatal("nobody watches")
}

// converse types into wscat and reads what it shows. wscat wants a terminal.
func (r *tour) converse(line string, script []string) {
	r.t.Helper()
	command := r.command(fmt.Sprintf("script -qec %q /dev/null", strings.ReplaceAll(line, "127.0.0.1:7420", r.address)))
	stdin, err := command.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	r.shown(out, "Connected")
	for len(script) > 0 {
		if text, typed := strings.CutPrefix(script[0], "> "); typed {
			io.WriteString(stdin, strings.ReplaceAll(text, "LEASE", r.lease)+"\n")
			script = script[1:]
			continue
		}
		// An answer and the event of the same change come in either order.
		n := 0
		var got []string
		for ; n < len(script) && strings.HasPrefix(script[n], "< "); n++ {
			line := r.shown(out, "< ")
			if token := lease.FindStringSubmatch(line); token != nil {
				r.lease = token[1]
			}
			got = append(got, normal(line))
		}
		for _, want := range script[:n] {
			if !slices.Contains(got, normal(want)) {
				r.t.Errorf("wscat shows\n%s\nwant, too\n%s", strings.Join(got, "\n"), want)
			}
		}
		script = script[n:]
	}
	command.Process.Kill()
	stdin.Close()
	command.Wait()
}

// control are the sequences with which wscat and descartes colour, and move the cursor.
var control = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]|\r`)

// shown reads lines until one has the text, and gives it from there.
func (r *tour) shown(out *bufio.Reader, text string) string {
	r.t.Helper()
	for {
		line := control.ReplaceAllString(r.line(out), "")
		if i := strings.Index(line, text); i >= 0 && !strings.Contains(line, "> {") {
			return line[i:]
		}
	}
}

func (r *tour) line(out *bufio.Reader) string {
	r.t.Helper()
	line, err := out.ReadString('\n')
	if err != nil {
		r.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

var (
	uuid  = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	short = regexp.MustCompile(`\b[0-9a-f]{8}\b`)
	clock = regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{3}`)
	milli = regexp.MustCompile(`\b\d{13}\b`)
	lease = regexp.MustCompile(`"lease_token":"([^"]+)"`)
	epoch = regexp.MustCompile(`\b[a-z0-9]{12}-(\d+)"`)
)

func normal(line string) string {
	line = control.ReplaceAllString(line, "")
	line = uuid.ReplaceAllString(line, "ID")
	line = short.ReplaceAllString(line, "ID")
	line = clock.ReplaceAllString(line, "TIME")
	line = milli.ReplaceAllString(line, "MS")
	line = lease.ReplaceAllString(line, `"lease_token":"LEASE"`)
	return epoch.ReplaceAllString(line, `EPOCH-$1"`)
}

func (r *tour) compare(got, want string) {
	r.t.Helper()
	if got = strings.TrimPrefix(got, "descartes: "); normal(got) != normal(want) {
		r.t.Errorf("got  %s\nwant %s", got, want)
	}
}

func (r *tour) end() {
	for _, command := range []*exec.Cmd{r.watch, r.daemon} {
		if command != nil && command.Process != nil {
			command.Process.Signal(syscall.SIGTERM)
			command.Wait()
		}
	}
}
