package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/schema"
)

const (
	// heartbeat is how often a server says that there is no message; after two that did
	// not come this daemon asks again, perhaps another server.
	heartbeat = 500 * time.Millisecond
	// consumerPatience is how long the servers may take to agree on a consumer.
	consumerPatience = time.Second
	// unread is how many bytes of messages are on their way to this daemon, unless two
	// messages may have more: on a link of 1 MB/s the answer to a ping still comes through
	// before the server is taken for stale.
	unread = 2 << 20
	// retryAfter is the time between two tries to read, or to apply a message.
	retryAfter = 100 * time.Millisecond
	// lookEvery is how often a daemon looks at the stream, whatever comes out of it.
	lookEvery = 2 * time.Second
	// shorter is how long a log may seem to end before what this daemon has of it: a
	// server that has just come back does not know better for a while.
	shorter = 30 * time.Second
)

// follow applies the log from where the file is, until ctx ends.
func (j *Journal) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if !j.await(ctx, func(s *state) bool { return s.connected }) {
			return
		}
		err := j.read(ctx)
		if ctx.Err() != nil {
			return
		}
		j.troubled(err)
		if j.silentFor(time.Now()) > elsewhereAfter {
			j.elsewhere()
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
}

// troubled notes why no message is read, and tells it once until messages come in again.
func (j *Journal) troubled(err error) {
	news := false
	j.change(func(s *state) {
		if s.trouble == nil && s.connected {
			s.lostAt = time.Now()
		}
		if s.trouble = err; err != nil && err.Error() != s.told {
			news, s.told = true, err.Error()
		}
	})
	if news && !errors.Is(err, context.Canceled) {
		j.report("reading the log of record", err)
	}
}

// read reads and applies messages until that fails.
func (j *Journal) read(ctx context.Context) error {
	ctx, cancel := j.overLink(ctx)
	defer cancel()
	stream, err := j.attach(ctx)
	if err != nil {
		return err
	}
	consumer, err := j.consumer(ctx, stream)
	if err != nil {
		// The servers have to agree on a consumer, which takes a while after one of them
		// is gone. Whoever has the messages can be asked for them meanwhile.
		return errors.Join(fmt.Errorf("ask for its messages: %w", err), j.fetch(ctx, stream))
	}
	defer j.discard(stream, consumer)
	j.change(func(s *state) { s.trouble, s.told = nil, "" })
	messages, err := consumer.Messages(jetstream.PullMaxBytes(max(unread, 2*int(j.conn.MaxPayload()+headroom))),
		jetstream.PullHeartbeat(heartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return fmt.Errorf("ask for its messages: %w", err)
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	defer j.followed() // until it failed
	for {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("wait for a message: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		position := int64(meta.Sequence.Stream)
		if err := j.take(ctx, position, position+int64(meta.NumPending), m.Headers(), m.Data()); err != nil {
			return err
		}
	}
}

// fetch reads messages one by one until there are no more.
func (j *Journal) fetch(ctx context.Context, stream jetstream.Stream) error {
	for {
		asked, done := context.WithTimeout(ctx, consumerPatience)
		m, err := stream.GetMsg(asked, uint64(j.position()+1))
		done()
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("ask for message %d: %w", j.position()+1, err)
		}
		if err := j.take(ctx, int64(m.Sequence), int64(m.Sequence), m.Header, m.Data); err != nil {
			return err
		}
	}
}

// consumer asks for what comes after the position of this daemon.
func (j *Journal) consumer(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	ctx, done := context.WithTimeout(ctx, consumerPatience)
	defer done()
	return stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       uint64(j.position() + 1),
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	})
}

// discard tells the server that nobody reads any more; otherwise it notices in a minute.
func (j *Journal) discard(stream jetstream.Stream, consumer jetstream.Consumer) {
	if !j.conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
}

// attach looks whether the stream is the one that this file follows and reaches back to
// its position.
func (j *Journal) attach(ctx context.Context) (jetstream.Stream, error) {
	stream, info, err := j.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at its stream: %w", err)
	}
	position, last := j.position(), int64(info.State.LastSeq)
	short := j.short.lasts(last < position, time.Now())
	switch {
	case info.Config.Metadata[metaEpoch] != j.DB.Place().Epoch:
		j.fail(fmt.Errorf("the stream %s is another log of record now: this file has epoch %s, and the stream %s",
			j.config.Name, j.DB.Place().Epoch, info.Config.Metadata[metaEpoch]))
	case short > shorter:
		j.fail(fmt.Errorf("the log of record ends at message %d, and this daemon has applied %d: the log has lost messages", last, position))
	case last < position:
		return nil, fmt.Errorf("it ends at message %d, and this daemon has applied %d", last, position)
	case int64(info.State.FirstSeq) > position+1:
		j.fail(j.leftBehind(int64(info.State.FirstSeq)))
	}
	if err := j.Err(); err != nil {
		return nil, err
	}
	j.change(func(s *state) {
		s.target, s.newest = last, max(s.newest, last)
		s.reach()
	})
	return stream, nil
}

