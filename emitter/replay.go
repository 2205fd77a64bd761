package emitter

import (
	"errors"

	"github.com/descartes-tasks/descartes/schema"
)

// turnPages is how many pages a subscription that is behind reads from the journal
// before another one of the same peer has its turn.
const turnPages = 8

// pageRead is a page of events that was read back from the journal, or why it could
// not be.
type pageRead struct {
	items []*item
	err   error
}

// replay delivers from the journal what the tail has no more, up to the place last.
// While a page is written the next one is read: a peer that does not read costs these
// two. When the journal cannot be read, windows end all the same.
func (s *Subscription) replay(last int64) error {
	page := s.read(s.place.Load(), last)
	for n := 1; ; n++ {
		if errors.Is(page.err, schema.ErrCompacted) {
			return page.err
		}
		ahead := s.readAhead(page, last, n == turnPages)
		err := s.deliver(page.items)
		if err == nil && page.err != nil {
			err = errUnreadable
		}
		if ahead == nil {
			return err
		}
		if page = <-ahead; err != nil {
			return err
		}
	}
}

// readAhead begins to read what follows a page. It gives nil if that is the last one
// of this turn.
func (s *Subscription) readAhead(page pageRead, last int64, turnIsOver bool) <-chan pageRead {
	if turnIsOver || len(page.items) == 0 || s.ctx.Err() != nil {
		return nil
	}
	end := page.items[len(page.items)-1].event.Seq
	if end >= last {
		return nil
	}
	ahead := make(chan pageRead, 1)
	go func() { ahead <- s.read(end, last) }()
	return ahead
}

// read reads a page of the events after a place.
func (s *Subscription) read(after, last int64) pageRead {
	events, err := s.emitter.journal.Events(s.ctx, after, last, page)
	if err != nil {
		return pageRead{err: err}
	}
	items := make([]*item, len(events))
	for i := range events {
		items[i] = &item{event: events[i], single: true}
	}
	return pageRead{items: items}
}
