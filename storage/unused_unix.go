//go:build unix

package storage

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The bytes of a database file that SQLite locks (os.h, PENDING_BYTE): a process
// that has a file in WAL mode open has a shared lock there all the time.
const (
	lockBytes  = 0x40000000
	lockLength = 512
)

// unused refuses a file on which another process has a lock of SQLite. Asking takes
// no lock. This process must not have the file open: closing it here would give up
// its locks (POSIX).
func unused(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: lockBytes, Len: lockLength}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return err
	}
	if lock.Type != unix.F_UNLCK {
		return errors.New("a process has it open: stop it first")
	}
	return nil
}
