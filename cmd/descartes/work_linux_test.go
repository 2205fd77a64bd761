package main

import (
	"strings"
	"testing"
)

// A command has no terminal that would stop it for looking at it: it is the first of a
// session.
func TestCommandsHaveNoTerminal(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`)
	out, _ := worked(t, url, 0, "--once", "--", "sh", "-c", `echo $$; cut -d ' ' -f 6 /proc/$$/stat`)
	if lines := strings.Fields(out); len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("process and session are %q", lines)
	}
}
