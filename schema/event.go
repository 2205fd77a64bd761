package schema

import (
	"encoding/json"
	"strconv"
	"strings"
)

// ChangeType is what an [Event] tells of its task.
type ChangeType string

// The change types. The journal holds the first three; the others are made for
// one subscription.
const (
	Created  ChangeType = "created"
	Updated  ChangeType = "updated"
	Deleted  ChangeType = "deleted"
	Snapshot ChangeType = "snapshot" // a task that was already there
	Bookmark ChangeType = "bookmark" // everything up to the cursor has been delivered
	Resync   ChangeType = "resync"   // the journal behind the subscription's place was pruned
)

// Event is what happened to one task: an entry of the journal, and what a
// subscriber gets of it. Events are shared between subscriptions: whoever fills
// in Cursor, Coalesced, Left or Own does so in a copy.
type Event struct {
	Seq            int64           `json:"seq,omitempty"`    // place in the journal
	Cursor         string          `json:"cursor,omitempty"` // resume point of this subscription
	ChangeType     ChangeType      `json:"change_type"`
	TaskID         string          `json:"task_id,omitempty"`
	Task           json.RawMessage `json:"task,omitempty"` // state after the change; deleted: the last one
	PreviousStatus Status          `json:"previous_status,omitempty"`
	NewStatus      Status          `json:"new_status,omitempty"`
	Previous       json.RawMessage `json:"previous,omitempty"`  // updated only: old values of what changed
	Coalesced      int             `json:"coalesced,omitempty"` // how many changes this event stands for
	Left           bool            `json:"left,omitempty"`      // the filter matched before and does not match now
	Own            bool            `json:"own,omitempty"`       // made by this very connection
	Origin         Origin          `json:"origin,omitempty"`
	Actor          string          `json:"actor,omitempty"`
	TxLast         int64           `json:"tx_last,omitempty"` // task.apply only: Seq of its last change
	Timestamp      int64           `json:"timestamp"`         // Unix milliseconds
	Live           bool            `json:"live,omitempty"`    // bookmark only: the past is over
	Reason         string          `json:"reason,omitempty"`  // resync only

	// What the journal knows besides, and the wire does not show.

	// Source is the connection that made the change, 0 for none.
	Source int64 `json:"-"`
	// PreviousVersion and PreviousUpdatedAt complete Previous: with them the state
	// before the change can be restored exactly. Updated only.
	PreviousVersion   int64 `json:"-"`
	PreviousUpdatedAt int64 `json:"-"`
}

// AppendBody appends the members of a journaled event that are the same for
// every subscriber, with or without the task, each followed by a comma. A caller
// encodes them once and shares them.
func (e *Event) AppendBody(dst []byte, includeTask bool) []byte {
	dst = append(append(append(dst, `"change_type":"`...), e.ChangeType...), `","task_id":`...)
	dst = append(AppendString(dst, e.TaskID), ',')
	if includeTask {
		dst = append(append(append(dst, `"task":`...), e.Task...), ',')
	}
	dst = appendStatus(append(dst, `"previous_status":`...), e.PreviousStatus)
	dst = appendStatus(append(dst, `,"new_status":`...), e.NewStatus)
	if e.ChangeType == Updated {
		dst = append(append(dst, `,"previous":`...), e.Previous...)
	}
	dst = append(append(append(dst, `,"origin":"`...), e.Origin...), `","actor":`...)
	if e.Actor == "" {
		dst = append(dst, "null"...)
	} else {
		dst = AppendString(dst, e.Actor)
	}
	if e.TxLast != 0 {
		dst = appendInt(append(dst, `,"tx_last":`...), e.TxLast)
	}
	dst = appendInt(append(dst, `,"timestamp":`...), e.Timestamp)
	return append(dst, ',')
}

// AppendJSON appends a journaled event as one subscriber gets it: body comes from
// AppendBody, the cursor and the rest from e.
func (e *Event) AppendJSON(dst, body []byte) []byte {
	return e.appendTail(append(e.appendHead(dst), body...))
}

// AppendWhole does the work of AppendBody and AppendJSON at once, for an event that
// only one subscriber gets.
func (e *Event) AppendWhole(dst []byte, includeTask bool) []byte {
	return e.appendTail(e.AppendBody(e.appendHead(dst), includeTask))
}

func (e *Event) appendHead(dst []byte) []byte {
	dst = appendInt(append(dst, `{"seq":`...), e.Seq)
	return append(append(append(dst, `,"cursor":"`...), e.Cursor...), `",`...)
}

func (e *Event) appendTail(dst []byte) []byte {
	dst = appendInt(append(dst, `"coalesced":`...), int64(e.Coalesced))
	if e.Left {
		dst = append(dst, `,"left":true`...)
	}
	if e.Own {
		dst = append(dst, `,"own":true`...)
	}
	return append(dst, '}')
}

// AppendSpecial appends a snapshot, bookmark or resync event.
func (e *Event) AppendSpecial(dst []byte, includeTask bool) []byte {
	dst = append(append(append(dst, `{"change_type":"`...), e.ChangeType...), '"')
	switch e.ChangeType {
	case Snapshot:
		dst = appendInt(append(dst, `,"seq":`...), e.Seq)
		dst = AppendString(append(dst, `,"task_id":`...), e.TaskID)
		if includeTask {
			dst = append(append(dst, `,"task":`...), e.Task...)
		}
	case Bookmark:
		dst = append(append(append(dst, `,"cursor":"`...), e.Cursor...), '"')
		if e.Live {
			dst = append(dst, `,"live":true`...)
		}
	case Resync:
		dst = AppendString(append(dst, `,"reason":`...), e.Reason)
	}
	return append(appendInt(append(dst, `,"timestamp":`...), e.Timestamp), '}')
}

func appendStatus(dst []byte, s Status) []byte {
	if s == None {
		return append(dst, "null"...)
	}
	return append(append(append(dst, '"'), s...), '"')
}

// Cursor is a place in a journal: everything up to Seq is behind it. The epoch
// tells one journal from another, and a restored copy from its original. On the
// wire it is text that is opaque to clients.
type Cursor struct {
	Epoch string // letters and digits
	Seq   int64
}

// String gives the text of c.
func (c Cursor) String() string { return string(c.Append(make([]byte, 0, 48))) }

// Append appends the text of c.
func (c Cursor) Append(dst []byte) []byte {
	return strconv.AppendInt(append(append(dst, c.Epoch...), '-'), c.Seq, 10)
}

// ParseCursor reads the text of a cursor. The error, an [Error] with code
// [CodeInvalidParams], names field.
func ParseCursor(field, text string) (Cursor, error) {
	epoch, digits, found := strings.Cut(text, "-")
	seq, err := strconv.ParseInt(digits, 10, 64)
	if !found || epoch == "" || strings.ContainsFunc(epoch, notInWord) || err != nil || seq < 0 || seq > MaxSeq || strconv.FormatInt(seq, 10) != digits {
		return Cursor{}, Invalid(field, "must be a cursor that this server gave")
	}
	return Cursor{Epoch: epoch, Seq: seq}, nil
}
