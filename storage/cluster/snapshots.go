package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

const (
	// lookForSnapshots is how often a daemon looks how old the newest snapshot is.
	lookForSnapshots = 15 * time.Second
	// budget is how many bytes of snapshots a cluster makes in a second, on average.
	budget = 1 << 20
	// kept is how many snapshots there are; the stream reaches back to the oldest.
	kept = 2
)

// What a snapshot tells of itself.
const (
	metaEpoch    = "descartes-epoch"
	metaPosition = "descartes-position"
	metaChain    = "descartes-chain"
	metaAt       = "descartes-at"
)

// snapshots is what is known of the snapshots.
type snapshots struct {
	making atomic.Bool // one is made here
	mu     sync.Mutex
	newest *schema.SnapshotStats
}

func (s *snapshots) stats() *schema.SnapshotStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// snapshot is one in the object store.
type snapshot struct {
	info     *jetstream.ObjectInfo
	position int64
}

// keepSnapshots makes a snapshot whenever the newest is too far behind the log.
func (j *Journal) keepSnapshots(ctx context.Context) {
	failed := ""
	for {
		// Not all daemons at the same moment: who comes later finds that it is done.
		wait := lookForSnapshots/2 + rand.N(lookForSnapshots)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		switch err := j.renewSnapshot(ctx); {
		case err == nil || ctx.Err() != nil:
			failed = ""
		case err.Error() != failed:
			failed = err.Error()
			j.report("making a snapshot", err)
		}
	}
}

// renewSnapshot makes a snapshot if the newest is too old. Of several that are made at the
// same time the last two would be kept, and nothing of the log but what came after them.
func (j *Journal) renewSnapshot(ctx context.Context) error {
	if j.Behind() != nil {
		return nil
	}
	store, err := j.store(ctx)
	if err != nil {
		return err
	}
	_, info, err := j.look(ctx)
	if err != nil {
		return err
	}
	all, err := list(ctx, store, j.DB.Place().Epoch)
	if err != nil {
		return err
	}
	j.remember(all)
	if goesOn(all, info) && !j.isDue(all) || j.othersMake() {
		return nil
	}
	j.snapshots.making.Store(true)
	defer j.snapshots.making.Store(false)
	j.greet() // so that the others know at once
	if found, _ := j.poll(ctx, j.position()); found != agreed && found != outvoted {
		return nil // nobody shall begin with a journal that is not that of most
	}
	if err := j.settle(ctx); err != nil {
		return err
	}
	if err := j.clearLeftovers(ctx, store); err != nil {
		return fmt.Errorf("delete what is left of snapshots: %w", err)
	}
	if err := j.upload(ctx, store); err != nil {
		return err
	}
	return j.clear(ctx, store)
}

// goesOn tells whether who joins could begin: with the newest snapshot or, before there is
// one, with nothing. Somebody may have shortened the log, or deleted the snapshots.
func goesOn(all []snapshot, info *jetstream.StreamInfo) bool {
	first := int64(info.State.FirstSeq)
	if len(all) > 0 {
		return all[0].position+1 >= first
	}
	return info.Config.Metadata[metaFounded] == fromNothing && first <= 1
}

// settle writes down how far the file is, so that its snapshot is as far: messages that
// change nothing, as fences are, would stay in the log for ever.
func (j *Journal) settle(ctx context.Context) error {
	position := j.DB.Place().Position
	err := j.DB.Reached(ctx, position)
	if err != nil && j.DB.Place().Position != position {
		return nil // another message was applied meanwhile
	}
	return err
}

// isDue tells whether the newest snapshot is too far behind the log, and not so young
// that more than budget would be spent on the next.
func (j *Journal) isDue(all []snapshot) bool {
	if len(all) == 0 {
		return j.position() >= j.config.SnapshotEvery
	}
	newest := all[0]
	rest := time.Duration(newest.info.Size) * time.Second / budget
	return j.position()-newest.position >= j.config.SnapshotEvery && j.Now().Sub(newest.info.ModTime) >= rest
}

// remember notes the newest snapshot of those that there are, the newest first.
func (j *Journal) remember(all []snapshot) {
	var newest *schema.SnapshotStats
	if len(all) > 0 {
		newest = &schema.SnapshotStats{Position: all[0].position, At: all[0].info.ModTime.UnixMilli(), Bytes: int64(all[0].info.Size)}
	}
	j.snapshots.mu.Lock()
	defer j.snapshots.mu.Unlock()
	j.snapshots.newest = newest
}

