package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// state is how far this daemon is, and what it knows of the log. It is under
// Journal.mu, and changed by Journal.change alone.
type state struct {
	connected  bool
	lostAt     time.Time          // when there was a connection last
	refusal    error              // why there is none now
	linkedAt   time.Time          // when it was made
	followedAt time.Time          // when messages were last known to come in
	ledAt      time.Time          // when the log was heard to have a leader last
	link       context.CancelFunc // ends what belongs to the present connection
	position   int64              // of the last message that was applied
	newest     int64              // of the last one that is known of
	target     int64              // what there was when this daemon began to read; -1: not known yet
	judged     bool               // the others did not contradict where this daemon began
	current    bool               // judged, and target was reached
	trouble    error              // why no message is read or applied at present
	told       string             // of that, to the log; until messages come in again
	chains     chains
	stream     *schema.StreamStats
	changed    chan struct{} // closed when something of this changes; nil while nobody waits for that
}

// reach finds out whether this daemon is current.
func (s *state) reach() { s.current = s.judged && s.target >= 0 && s.position >= s.target }

// change changes the state and wakes who waits for that.
func (j *Journal) change(f func(*state)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.state)
	if j.state.changed != nil {
		close(j.state.changed)
		j.state.changed = nil
	}
}

// await waits until the state is as it is wanted, and tells whether that came about
// before ctx ended or this daemon stopped.
func (j *Journal) await(ctx context.Context, wanted func(*state) bool) bool {
	for {
		j.mu.Lock()
		if wanted(&j.state) {
			j.mu.Unlock()
			return true
		}
		if j.state.changed == nil {
			j.state.changed = make(chan struct{})
		}
		changed := j.state.changed
		j.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		case <-j.stopped.Done():
			return false
		}
	}
}

// position is that of the last message that was applied.
func (j *Journal) position() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.position
}

// grace is how long a connection may be gone before this daemon counts as behind.
const grace = 3 * time.Second

// leaderless is how long the log may have no leader, or none that is heard of, before this
// daemon counts as behind: an election takes up to 9 s. A server that is cut off from the
// others goes on with what it has, and does not say that it lacks anything.
const leaderless = 12 * time.Second

// follows tells whether this daemon keeps up with a log that goes on.
func (s *state) follows() bool {
	return s.current && s.connected && time.Since(s.ledAt) <= leaderless
}

// Behind tells why this daemon cannot be relied on to have what the others have, nil if
// it can.
func (j *Journal) Behind() error {
	if err := j.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.state
	switch {
	case !s.connected && (!s.current || time.Since(s.lostAt) > grace):
		return fmt.Errorf("it has no connection to the log of record since %s", s.lostAt.UTC().Format(time.RFC3339))
	case !s.current && s.trouble != nil:
		return fmt.Errorf("it cannot follow the log of record: %w", s.trouble)
	case !s.current && s.position >= max(s.target, s.newest):
		return fmt.Errorf("it has not heard yet how far the log of record is, and whether the others agree")
	case !s.current:
		return fmt.Errorf("it catches up with the log of record: %d of %d messages", s.position, max(s.target, s.newest))
	case s.trouble != nil && time.Since(s.lostAt) > grace:
		return fmt.Errorf("it cannot follow the log of record: %w", s.trouble)
	case time.Since(s.ledAt) > leaderless:
		return fmt.Errorf("it reaches no leader of the log of record since %s", s.ledAt.UTC().Format(time.RFC3339))
	}
	return nil
}

// mayWrite refuses writes while it is known that they could not be answered. For a
// connection that was just lost, or messages that are just being caught up with, it waits.
func (j *Journal) mayWrite(ctx context.Context) error {
	if err := j.DB.Unusable(); err != nil {
		return err
	}
	j.mu.Lock()
	lost, connected := j.state.lostAt, j.state.connected
	j.mu.Unlock()
	deadline := time.Now().Add(connectPatience)
	if !connected {
		deadline = lost.Add(connectPatience)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if j.await(ctx, func(s *state) bool { return s.connected && s.current }) {
		return nil
	}
	if j.Err() != nil {
		return schema.StorageUnavailable("this daemon stops")
	}
	return schema.StorageUnavailable(j.why())
}

// why tells in a few words what keeps this daemon from writing.
func (j *Journal) why() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.state.connected {
		return "the log of record cannot be reached"
	}
	return "this daemon has not caught up with its cluster"
}
