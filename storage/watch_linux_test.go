package storage

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A watch tells of each write, also of one that cuts the file off, and of many as one.
func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := openWatch(path)
	if w == nil {
		t.Fatal("no watch")
	}
	defer w.close()
	told := func(what string) {
		t.Helper()
		select {
		case <-w.writes:
		case <-time.After(10 * time.Second):
			t.Fatalf("told of no %s", what)
		}
	}
	write := func() {
		if _, err := file.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	write()
	told("write")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	told("truncation")
	for range 20_000 { // more than the kernel keeps events, but nobody asks
		write()
	}
	told("write of many")
	write()
	told("write after them")
}

// A watched file that is not there, and a watch that was never opened.
func TestNoWatch(t *testing.T) {
	if w := openWatch(filepath.Join(t.TempDir(), "log")); w != nil {
		t.Error("a watch of nothing")
		w.close()
	}
	(*watch)(nil).close()
}
