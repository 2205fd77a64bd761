package emitter

import (
	"errors"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// snapshot delivers every matching task as it was at the place of the
// subscription. Between its pages it holds nothing: no transaction, no copy.
func (s *Subscription) snapshot() error {
	for last := ""; ; {
		next, err := s.presentPage(last)
		switch {
		case errors.Is(err, schema.ErrCompacted):
			if err := s.tellResync(); err != nil {
				return err
			}
			last = ""
			continue
		case errors.Is(err, errUnreadable):
			if err := s.wait(false, nil, time.Now().Add(readRetry)); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case next == "":
			return nil
		}
		last = next
		if err := s.wait(true, nil, time.Time{}); err != nil {
			return err
		}
	}
}

// presentPage delivers the tasks of one page, in its turn, and gives the id of the
// last one, "" when there are no more.
func (s *Subscription) presentPage(after string) (last string, err error) {
	if err := s.takeTurn(); err != nil {
		return "", err
	}
	defer s.giveTurn()
	tasks, err := s.emitter.journal.TasksAt(s.ctx, s.place.Load(), after, page)
	if err != nil && !errors.Is(err, schema.ErrCompacted) {
		return "", errUnreadable
	}
	if err != nil {
		return "", err
	}
	for _, document := range tasks {
		task, err := schema.ParseTask(document)
		if err != nil {
			return "", err
		}
		last = task.ID
		s.present(task, document)
	}
	return last, s.send(len(tasks) == 0)
}

// present puts one task of a snapshot into what is sent next, if it matches.
func (s *Subscription) present(task *schema.Task, document []byte) {
	if !s.spec.Filter.IsZero() && !s.spec.Filter.Match(task) {
		return
	}
	s.queue(time.Now(), s.special(schema.Event{
		ChangeType: schema.Snapshot, Seq: task.Version, TaskID: task.ID, Task: document, Timestamp: task.UpdatedAt,
	}))
}

// resync tells the subscriber that events were pruned before it got them. One
// that began with a snapshot gets a new one; another one ends.
func (s *Subscription) resync() error {
	if err := s.tellResync(); err != nil {
		return err
	}
	if !s.spec.Snapshot {
		return ErrResynced
	}
	return s.snapshot()
}

// tellResync sends what is still held, then the resync, and moves the
// subscription to the newest place.
func (s *Subscription) tellResync() error {
	if _, err := s.flush(); err != nil {
		return err
	}
	s.fold = newFold(s.spec.Debounce, 0)
	s.past = s.emitter.tail.end()
	s.place.Store(s.past)
	s.live = false
	return s.sink.Send([]Delivery{s.special(schema.Event{ChangeType: schema.Resync, Reason: schema.CursorCompacted})})
}
