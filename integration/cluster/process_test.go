package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything is waited for that has to come.
const patience = time.Minute

// process is a program that is started, killed, held up and started again.
type process struct {
	t    *testing.T
	name string
	path string
	args func() []string // of the next start
	env  func() []string // beside that of the test

	log    *output
	cmd    *exec.Cmd
	ended  chan struct{} // closed when it has ended
	paused bool
	from   int // of the log: the line at which it was started
}

func newProcess(t *testing.T, name, path string, args func() []string) *process {
	p := &process{t: t, name: name, path: path, args: args, env: func() []string { return nil }, log: new(output)}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			p.show()
		}
	})
	return p
}

// start starts it; it does not run.
func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.path, p.args()...)
	p.cmd.Env = append(os.Environ(), p.env()...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.from = p.log.note(fmt.Sprint("--- started ", p.cmd.Args[1:]))
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended, p.paused = ended, false
	go func(cmd *exec.Cmd) {
		err := cmd.Wait()
		p.log.note(fmt.Sprint("--- ended: ", err))
		close(ended)
	}(p.cmd)
}

// runs tells whether it was started and has not ended.
func (p *process) runs() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends it with SIGKILL; killing it twice is harmless.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// stop ends it cleanly.
func (p *process) stop() {
	p.t.Helper()
	p.end(syscall.SIGTERM)
	if state := p.cmd.ProcessState; state.ExitCode() > 0 {
		p.t.Errorf("%s ended with %v", p.name, state)
	}
}

func (p *process) end(signal syscall.Signal) {
	if !p.runs() {
		return
	}
	p.signal(signal)
	p.resume()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.name)
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
}

func (p *process) signal(signal syscall.Signal) {
	p.log.note(fmt.Sprint("--- ", signal))
	_ = p.cmd.Process.Signal(signal) // it may have ended
}

// pause holds it up with SIGSTOP, resume lets it go on.
func (p *process) pause() {
	p.signal(syscall.SIGSTOP)
	p.paused = true
}

func (p *process) resume() {
	if p.paused {
		p.signal(syscall.SIGCONT)
		p.paused = false
	}
}

// await waits for a line of its log since it was started that has a text, and gives it.
func (p *process) await(text string) string {
	p.t.Helper()
	line, err := p.log.await(p.from, text, p.ended)
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return line
}

// awaitEnd waits until it has ended by itself, and gives its exit code.
func (p *process) awaitEnd() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// show shows the end of its log, and writes all of it to a file.
func (p *process) show() {
	const last = 40
	lines := p.log.all()
	path := filepath.Join(p.t.ArtifactDir(), p.name+".log")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		p.t.Error(err)
	}
	lines = slices.DeleteFunc(lines, isNoise)
	p.t.Logf("%s (%s):\n%s", p.name, path, strings.Join(lines[max(0, len(lines)-last):], "\n"))
}

// isNoise tells of lines that come and go with every connection.
func isNoise(line string) bool {
	return strings.Contains(line, `"message":"connected"`) || strings.Contains(line, `"message":"disconnected"`) ||
		strings.Contains(line, "Route connection created") || strings.Contains(line, "Duplicate Route")
}

// output is what processes of one name have logged.
type output struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	more    chan struct{} // closed when there is another line
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.partial = append(o.partial, text...)
	for {
		line, rest, found := bytes.Cut(o.partial, []byte("\n"))
		if !found {
			return len(text), nil
		}
		o.add(string(line))
		o.partial = rest
	}
}

// note adds a line of the test, and gives its place.
func (o *output) note(line string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(time.Now().UTC().Format("15:04:05.000 ") + line)
	return len(o.lines) - 1
}

// add adds a line; o.mu is held.
func (o *output) add(line string) {
	o.lines = append(o.lines, line)
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
}

func (o *output) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append(o.lines[:len(o.lines):len(o.lines)], string(o.partial))
}

// after gives the lines from a place on, and what is closed when there are more.
func (o *output) after(from int) ([]string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.lines[min(from, len(o.lines)):], o.more
}

// await waits for a line with a text, from a place on, until ended.
func (o *output) await(from int, text string, ended <-chan struct{}) (string, error) {
	late := time.After(patience)
	for over := false; ; {
		lines, more := o.after(from)
		for _, line := range lines {
			if strings.Contains(line, text) {
				return line, nil
			}
		}
		if from += len(lines); over {
			return "", fmt.Errorf("has ended, and not said %q", text)
		}
		select {
		case <-more:
		case <-ended:
			over = true
		case <-late:
			return "", fmt.Errorf("has not said %q within %v", text, patience)
		}
	}
}
