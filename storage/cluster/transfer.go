package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// stall is after how long a snapshot of which nothing arrives any more is given up.
	stall = 15 * time.Second
	// window is how many bytes of a snapshot are sent before the store has those before:
	// what comes much faster than it can write, it refuses.
	window = 1 << 20
	// part is how many bytes of a snapshot a message of the store has, unless that is more
	// than a server takes.
	part = 128 << 10
	// lookAgain is the time between two looks at what the store has.
	lookAgain = 20 * time.Millisecond
)

// transfer is a context for a snapshot on its way: it takes as long as it takes, while
// something moves.
//
// Its deadline is always a little ahead. Where there is none, the object store allows
// the default of a request, for all of a snapshot that it reads, and for every part of
// one that it writes.
type transfer struct {
	context.Context
	cancel  context.CancelFunc
	stalled *time.Timer
}

func newTransfer(ctx context.Context) *transfer {
	ctx, cancel := context.WithCancel(ctx)
	return &transfer{ctx, cancel, time.AfterFunc(stall, cancel)}
}

// Deadline implements context.Context.
func (*transfer) Deadline() (time.Time, bool) { return time.Now().Add(attempt), true }

func (t *transfer) moved() { t.stalled.Reset(stall) }

func (t *transfer) end() {
	t.stalled.Stop()
	t.cancel()
}

// incoming reads a snapshot that comes from the store.
type incoming struct {
	*transfer
	from io.Reader
}

// Read implements io.Reader.
func (i *incoming) Read(p []byte) (n int, err error) {
	n, err = i.from.Read(p)
	if n > 0 {
		i.moved()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = i.Err() // nothing came for a while
	}
	return n, err
}

// outgoing reads a file that goes into the store, not much faster than that takes it.
type outgoing struct {
	*transfer
	file  io.Reader
	store jetstream.Stream // where the parts are counted
	last  uint64           // that was there when it was looked at
	ahead int              // bytes that were read since then
}

// outgoing gives what reads a file that goes into the store of the cluster.
func (j *Journal) outgoing(t *transfer, file io.Reader) (*outgoing, error) {
	stream, err := j.js.Stream(t, j.config.storeStream())
	if err != nil {
		return nil, err
	}
	return &outgoing{transfer: t, file: file, store: stream, last: stream.CachedInfo().State.LastSeq}, nil
}

// Read implements io.Reader. Each call is a part of its own.
func (o *outgoing) Read(p []byte) (n int, err error) {
	if o.ahead >= window {
		if err := o.catchUp(uint64(o.ahead / len(p))); err != nil {
			return 0, err
		}
	}
	n, err = io.ReadFull(o.file, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	o.ahead += n
	return n, err
}

// catchUp waits until the store has so many parts more.
func (o *outgoing) catchUp(parts uint64) error {
	for seen := o.last; ; {
		info, err := o.store.Info(o)
		if err != nil {
			return fmt.Errorf("look at what is stored: %w", err)
		}
		last := info.State.LastSeq
		if last != seen {
			o.moved()
		}
		if seen = last; last >= o.last+parts {
			o.last, o.ahead = last, 0
			return nil
		}
		select {
		case <-time.After(lookAgain):
		case <-o.Done():
			return o.Err()
		}
	}
}
