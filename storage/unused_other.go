//go:build !unix

package storage

// unused refuses nothing here: Windows itself does not let a file be moved that a
// process has open.
func unused(string) error { return nil }
