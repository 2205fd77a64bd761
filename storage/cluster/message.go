package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/descartes-tasks/descartes/schema"
)

// version is that of the messages that this binary writes, and the newest that it
// reads. It grows with whatever an older binary could not apply the same way: a new
// operation, a new member, a changed rule. A release that writes a new version follows
// one that reads it.
const version = 1

// message is what one message of the log says: changes, in their order, which are
// applied in one transaction. One without changes is a fence.
//
//	{"v":1,"changes":[{"at":1767225600000,"origin":"rpc","source":12,"operations":[{"op":"create", …}]}]}
type message struct {
	Version int             `json:"v"`
	Changes []schema.Change `json:"changes"`
}

// fence is the message that changes nothing: who meets its own has met everything
// before it.
var fence = []byte(`{"v":1,"changes":[]}`)

// unknownMessage says that this binary cannot apply a message, and must not go on
// without it.
type unknownMessage struct {
	position int64
	err      error
}

func (e *unknownMessage) Error() string {
	return fmt.Sprintf("message %d of the log says something that this version of descartes does not know (%v): install a newer one", e.position, e.err)
}

func (e *unknownMessage) Unwrap() error { return e.err }

// encode gives a message of changes that are encoded already.
func encode(changes []json.RawMessage) []byte {
	data := fmt.Appendf(nil, `{"v":%d,"changes":[`, version)
	for i, change := range changes {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, change...)
	}
	return append(data, "]}"...)
}

// decode reads a message strictly: a member or an operation that is not known could
// change what the message does.
func decode(position int64, data []byte) (*message, error) {
	if !utf8.Valid(data) {
		return nil, &unknownMessage{position, errors.New("it is no valid UTF-8")}
	}
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, &unknownMessage{position, err}
	}
	if head.Version != version {
		return nil, &unknownMessage{position, fmt.Errorf("it has version %d, and this one knows %d", head.Version, version)}
	}
	m := new(message)
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		return nil, &unknownMessage{position, err}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &unknownMessage{position, errors.New("something follows it")}
	}
	for i := range m.Changes {
		if err := check(&m.Changes[i]); err != nil {
			return nil, &unknownMessage{position, err}
		}
	}
	return m, nil
}

// check refuses a change that is not complete: each daemon would have to make up
// something of its own.
func check(c *schema.Change) error {
	if c.Origin != schema.OriginRPC && c.Origin != schema.OriginLease {
		return fmt.Errorf("a change of the origin %q", c.Origin)
	}
	if len(c.Operations) == 0 {
		return errors.New("a change without an operation")
	}
	for i := range c.Operations {
		o := &c.Operations[i]
		switch {
		case o.Create != nil && o.Create.ID == "":
			return errors.New("a task without an id")
		case o.Claim != nil && o.Claim.LeaseToken == "":
			return errors.New("a claim without a token")
		}
		if err := o.Normalize(); err != nil {
			return err
		}
	}
	return nil
}

// pack distributes encoded changes over as few messages as hold them in their order,
// none of more than limit bytes. It gives how many changes each message has. A change
// that is too large has a message of its own.
func pack(changes []json.RawMessage, limit int) (sizes []int) {
	const frame = len(`{"v":1,"changes":[]}`) + 8
	count, size := 0, frame
	for _, change := range changes {
		if count > 0 && size+len(change)+1 > limit {
			sizes = append(sizes, count)
			count, size = 0, frame
		}
		count++
		size += len(change) + 1
	}
	return append(sizes, count)
}
