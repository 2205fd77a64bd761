package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/storage"
)

// startAlone is how long a daemon whose file is in the cluster waits for NATS before it
// begins to serve what it has.
const startAlone = 5 * time.Second

// metaFounded tells how a stream began: "empty", or "data", of which there is a
// snapshot.
const (
	metaFounded = "descartes-founded"
	withData    = "data"
	fromNothing = "empty"
)

// Open brings the file of a daemon into its cluster and opens it.
//
// The first daemon founds the cluster, with the tasks that its file has. One whose file
// is empty, or too old for what the log still has, begins with the newest snapshot; what
// was in its place is kept beside it. A file of another epoch is refused and left as it
// is. Where the file is in the cluster already and NATS does not answer for 5 s, Open
// gives a Journal that is Behind, and goes on trying; otherwise it waits until ctx ends.
func Open(ctx context.Context, config Config) (_ *Journal, err error) {
	config, err = config.withDefaults()
	if err != nil {
		return nil, err
	}
	place, err := storage.PlaceOf(ctx, config.Storage.Path)
	if err != nil {
		return nil, err
	}
	if place.Cluster != "" && place.Cluster != config.Name {
		return nil, fmt.Errorf("%s belongs to the cluster %s, not %s", config.Storage.Path, place.Cluster, config.Name)
	}
	j := &Journal{
		config: config, incarnation: newIncarnation(), clock: clock{local: config.Now},
		moved: make(chan struct{}, 1), done: make(chan struct{}), pending: make(map[string]*pending),
	}
	j.state.lostAt, j.state.target = time.Now(), -1
	j.stopped, j.stop = context.WithCancel(context.Background())
	if err := j.sweep(); err != nil {
		return nil, err
	}
	if err := j.connect(); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	defer func() {
		if err != nil {
			j.stop()
			j.conn.Close()
		}
	}()
	if err := j.enter(ctx, place); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", config.Name, err)
	}
	config.Storage.Cluster, config.Storage.Incarnation = config.Name, j.incarnation
	if j.DB, err = storage.Open(ctx, config.Storage); err != nil {
		return nil, err
	}
	place = j.DB.Place()
	j.change(func(s *state) {
		s.position = place.Position
		s.chains.add(place.Position, place.Chain)
	})
	j.start()
	if err := j.beJudged(ctx); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// beJudged waits until the other daemons have had their say about the file: nobody shall
// read from one that they contradict. Where NATS does not answer, it does not.
func (j *Journal) beJudged(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startAlone)
	defer cancel()
	j.await(ctx, func(s *state) bool { return s.judged || !s.connected })
	return j.Err()
}

