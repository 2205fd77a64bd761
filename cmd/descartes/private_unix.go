//go:build unix

package main

import "syscall"

// private makes new files accessible to their owner only, until the function that
// it gives is called.
func private() (restore func()) {
	before := syscall.Umask(0o177)
	return func() { syscall.Umask(before) }
}

// maxOpenFiles is how many files and connections this process may have open; the
// runtime has raised it as far as it may.
func maxOpenFiles() (n uint64, known bool) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return uint64(limit.Cur), err == nil
}
