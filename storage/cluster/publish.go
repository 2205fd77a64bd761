package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/schema"
)

const (
	// writePatience is how long a write waits for the log of record. A server that dies
	// is replaced by an election, which takes some seconds.
	writePatience = 15 * time.Second
	// connectPatience is how long a write waits for a connection that is lost: nothing
	// was sent yet, so that the answer need not be ambiguous.
	connectPatience = 5 * time.Second
	// attempt is how long an acknowledgement may take before the message is sent again.
	attempt = 2 * time.Second
	// pause is the time between two attempts where nobody listens.
	pause = 50 * time.Millisecond
	// remembersIDs is how long the log knows the ids of messages.
	remembersIDs = 2 * time.Minute
)

// encodeAll encodes changes as the log has them. One that no message can hold is
// refused; refused then has its error, in the place of the change.
func encodeAll(changes []schema.Change, limit int) (encoded []json.RawMessage, refused []schema.Outcome, err error) {
	refused = make([]schema.Outcome, len(changes))
	for i := range changes {
		data, err := schema.Encode(&changes[i])
		if err != nil {
			return nil, nil, err
		}
		if len(data)+len(fence) > limit {
			refused[i].Err = schema.LimitExceeded("message of the cluster", int64(limit))
			continue
		}
		encoded = append(encoded, data)
	}
	return encoded, refused, nil
}

// publish puts one message into the log and waits until this daemon has applied it. The
// error is a schema.Error.
func (j *Journal) publish(ctx context.Context, data []byte) ([]schema.Outcome, []schema.Event, error) {
	id := uuid.NewString()
	applied := j.expect(id)
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		_, err := j.send(ctx, id, data)
		sent <- err
	}()
	for {
		select {
		case <-applied.done:
			return applied.outcomes, applied.events, nil
		case err := <-sent:
			if err != nil {
				return j.giveUp(id, applied, err)
			}
			sent = nil // it is in the log: this daemon will come to it
		case <-ctx.Done():
			return j.giveUp(id, applied, outcome(sent))
		case <-j.stopped.Done():
			cancel()
			return j.giveUp(id, applied, outcome(sent))
		}
	}
}

// outcome gives how sending ended, where that is not known yet.
func outcome(sent <-chan error) error {
	if sent == nil {
		return errUncertain
	}
	return cmp.Or(<-sent, errUncertain)
}

// giveUp gives the answer for a message that was not seen in time, or what became of it
// if it was at the last moment. Whoever applies one that was given up tells of it as of
// one of others.
func (j *Journal) giveUp(id string, p *pending, err error) ([]schema.Outcome, []schema.Event, error) {
	if !j.forget(id) {
		<-p.done
		return p.outcomes, p.events, nil
	}
	switch coded, ok := errors.AsType[*schema.Error](err); {
	case ok:
		return nil, nil, coded
	case errors.Is(err, errUncertain):
		j.unknown.Add(1)
		return nil, nil, schema.OutcomeUnknown()
	}
	return nil, nil, schema.StorageUnavailable("the log of record cannot be reached")
}

// errUncertain says that a message may be in the log.
var errUncertain = errors.New("not acknowledged")

// send puts a message into the stream and gives its position. An error other than
// errUncertain means that it is not there and will not come.
func (j *Journal) send(ctx context.Context, id string, data []byte) (position int64, err error) {
	uncertain, missed, began, first := false, errLost, time.Now(), j.config.Now()
	for {
		if uncertain && isLong(first, j.config.Now()) {
			return 0, errUncertain
		}
		if err := j.connected(ctx); err != nil {
			if uncertain {
				return 0, errUncertain
			}
			return 0, err
		}
		ack, err := j.sendOnce(ctx, id, data)
		switch {
		case err == nil:
			return int64(ack.Sequence), nil
		case errors.Is(err, nats.ErrMaxPayload) && !uncertain:
			return 0, schema.LimitExceeded("message of the cluster", j.conn.MaxPayload())
		case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrReconnectBufExceeded):
			// Nobody has it.
		case isFull(err):
			missed = schema.StorageUnavailable("NATS has no more room for the log of record (max_file_store, or its disk)")
		default:
			uncertain = true
		}
		if time.Since(began) > elsewhereAfter {
			j.elsewhere()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			if uncertain {
				return 0, errUncertain
			}
			return 0, missed
		}
	}
}

// isLong tells that the log may have forgotten the id of a message that was sent first at
// some time: to send it again could make it twice. The clock of the machine tells, since
// what else measures time stands still while a machine is suspended.
func isLong(first, now time.Time) bool { return now.Round(0).Sub(first.Round(0)) > remembersIDs/2 }

// isFull tells whether the leader has refused a message before anybody had it, because
// there is no room. It gives the lead away then; another one may have room.
func isFull(err error) bool {
	const accountResourcesExceeded, insufficientResources = 10002, 10023
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (refused.ErrorCode == insufficientResources || refused.ErrorCode == accountResourcesExceeded)
}

// sendOnce sends a message and waits for its acknowledgement.
func (j *Journal) sendOnce(ctx context.Context, id string, data []byte) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	return j.js.PublishMsg(ctx, &nats.Msg{Subject: j.config.subject(), Data: data},
		jetstream.WithMsgID(id), jetstream.WithExpectStream(j.config.Name), jetstream.WithRetryAttempts(0))
}

// connected waits for the connection, connectPatience from when it was lost.
func (j *Journal) connected(ctx context.Context) error {
	j.mu.Lock()
	connected, deadline := j.state.connected, j.state.lostAt.Add(connectPatience)
	j.mu.Unlock()
	if connected {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if !j.await(ctx, func(s *state) bool { return s.connected }) {
		return errLost
	}
	return nil
}