// enter brings the file into the cluster, or finds that it is.
func (j *Journal) enter(ctx context.Context, place storage.Place) error {
	known := place.Cluster != "" && !j.config.Rebuild
	wait, cancel := ctx, context.CancelFunc(func() {})
	if known {
		wait, cancel = context.WithTimeout(ctx, startAlone)
	} else if !j.conn.IsConnected() {
		j.report("waiting for NATS at "+j.config.servers(), nil)
	}
	defer cancel()
	for told := ""; ; {
		err := j.tryEnter(ctx, wait)
		switch {
		case err == nil, isFinal(err):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("stopped before the log of record could be reached: %w", err)
		case wait.Err() != nil && !errors.Is(err, errUnfit):
			j.report("the log of record cannot be reached: going on with what this daemon has", err)
			return nil
		}
		if told != err.Error() {
			told = err.Error()
			j.report("entering the cluster", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// errUnfit says that the log does not go on from the file, but from the newest snapshot,
// which could not be had yet.
var errUnfit = errors.New("begin with the newest snapshot")

// final is an error that does not pass by itself.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// lasting is for errors of this machine, which are not tried again: a snapshot would be
// fetched each time.
func lasting(err error) error {
	if err == nil {
		return nil
	}
	return final{err}
}

func isFinal(err error) bool {
	_, ok := errors.AsType[final](err)
	return ok
}

// tryEnter waits for a connection as long as wait, looks at the stream and does what
// follows from it, however long that takes.
func (j *Journal) tryEnter(ctx, wait context.Context) error {
	var refusal error
	answered := j.await(wait, func(s *state) bool {
		refusal = s.refusal
		return s.connected || isRefused(refusal)
	})
	switch {
	case isRefused(refusal):
		return final{fmt.Errorf("NATS lets nobody in with these credentials: %w", refusal)}
	case !answered:
		return errors.Join(errLost, refusal)
	}
	place, err := storage.PlaceOf(ctx, j.config.Storage.Path) // again: the try before may have got somewhere
	if err != nil {
		return final{err}
	}
	_, info, err := j.look(ctx)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && place.Position == 0 && !j.config.Rebuild: // no message was applied ever
		return j.found(ctx, place)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return final{fmt.Errorf("NATS has no stream %s: the log of record is gone; `descartes cluster leave` makes a single daemon's file of this one, with which a cluster can be founded again", j.config.Name)}
	case err != nil:
		return err
	}
	return j.join(ctx, place, info)
}

// isRefused tells whether a server is there and does not want this daemon.
func isRefused(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrSecureConnRequired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// found makes the stream. A file with tasks is brought into the cluster before, so that
// nobody else writes to it any more, and goes into a snapshot for those who join.
func (j *Journal) found(ctx context.Context, place storage.Place) error {
	if place.Epoch == "" || place.Empty && place.Cluster == "" {
		place.Epoch = storage.NewEpoch()
	}
	place.Cluster = j.config.Name
	founded := fromNothing
	if !place.Empty {
		founded = withData
		if err := j.bringIn(ctx, place); err != nil {
			return err
		}
	}
	_, err := j.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: j.config.Name, Description: "log of record of a Descartes cluster",
		Subjects: []string{j.config.subject()}, Storage: jetstream.FileStorage, Replicas: j.config.Replicas,
		Duplicates: remembersIDs, DenyDelete: true, AllowDirect: true,
		Metadata: map[string]string{metaEpoch: place.Epoch, metaFounded: founded},
	})
	if err != nil {
		return j.refusal(err) // somebody else may have been faster: the next try joins
	}
	j.report("founded the cluster "+j.config.Name, nil)
	return storage.Enter(ctx, j.config.Storage.Path, place)
}

// bringIn makes a file with tasks the one that a cluster begins with.
func (j *Journal) bringIn(ctx context.Context, place storage.Place) error {
	store, err := j.store(ctx)
	if err != nil {
		return j.refusal(err)
	}
	if err := storage.Enter(ctx, j.config.Storage.Path, place); err != nil {
		return final{err}
	}
	return j.upload(ctx, store)
}

// refusal tells an answer of NATS that does not pass by itself.
func (j *Journal) refusal(err error) error {
	const noPeers, replicasNotSupported = 10005, 10074
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == replicasNotSupported {
		return final{fmt.Errorf("a single NATS server cannot hold %d copies of a stream: start it in a cluster of servers, or this daemon with --cluster-replicas 1", j.config.Replicas)}
	} else if ok && refused.ErrorCode == noPeers { // yet
		return fmt.Errorf("there are no %d NATS servers that could hold a copy of the stream each: --cluster-replicas must not be more than there are (%w)", j.config.Replicas, err)
	}
	return err
}

// join brings the file to a place from which the log goes on.
func (j *Journal) join(ctx context.Context, place storage.Place, info *jetstream.StreamInfo) error {
	epoch, first := info.Config.Metadata[metaEpoch], int64(info.State.FirstSeq)
	switch {
	case epoch == "":
		return final{fmt.Errorf("the stream %s was not made by Descartes: choose another --cluster-name", j.config.Name)}
	case (!place.Empty || place.Cluster != "") && place.Epoch != epoch && !j.config.Rebuild:
		return final{fmt.Errorf("%s has tasks of its own (epoch %s; that of the cluster is %s): start with an empty file, or with --cluster-rebuild, which keeps this one beside it",
			j.config.Storage.Path, place.Epoch, epoch)}
	case place.Cluster != "" && place.Epoch == epoch && !j.config.Rebuild && place.Position+1 >= first:
		return nil
	case place.Empty && place.Cluster == "" && info.Config.Metadata[metaFounded] == fromNothing && first <= 1:
		return lasting(storage.Enter(ctx, j.config.Storage.Path, storage.Place{Cluster: j.config.Name, Epoch: epoch}))
	}
	if err := j.adopt(ctx, info); err != nil {
		return fmt.Errorf("%w: %w", errUnfit, err)
	}
	return nil
}

// adopt begins with the newest snapshot, or before the first message of a log that began
// with nothing and has everything yet.
func (j *Journal) adopt(ctx context.Context, info *jetstream.StreamInfo) error {
	store, err := j.store(ctx)
	if err != nil {
		return err
	}
	epoch := info.Config.Metadata[metaEpoch]
	all, err := list(ctx, store, epoch)
	if err != nil {
		return err
	}
	if !goesOn(all, info) {
		return fmt.Errorf("there is none from which the log goes on: another daemon has to make one")
	}
	folder, err := j.folder()
	if err != nil {
		return final{err}
	}
	defer os.RemoveAll(folder)
	copied, what := filepath.Join(folder, "snapshot.db"), "began with an empty file"
	if len(all) == 0 {
		err = lasting(storage.Enter(ctx, copied, storage.Place{Cluster: j.config.Name, Epoch: epoch}))
	} else {
		what = fmt.Sprintf("took the snapshot at message %d", all[0].position)
		err = download(ctx, store, all[0], copied)
	}
	if err != nil {
		return err
	}
	kept, err := storage.Adopt(ctx, j.config.Storage.Path, copied)
	if err != nil {
		return final{err}
	}
	if kept != "" {
		what += ", and kept the file that was there as " + kept
	}
	j.report(what, nil)
	return nil
}
