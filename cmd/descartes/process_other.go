//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// ownGroup has nothing to do where there are no process groups: a command hears of
// Ctrl-C from the console itself.
func ownGroup(*exec.Cmd) {}

// signalGroup ends a command where it has to end; there is no way to ask it to.
func signalGroup(p *os.Process, s os.Signal) {
	if s == os.Kill {
		_ = p.Kill()
	}
}
