//go:build !unix

package main

// private has nothing to do where files have no mode.
func private() (restore func()) { return func() {} }

// maxOpenFiles is not known.
func maxOpenFiles() (n uint64, known bool) { return 0, false }