// folder makes a folder beside the file for a snapshot on its way.
func (j *Journal) folder() (string, error) {
	return os.MkdirTemp(filepath.Dir(j.config.Storage.Path), j.folders())
}

// folders is how the names of such folders begin.
func (j *Journal) folders() string { return "." + filepath.Base(j.config.Storage.Path) + ".snapshot-" }

// sweep removes folders that this daemon left when it was killed.
func (j *Journal) sweep() error {
	directory := filepath.Dir(j.config.Storage.Path)
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the file cannot be made there, which is told later
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), j.folders()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(directory, e.Name())))
		}
	}
	return err
}

// store gives the object store of the cluster, made if there is none.
func (j *Journal) store(ctx context.Context) (jetstream.ObjectStore, error) {
	store, err := j.js.ObjectStore(ctx, j.config.bucket())
	if !errors.Is(err, jetstream.ErrBucketNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return store, err
	}
	return j.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: j.config.bucket(), Description: "snapshots of the Descartes cluster " + j.config.Name,
		Storage: jetstream.FileStorage, Replicas: j.config.Replicas,
	})
}

// objects lists what is in the store.
func objects(ctx context.Context, store jetstream.ObjectStore) ([]*jetstream.ObjectInfo, error) {
	ctx, done := context.WithTimeout(ctx, stall) // or, where an answer is lost, it takes for ever
	defer done()
	all, err := store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return all, nil
}

// list lists the snapshots of an epoch, the newest first.
func list(ctx context.Context, store jetstream.ObjectStore, epoch string) (all []snapshot, err error) {
	objects, err := objects(ctx, store)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		position, err := strconv.ParseInt(o.Metadata[metaPosition], 10, 64)
		if err == nil && o.Metadata[metaEpoch] == epoch {
			all = append(all, snapshot{o, position})
		}
	}
	slices.SortFunc(all, func(a, b snapshot) int { return cmp.Compare(b.position, a.position) })
	return all, nil
}

// upload makes a snapshot and puts it into a store, which keeps its SHA-256.
func (j *Journal) upload(ctx context.Context, store jetstream.ObjectStore) error {
	folder, err := j.folder()
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	copied := filepath.Join(folder, "snapshot.db")
	place, err := storage.Snapshot(ctx, j.config.Storage.Path, copied)
	if err != nil {
		return err
	}
	file, err := os.Open(copied)
	if err != nil {
		return err
	}
	defer file.Close()
	transfer := newTransfer(ctx)
	defer transfer.end()
	parts, err := j.outgoing(transfer, file)
	if err != nil {
		return err
	}
	_, err = store.Put(transfer, jetstream.ObjectMeta{
		Name: fmt.Sprintf("%s-%d", place.Epoch, place.Position),
		Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(min(part, j.conn.MaxPayload()-headroom))},
		Metadata: map[string]string{
			metaEpoch: place.Epoch, metaPosition: strconv.FormatInt(place.Position, 10),
			metaChain: chain(place.Chain).String(), metaAt: strconv.FormatInt(place.At, 10),
		},
	}, parts)
	if err != nil {
		return fmt.Errorf("store a snapshot: %w", err)
	}
	return nil
}

// clear deletes old snapshots, and what only they needed of the log.
func (j *Journal) clear(ctx context.Context, store jetstream.ObjectStore) error {
	all, err := list(ctx, store, j.DB.Place().Epoch)
	if err != nil {
		return err
	}
	j.remember(all)
	if len(all) < kept {
		return nil
	}
	for _, old := range all[kept:] {
		if err := store.Delete(ctx, old.info.Name); err != nil {
			return fmt.Errorf("delete a snapshot: %w", err)
		}
	}
	stream, err := j.js.Stream(ctx, j.config.Name)
	if err != nil {
		return err
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(uint64(all[kept-1].position)+1)); err != nil {
		return fmt.Errorf("shorten the log: %w", err)
	}
	return nil
}

// download writes a snapshot to a file. The store's reader checks its SHA-256.
func download(ctx context.Context, store jetstream.ObjectStore, s snapshot, path string) (err error) {
	transfer := newTransfer(ctx)
	defer transfer.end()
	object, err := store.Get(transfer, s.info.Name)
	if err != nil {
		return fmt.Errorf("get a snapshot: %w", err)
	}
	defer object.Close()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if _, full := errors.AsType[*fs.PathError](err); full {
			err = final{err}
		}
	}()
	if _, err := io.Copy(file, &incoming{transfer, object}); err != nil {
		return fmt.Errorf("get a snapshot: %w", err)
	}
	return object.Error()
}
