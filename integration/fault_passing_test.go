package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// passing are faults that pass. Each is made under a running daemon by inflict,
// which gives what ends it.
var passing = []struct {
	name    string
	disk    string // size of a disk of its own, "": none
	inflict func(p *patient) (end func())
	reason  string // that writes are refused with
}{
	{
		"disk full", "24m",
		func(p *patient) func() { return fillDisk(p.t, filepath.Dir(p.db), 0) },
		"the disk is full",
	},
	{
		"disk full soon", "24m",
		func(p *patient) func() { return fillDisk(p.t, filepath.Dir(p.db), 2<<20) },
		"the disk is full",
	},
	{
		"file size limit", "",
		func(p *patient) func() { return p.limit(unix.RLIMIT_FSIZE, 256<<10) },
		"failed",
	},
	{
		"locked by another process", "",
		func(p *patient) func() { return holdLock(p.t, p.db, "BEGIN EXCLUSIVE") },
		"another process has it locked",
	},
	{
		"moved away", "",
		func(p *patient) func() { return move(p.t, p.db) },
		"its file was removed, moved or replaced",
	},
	{
		"log moved away", "",
		func(p *patient) func() { return move(p.t, p.db+"-wal") },
		"its file was removed, moved or replaced",
	},
	{
		"index of the log moved away", "",
		func(p *patient) func() { return move(p.t, p.db+"-shm") },
		"its file was removed, moved or replaced",
	},
	{
		"folder moved away", "",
		func(p *patient) func() { return move(p.t, filepath.Dir(p.db)) },
		"its file was removed, moved or replaced",
	},
}

// While a fault lasts writes are refused and not made, reads go on, /readyz says that
// there is one, and the log has one line. When it has passed, everything works again
// without a restart; subscribers have missed nothing, and nothing that was answered
// is lost. A daemon that is asked to stop while it lasts does so.
func TestPassingFaults(t *testing.T) {
	for _, test := range passing {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			directory := filepath.Join(t.TempDir(), "data")
			if test.disk != "" {
				directory = smallDisk(t, test.disk)
			} else if err := os.Mkdir(directory, 0o700); err != nil {
				t.Fatal(err)
			}
			p := admit(t, filepath.Join(directory, "descartes.db"))
			end := test.inflict(p)
			p.mustFail(test.reason)
			p.mustRead()
			if status, text := p.ready(); status != http.StatusServiceUnavailable || !strings.Contains(text, test.reason) {
				t.Errorf("ready: %d %s", status, text)
			}
			end()
			p.mustWrite()
			p.mustRead()
			p.mustTell()

			end = test.inflict(p)
			p.mustFail(test.reason)
			if errors, _ := p.logged(); errors != 1 {
				t.Errorf("%d lines say that it fails", errors)
			}
			p.mustStop()
			end()
			p.mustBeSound()
		})
	}
}

// TestRecovery: that everything works again is told once nothing has failed for some
// seconds.
func TestRecovery(t *testing.T) {
	t.Parallel()
	p := admit(t, database(t))
	for range 3 {
		end := p.limit(unix.RLIMIT_FSIZE, 64<<10)
		p.mustFail("failed")
		end()
		p.mustWrite()
	}
	await(t, "ready again", func() bool { status, _ := p.ready(); return status == http.StatusOK })
	if errors, over := p.logged(); errors != 1 || over != 1 {
		t.Errorf("%d lines say that it fails, %d that it works again", errors, over)
	}
}
