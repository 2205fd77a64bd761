//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes a command the first of a session, and with that of a process group, of
// its own, so that a signal reaches whatever it starts, too, and none that is not meant
// for it. It has no terminal then: in the background of this one's a command that only
// looks at the terminal is stopped, and its claim renewed for ever.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// signalGroup sends a signal to a command and what it has started, and lets those go on
// that are stopped: they would not hear of it. None is there to get it when all of them
// have ended.
func signalGroup(p *os.Process, s os.Signal) {
	_ = syscall.Kill(-p.Pid, s.(syscall.Signal))
	_ = syscall.Kill(-p.Pid, syscall.SIGCONT)
}
