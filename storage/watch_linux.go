package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// watch tells when somebody writes to the log: the kernel knows of every write of a
// process on this machine, and who else could write to a log in shared memory.
type watch struct {
	file   *os.File      // of inotify(7)
	writes chan struct{} // a token for any number of writes since the last one
	stop   chan struct{}
	done   chan struct{}
}

// openWatch begins to watch a file, which must exist. It gives nil if the kernel does
// not tell, when its limit for such watches is reached, say.
func openWatch(path string) *watch {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	w := &watch{
		file:   os.NewFile(uintptr(fd), "inotify"),
		writes: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY); err != nil {
		w.file.Close()
		return nil
	}
	go w.run()
	return w
}

// run takes what the kernel tells only as often as somebody asks for it: until then
// it gathers there, many writes as one event.
func (w *watch) run() {
	defer close(w.done)
	events := make([]byte, 4<<10)
	for {
		if _, err := w.file.Read(events); err != nil {
			return
		}
		select {
		case w.writes <- struct{}{}:
		case <-w.stop:
			return
		}
	}
}

// close ends the watch.
func (w *watch) close() {
	if w == nil {
		return
	}
	close(w.stop)
	w.file.Close()
	<-w.done
}
