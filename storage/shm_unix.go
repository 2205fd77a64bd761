//go:build unix

package storage

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// shm is the -shm file beside the database: memory that all processes share which
// have the database open. It tells of them without asking SQLite.
type shm struct {
	file   *os.File
	header [walIndexHeader]byte // as it was last seen
}

const (
	// walIndexHeader is the size of the header of the WAL index
	// (https://sqlite.org/walformat.html, section 2.2). Every commit changes it.
	walIndexHeader = 48

	// walAttempted is the offset of how many pages a checkpoint was going to move.
	walAttempted = 128

	// deadManSwitch is the offset of a byte on which every connection holds a shared
	// lock as long as it is open (SQLite, os_unix.c: UNIX_SHM_DMS).
	deadManSwitch = 128
)

// openShm opens the file, which must exist. It is to be closed only when the
// process has no connection to the database any more: closing any descriptor of a
// file gives up the locks that the process has on it (POSIX). A nil shm knows
// nothing.
func openShm(path string) *shm {
	file, err := os.OpenFile(path+"-shm", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return &shm{file: file}
}

// moved tells whether anybody may have committed since it was last asked. It costs
// one system call, where SQLite would need several and a lock.
func (s *shm) moved() bool {
	if s == nil {
		return true
	}
	before := s.header
	if _, err := s.file.ReadAt(s.header[:], 0); err != nil {
		return true
	}
	return s.header != before
}

// state gives what commits and checkpoints change.
func (s *shm) state() (state walState) {
	var index [walAttempted + 4]byte
	if s != nil {
		_, _ = s.file.ReadAt(index[:], 0) // zero then: not what it was
	}
	copy(state[:100], index[:])
	copy(state[100:], index[walAttempted:])
	return state
}

// forget has moved tell next time that somebody may have.
func (s *shm) forget() {
	if s != nil {
		s.header = [walIndexHeader]byte{}
	}
}

// shared tells whether another process has the database open: whether its lock
// keeps us from locking that byte exclusively. Asking takes no lock.
func (s *shm) shared() bool {
	if s == nil {
		return false
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: deadManSwitch, Len: 1}
	err := unix.FcntlFlock(s.file.Fd(), unix.F_GETLK, &lock)
	return err == nil && lock.Type != unix.F_UNLCK
}

func (s *shm) close() {
	if s != nil {
		s.file.Close()
	}
}
