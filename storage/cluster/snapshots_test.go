package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/storage"
)

// A snapshot is due, too, where nobody could join any more.
func TestGoesOn(t *testing.T) {
	for _, c := range []struct {
		founded   string
		first     uint64
		snapshots []int64 // where they are, the newest first
		want      bool
	}{
		{fromNothing, 0, nil, true}, // a log without a message
		{fromNothing, 1, nil, true},
		{fromNothing, 2, nil, false}, // somebody has shortened it
		{withData, 0, nil, false},    // somebody has deleted the one that it began with
		{withData, 0, []int64{0}, true},
		{withData, 1, []int64{0}, true},
		{fromNothing, 6, []int64{5, 2}, true},
		{fromNothing, 7, []int64{5, 2}, false},
	} {
		var all []snapshot
		for _, p := range c.snapshots {
			all = append(all, snapshot{position: p})
		}
		info := &jetstream.StreamInfo{
			Config: jetstream.StreamConfig{Metadata: map[string]string{metaFounded: c.founded}},
			State:  jetstream.StreamState{FirstSeq: c.first},
		}
		if got := goesOn(all, info); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Messages that change nothing are in the next snapshot: otherwise it would be as old as
// the last one, and they stayed in the log.
func TestFencesAreLeftBehind(t *testing.T) {
	j := local(t)
	for position := range int64(3) {
		if _, _, err := j.DB.Follow(t.Context(), position+1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	place, err := storage.Snapshot(t.Context(), j.config.Storage.Path, filepath.Join(t.TempDir(), "snapshot.db"))
	if err != nil || place.Position != 3 {
		t.Errorf("the snapshot is at message %d, %v", place.Position, err)
	}
}

// What a daemon leaves that is killed while it makes a snapshot is gone after the next
// start, and what is another daemon's in the same directory is not.
func TestSweep(t *testing.T) {
	directory := t.TempDir()
	of := func(file string) *Journal {
		return &Journal{config: Config{Storage: storage.Config{Path: filepath.Join(directory, file)}}}
	}
	mine, other := of("a.db"), of("b.db")
	for _, j := range []*Journal{mine, mine, other} {
		folder, err := j.folder()
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "snapshot.db"), []byte("half"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := mine.sweep(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(directory, ".*"))
	if err != nil || len(left) != 1 || !strings.HasPrefix(filepath.Base(left[0]), other.folders()) {
		t.Errorf("%v, %v", left, err)
	}
	if err := of("nowhere/a.db").sweep(); err != nil {
		t.Errorf("where there is no directory: %v", err)
	}
}
