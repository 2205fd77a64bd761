//go:build unix

package main

import "syscall"

// private makes new files accessible to their owner only, until the function that
// it gives is called.
func private() (restore func()) {
	before := syscall.Umask(0o177)
	return func() { syscall.Umask(before) }
}
