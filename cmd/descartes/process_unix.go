//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes a command the first of a process group of its own, so that a
// signal reaches whatever it starts, too, and none that is not meant for it.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// signalGroup sends a signal to a command and what it has started. None is there to
// get it when all of them have ended.
func signalGroup(p *os.Process, s os.Signal) { _ = syscall.Kill(-p.Pid, s.(syscall.Signal)) }
