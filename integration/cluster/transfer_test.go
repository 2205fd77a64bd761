package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
	"github.com/descartes-tasks/descartes/storage/cluster"
)

// A snapshot takes as long as it takes, however slow the way to NATS is: one that founds
// a cluster, one with which a daemon joins, and one with which a daemon begins again that
// was away for too long.
func TestSnapshotsOverSlowLinks(t *testing.T) {
	t.Parallel()
	const rate, size = 2 << 20, 3 << 20 // of descriptions: the snapshot has twice that
	server := startNATS(t, 1, natsOptions{}).all[0]
	slow := server.reach("d")
	slow.rate.Store(rate)
	one, other := configure(t, slow, "a"), configure(t, slow, "b")
	fill(t, one.Storage.Path, size)
	took := func(what string, least time.Duration, c cluster.Config) *cluster.Journal {
		t.Helper()
		began := time.Now()
		j := open(t, c)
		if spent := time.Since(began); spent < least {
			t.Errorf("%s took %v: the link is not slow enough to show anything", what, spent)
		}
		return j
	}
	a := took("found", 2*time.Second, one)
	defer a.Close()
	b := took("join", 2*time.Second, other)
	if a.Place().Chain != b.Place().Chain {
		t.Error("they differ")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Apply(t.Context(), []schema.Change{creation("later", "")}); err != nil {
		t.Fatal(err)
	}
	leave(t, server.connect(t), one.Storage.Path)
	slow.rate.Store(rate / 2)
	b = took("rejoin", 5*time.Second, other)
	defer b.Close()
	if got, want := b.Place(), a.Place(); got.Epoch != want.Epoch || got.At != want.At || got.Chain != want.Chain { // a, alone, may have sent a fence
		t.Errorf("it is at %+v, not %+v", got, want)
	}
}

// A daemon can begin anew in a cluster that is too young for a snapshot: it has what the
// log has from its beginning, and its old file is kept.
func TestRebuildWithoutSnapshot(t *testing.T) {
	t.Parallel()
	way := startNATS(t, 1, natsOptions{}).all[0].reach("d")
	one, other := configure(t, way, "a"), configure(t, way, "b")
	a := open(t, one)
	defer a.Close()
	fill(t, other.Storage.Path, 100_000)
	other.Rebuild = true
	b := open(t, other)
	defer b.Close()
	if kept, err := storage.PlaceOf(t.Context(), other.Storage.Path+".before-snapshot"); err != nil || kept.Empty {
		t.Errorf("its old file: %+v, %v", kept, err)
	}
	if _, _, err := b.Apply(t.Context(), []schema.Change{creation("task0", "")}); err != nil {
		t.Fatal(err)
	}
	if err := a.Fresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.Place().Chain != b.Place().Chain {
		t.Error("they differ")
	}
}

// A file that cannot be replaced by a snapshot ends the daemon: nothing becomes of trying
// again, and a snapshot would be fetched each second.
func TestFileThatCannotBeReplaced(t *testing.T) {
	t.Parallel()
	way := startNATS(t, 1, natsOptions{}).all[0].reach("d")
	one, other := configure(t, way, "a"), configure(t, way, "b")
	fill(t, one.Storage.Path, 100_000)
	defer open(t, one).Close()
	if err := os.WriteFile(other.Storage.Path+"-wal", []byte("of a file that is gone"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	j, err := cluster.Open(ctx, other)
	if err == nil {
		j.Close()
	}
	if err == nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// A daemon that has much to catch up with asks for no more than a server may hold for it:
// who lets more lie is cut off.
func TestLaggardIsNotCutOff(t *testing.T) {
	t.Parallel()
	server := startNATS(t, 1, natsOptions{extra: "max_pending: 20MB\n"}).all[0]
	slow := server.reach("d")
	config := configure(t, slow, "a")
	if err := open(t, config).Close(); err != nil {
		t.Fatal(err)
	}
	changes := make([]schema.Change, 14)
	for i := range changes {
		changes[i] = creation(fmt.Sprint("task", i), strings.Repeat("x", 60_000))
	}
	encoded, err := json.Marshal(map[string]any{"v": 1, "changes": changes})
	if err != nil {
		t.Fatal(err)
	}
	js := server.connect(t)
	for range 35 { // 30 MB, of which all but the first message change nothing
		if _, err := js.Publish(t.Context(), "descartes."+stream+".log", encoded); err != nil {
			t.Fatal(err)
		}
	}
	slow.rate.Store(12 << 20)
	a := open(t, config)
	defer a.Close()
	eventually(t, "it has caught up", a.Behind)
	for _, line := range server.log.all() {
		if strings.Contains(line, "Slow Consumer") {
			t.Error(line)
		}
	}
}

// Snapshots go into messages of any size that the servers take.
func TestSnapshotInSmallParts(t *testing.T) {
	t.Parallel()
	way := startNATS(t, 1, natsOptions{extra: "max_payload: 32KB\n"}).all[0].reach("d")
	one, other := configure(t, way, "a"), configure(t, way, "b")
	fill(t, one.Storage.Path, 2_000_000)
	a := open(t, one)
	defer a.Close()
	b := open(t, other)
	defer b.Close()
	if a.Place() != b.Place() {
		t.Errorf("%+v, %+v", a.Place(), b.Place())
	}
}

// Close has everybody who waits answered, and does not wait for the log.
func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	server := startNATS(t, 1, natsOptions{}).all[0]
	j := open(t, configure(t, server.reach("d"), "a"))
	eventually(t, "it is current", j.Behind)
	server.pause()
	began := time.Now()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		_, _, err := j.Apply(t.Context(), []schema.Change{creation("a", "")})
		if code := schema.CodeOf(err); code != schema.CodeOutcomeUnknown && code != schema.CodeStorageUnavailable {
			t.Errorf("the write is answered %v", err)
		}
	})
	waiting.Go(func() {
		if err := j.Fresh(t.Context()); err == nil {
			t.Error("it is fresh without the log")
		}
	})
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	waiting.Wait()
	if spent := time.Since(began); spent > 5*time.Second {
		t.Errorf("it took %v", spent)
	}
}

// configure configures a daemon that is part of the test.
func configure(t *testing.T, way *link, daemon string) cluster.Config {
	return cluster.Config{
		URLs: []string{"nats://" + way.address()}, Daemon: daemon, Replicas: 1,
		Storage: storage.Config{Path: filepath.Join(t.TempDir(), "descartes.db")},
		Report:  func(what string, err error) { t.Log(daemon, what, err) },
	}
}

// open opens a journal without waiting for ever.
func open(t *testing.T, config cluster.Config) *cluster.Journal {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context()) // not with a deadline, which a daemon has none of
	defer time.AfterFunc(patience, cancel).Stop()
	j, err := cluster.Open(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// fill writes tasks of so many bytes into a file.
func fill(t *testing.T, path string, size int) {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var changes []schema.Change
	for i := range size / 100_000 {
		random := make([]byte, 25_000)
		_, _ = rand.Read(random)
		changes = append(changes, creation(fmt.Sprint("task", i), hex.EncodeToString(random)))
	}
	if _, _, err := db.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// creation gives a change that makes a task.
func creation(id, description string) schema.Change {
	draft := &schema.Draft{ID: id, Title: id, Description: &description}
	if err := draft.Normalize(); err != nil {
		panic(err)
	}
	return schema.Change{At: time.Now().UnixMilli(), Origin: schema.OriginRPC, Operations: []schema.Operation{{Op: schema.OpCreate, Create: draft}}}
}

// leave puts a snapshot of a file into the store, and takes what is before it out of
// the log.
func leave(t *testing.T, js jetstream.JetStream, path string) {
	t.Helper()
	target := filepath.Join(t.TempDir(), "snapshot.db")
	place, err := storage.Snapshot(t.Context(), path, target)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	store, err := js.ObjectStore(t.Context(), stream+"-snapshots")
	if err == nil {
		_, err = store.Put(t.Context(), jetstream.ObjectMeta{Name: "newest", Metadata: map[string]string{
			"descartes-epoch": place.Epoch, "descartes-position": strconv.FormatInt(place.Position, 10),
		}}, bytes.NewReader(data))
	}
	if err != nil {
		t.Fatal(err)
	}
	log, err := js.Stream(t.Context(), stream)
	if err == nil {
		err = log.Purge(t.Context(), jetstream.WithPurgeSequence(uint64(place.Position)+1))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the snapshot at message %d has %d bytes", place.Position, len(data))
}
