package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a terminal of its own: what is written to the first file can be
// read from the second.
func terminal(t *testing.T) (screen, reader *os.File) {
	t.Helper()
	reader, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	t.Cleanup(func() { reader.Close() })
	number, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(reader.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return screen, reader
}

// The bar is drawn on a terminal, goes on when the total grows, and is gone at the
// end.
func TestProgressOnTerminal(t *testing.T) {
	screen, reader := terminal(t)
	bar := newProgress(screen, "copying")
	bar.show(1, 4)
	bar.show(4, 8)
	bar.show(8, 8)
	bar.close()
	bar.close()
	if _, err := screen.WriteString("done\n"); err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for chunk := make([]byte, 4096); !strings.Contains(shown.String(), "done"); {
		n, err := reader.Read(chunk)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(chunk[:n])
	}
	text := shown.String()
	if !strings.Contains(text, "copying") || !strings.Contains(text, "(8/8)") || !strings.HasSuffix(text, " \rdone\r\n") {
		t.Errorf("the terminal shows %q", text)
	}
}

// Anything else gets nothing.
func TestNoProgressElsewhere(t *testing.T) {
	var out bytes.Buffer
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, bar := range []*progress{newProgress(&out, "copying"), newProgress(file, "copying")} {
		bar.show(1, 2)
		bar.close()
	}
	if info, err := file.Stat(); err != nil || info.Size() != 0 || out.Len() != 0 {
		t.Errorf("written: %v, %q, %v", info, &out, err)
	}
}
