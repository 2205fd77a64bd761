package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// shownOn gives what a command shows on a terminal of so many columns.
func shownOn(t *testing.T, width int, args ...string) string {
	t.Helper()
	screen, reader := terminal(t)
	if err := unix.IoctlSetWinsize(int(reader.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(width)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		var shown strings.Builder
		for chunk := make([]byte, 4096); !strings.Contains(shown.String(), "\x00"); {
			n, err := reader.Read(chunk)
			if err != nil {
				break
			}
			shown.Write(chunk[:n])
		}
		done <- strings.ReplaceAll(strings.TrimSuffix(shown.String(), "\x00"), "\r\n", "\n")
	}()
	code := run(t.Context(), append([]string{"descartes"}, args...), nil, screen, screen)
	if _, err := screen.WriteString("\x00"); err != nil {
		t.Fatal(err)
	}
	text := <-done
	if code != 0 {
		t.Fatalf("%v: exit code %d, %s", args, code, text)
	}
	return text
}

// On a terminal there are columns, which characters that are wide or put on others do
// not upset, titles end where the terminal does, and nothing commands it but colours.
func TestTablesOnTerminal(t *testing.T) {
	onNewDaemon(t)
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm-256color")
	made(t, "Wash\x1b]0;x\a \u009b2J\u202eup", "--id", "w", "--assign", "日本")
	made(t, "Tidy", "--id", "t", "--assign", "Zoe\u0301", "--priority", "critical", "--depends-on", "w")
	made(t, "見"+strings.Repeat("出し", 40), "--id", "long")
	id := made(t, "Daemon's id", "--status", "done")
	colours := shownOn(t, 70, "list")
	t.Setenv("NO_COLOR", "1")
	plain := shownOn(t, 70, "list")
	want := []string{
		"ID        STATUS        PRIORITY  ASSIGNED  CHANGED   TITLE",
		"w         todo          medium    日本      just now  Wash ]0;x   2J …",
		"t         todo (waits)  critical  Zoe\u0301       just now  Tidy",
		"long      todo          medium              just now  見出し出し出し…",
		id[28:] + "  done          medium              just now  Daemon's id",
	}
	for i, line := range strings.Split(strings.TrimSuffix(plain, "\n"), "\n") {
		if i >= len(want) || line != want[i] {
			t.Errorf("%q is not line %d of\n%s", line, i, strings.Join(want, "\n"))
		}
	}
	if stripped := sgr.ReplaceAllString(colours, ""); stripped != plain || strings.ContainsAny(stripped, "\x1b\u009b\u202e\a") || stripped == colours {
		t.Errorf("%q is not %q in colours", colours, plain)
	}
	for _, args := range [][]string{{"list", "--color", "never"}, {"watch", "--snapshot", "--count", "4"}, {"history"}, {"get", "w"}, {"list", "--json"}, {"call", "task.list"}} {
		if text := shownOn(t, 60, args...); strings.ContainsAny(text, "\x1b\u009b\u202e\a") {
			t.Errorf("%v: %q", args, text)
		}
	}
	if text := shownOn(t, 60, "call", "task.get", `{"id":"w"}`); !strings.Contains(text, `Wash\u001b]0;x\u0007 \u009b2J\u202eup`) {
		t.Errorf("%q", text)
	}
	for width, heading := range map[int]string{
		60: "ID        STATUS        PRIORITY  ASSIGNED  TITLE\n",
		40: "ID        STATUS        TITLE\n",
		20: "ID        TITLE\n",
	} {
		text := shownOn(t, width, "list")
		if !strings.HasPrefix(text, heading) {
			t.Errorf("on %d columns: %q", width, text)
		}
		for line := range strings.Lines(text) {
			if columns(strings.TrimSuffix(line, "\n")) > width {
				t.Errorf("%q is wider than %d columns", line, width)
			}
		}
	}
	made(t, "Team", "--id", "team", "--assign", strings.Repeat("n", 128))
	if text := shownOn(t, 80, "list", "Team"); !strings.HasPrefix(text, "ID    STATUS  PRIORITY  ASSIGNED") || !strings.Contains(text, strings.Repeat("n", 23)+"…  ") {
		t.Errorf("a long name has room for nothing else: %q", text)
	}
	if text := shownOn(t, 40, "info"); !strings.Contains(text, "synced to disk before it is answered") {
		t.Errorf("a value is cut: %q", text)
	}
	if text := shownOn(t, 40, "create", "New", "--id", "n"); text != "created   n  todo  New\n" {
		t.Errorf("%q", text)
	}
	if text := shownOn(t, 40, "list", "nothing"); text != "No task matches.\n" {
		t.Errorf("%q", text)
	}
}

// The environment and --color decide about colours; a pipe gets none unless it asks.
func TestColour(t *testing.T) {
	screen, _ := terminal(t)
	for _, test := range []struct {
		where                *os.File
		when, noColor, named string
		people, colour       bool
	}{
		{screen, "auto", "", "xterm", true, true},
		{screen, "auto", "1", "xterm", true, false},
		{screen, "auto", "", "dumb", true, false},
		{screen, "never", "", "xterm", true, false},
		{screen, "always", "1", "dumb", true, true},
		{nil, "auto", "", "xterm", false, false},
		{nil, "always", "", "xterm", true, true},
	} {
		t.Setenv("NO_COLOR", test.noColor)
		t.Setenv("TERM", test.named)
		d := displayFor(test.where, test.when)
		if d.people != test.people || d.colour != test.colour {
			t.Errorf("%+v: %s", d, fmt.Sprint(test))
		}
	}
}

// Many tasks take a while: where the ids go elsewhere, the terminal shows how far it is.
func TestCreateManyProgress(t *testing.T) {
	onNewDaemon(t)
	screen, reader := terminal(t)
	shown, done := newScreen(), make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(shown, reader)
	}()
	var ids strings.Builder
	code := run(t.Context(), []string{"descartes", "create", "-"}, strings.NewReader(strings.Repeat("task\n", 2500)), &ids, screen)
	if code != 0 || strings.Count(ids.String(), "\n") != 2500 {
		t.Errorf("%d, %d ids", code, strings.Count(ids.String(), "\n"))
	}
	shown.await(t, "creating")
	screen.Close()
	<-done
}