// spell is a time during which something goes on.
type spell struct{ since time.Time }

// lasts notes whether it goes on, and tells for how long it has: 0 while it does not.
func (s *spell) lasts(on bool, now time.Time) time.Duration {
	switch {
	case !on:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	default:
		return now.Sub(s.since)
	}
	return 0
}

// leftBehind says that the stream does not reach back to the position of the file.
func (j *Journal) leftBehind(first int64) error {
	return fmt.Errorf("this daemon was away for too long: it needs message %d, and the log begins at %d; start it again, and it begins with the newest snapshot",
		j.position()+1, first)
}

// lookOften looks whether the log has a leader, and what time it is there.
func (j *Journal) lookOften(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _, _ = j.look(ctx) // that there is no answer is what is noted
		case <-ctx.Done():
			return
		}
	}
}

// look asks for the stream, and takes the leader's time with it.
func (j *Journal) look(ctx context.Context) (jetstream.Stream, *jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	asked := j.config.Now()
	stream, err := j.js.Stream(ctx, j.config.Name)
	if err != nil {
		return nil, nil, err
	}
	info := stream.CachedInfo()
	if !info.TimeStamp.IsZero() {
		j.clock.set(info.TimeStamp, asked, j.config.Now())
	}
	j.change(func(s *state) {
		s.stream = streamStats(info)
		if info.Cluster == nil || info.Cluster.Leader != "" {
			s.ledAt = time.Now()
		}
	})
	return stream, info, nil
}

// take applies one message, unless it was applied before.
func (j *Journal) take(ctx context.Context, position, newest int64, header nats.Header, data []byte) error {
	next := j.position() + 1
	if position < next {
		return nil
	}
	if position > next {
		return j.gap(ctx, next, position)
	}
	m, err := decode(position, data)
	if err != nil {
		j.fail(err)
		return err
	}
	outcomes, events, err := j.apply(ctx, position, m.Changes)
	if err != nil {
		return err
	}
	j.applied(position, newest, header.Get(jetstream.MsgIDHeader), outcomes, events, len(m.Changes) > 0)
	return nil
}

// gap finds out why messages are missing: they were purged, or lost on their way.
func (j *Journal) gap(ctx context.Context, next, position int64) error {
	_, info, err := j.look(ctx)
	if err != nil {
		return err
	}
	if first := int64(info.State.FirstSeq); first > next {
		err := j.leftBehind(first)
		j.fail(err)
		return err
	}
	return fmt.Errorf("message %d came before %d", position, next)
}

// apply applies the changes of a message. What is wrong with this machine's file is
// tried again until it is not any more: to leave the message out would be to differ.
func (j *Journal) apply(ctx context.Context, position int64, changes []schema.Change) ([]schema.Outcome, []schema.Event, error) {
	for {
		outcomes, events, err := j.DB.Follow(ctx, position, changes)
		if err == nil {
			return outcomes, events, nil
		}
		if schema.CodeOf(err) != schema.CodeStorageUnavailable {
			err = fmt.Errorf("apply message %d of the log of record: %w", position, err)
			if ctx.Err() == nil {
				j.fail(err)
			}
			return nil, nil, err
		}
		j.troubled(err)
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// applied tells of a message that was applied.
func (j *Journal) applied(position, newest int64, id string, outcomes []schema.Outcome, events []schema.Event, changes bool) {
	var own *pending
	now := chain(j.DB.Place().Chain)
	j.change(func(s *state) {
		s.position, s.newest, s.trouble, s.followedAt = position, max(s.newest, newest), nil, time.Now()
		s.reach()
		s.chains.add(position, now)
		own = j.pending[id]
		delete(j.pending, id)
	})
	if own != nil {
		own.outcomes, own.events = outcomes, events
		close(own.done)
		return
	}
	if changes {
		select {
		case j.moved <- struct{}{}:
		default:
		}
	}
}
