package emitter

import (
	"slices"

	"github.com/descartes-tasks/descartes/schema"
)

// What waits while a commit is under way is the next one: a group of changes.

// wokenGroup gathers claims that were woken, then late ones, and what waits behind them.
func (e *Emitter) wokenGroup() []*Write {
	group := take(nil, &e.woken)
	return e.fill(take(group, &e.late))
}

// take moves writes from the front of a list to a group, as many as it has room for.
func take(group []*Write, from *[]*Write) []*Write {
	n := min(len(*from), maxGroup-len(group))
	group = append(group, (*from)[:n]...)
	*from = slices.Delete(*from, 0, n)
	return group
}

// fill adds to a group what waits behind it. A claim that may wait does not go with what
// may make a task ready for somebody who came before it: it is late, and is tried when
// those have been woken.
func (e *Emitter) fill(group []*Write) []*Write {
	waits, turns := e.waiting.Len() > 0, false
	add := func(w *Write) {
		if w.patient && waits && turns {
			e.late = append(e.late, w)
			return
		}
		group = append(group, w)
		waits, turns = waits || w.patient, turns || w.change.Operations[0].Op != schema.OpClaim
	}
	first := group
	group = make([]*Write, 0, min(maxGroup, len(first)+len(e.queue)))
	for _, w := range first {
		add(w)
	}
	for len(group) < maxGroup && len(e.late) < maxGroup {
		select {
		case w, open := <-e.queue:
			if !open {
				return group
			}
			add(w)
		default:
			return group
		}
	}
	return group
}
