package emitter

import (
	"sync"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// bookmark tells how far the subscription is, after everything before it.
func (s *Subscription) bookmark(live bool) error {
	if err := s.send(true); err != nil {
		return err
	}
	s.live = s.live || live
	s.sentAt = time.Now()
	s.quiet = true
	b := bookmarks.Get().(*bookmark)
	defer bookmarks.Put(b)
	b.item.event = schema.Event{
		ChangeType: schema.Bookmark, Live: live, Timestamp: s.emitter.config.Now().UnixMilli(),
		Cursor: schema.Cursor{Epoch: s.emitter.epoch, Seq: s.cursor()}.String(),
	}
	b.deliveries[0] = Delivery{item: &b.item}
	return s.sink.Send(b.deliveries[:])
}

// bookmarks are used again: thousands of idle subscriptions would leave behind more of
// them than they are themselves.
var bookmarks = sync.Pool{New: func() any { return new(bookmark) }}

type bookmark struct {
	item       item
	deliveries [1]Delivery
}
