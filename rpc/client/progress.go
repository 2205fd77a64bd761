package client

import "github.com/descartes-tasks/descartes/schema"

// maxSeen bounds what a subscription remembers to recognize events that come again.
// It is reached only if that many tasks change while one change is held back.
const maxSeen = 1 << 16

// progress is what a subscription remembers to continue on another connection.
//
// A cursor never passes a change that the daemon holds back in a debounce window,
// but events of other tasks go out meanwhile. Those come again after a resume: they
// are above the cursor. So for each task the newest delivered Seq above the cursor
// is remembered; events of a task always come in order, so whatever is not above
// that was delivered. Without debouncing there are none.
type progress struct {
	cursor  string           // "": none yet, or it is worth nothing any more
	safe    int64            // its Seq
	partial bool             // tasks of a snapshot were delivered that has not ended
	seen    map[string]int64 // task -> Seq, some of them below safe
	sweepAt int              // size of seen at which those are taken out
}

// pass takes the next event and tells whether it is new.
func (p *progress) pass(e *schema.Event) bool {
	isNew := true
	switch e.ChangeType {
	case schema.Snapshot:
		p.partial = true
	case schema.Resync:
		*p = progress{}
	case schema.Created, schema.Updated, schema.Deleted:
		isNew = e.Seq > p.seen[e.TaskID]
	}
	if e.Cursor != "" {
		p.cursor, p.partial = e.Cursor, false
		if cursor, err := schema.ParseCursor("cursor", e.Cursor); err == nil {
			p.safe = cursor.Seq
		}
	}
	if isNew && e.Cursor != "" && e.Seq > p.safe {
		p.remember(e)
	}
	return isNew
}

func (p *progress) remember(e *schema.Event) {
	if p.seen == nil {
		p.seen = make(map[string]int64)
	}
	p.seen[e.TaskID] = e.Seq
	if len(p.seen) <= max(p.sweepAt, 64) {
		return
	}
	for id, seq := range p.seen {
		if seq <= p.safe {
			delete(p.seen, id)
		}
	}
	if len(p.seen) > maxSeen {
		clear(p.seen)
	}
	p.sweepAt = 2 * len(p.seen)
}
