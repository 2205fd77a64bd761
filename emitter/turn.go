package emitter

// takeTurn waits until no other subscription of the peer has events in hand. What
// a peer that does not read costs is then one page, however often it subscribes.
func (s *Subscription) takeTurn() error {
	if s.spec.Turn == nil {
		return nil
	}
	for {
		select {
		case s.spec.Turn <- struct{}{}:
			return nil
		case <-s.ctx.Done():
			return errStopped
		case sent := <-s.flushes:
			if err := s.answerFlush(sent); err != nil {
				return err
			}
		}
	}
}

func (s *Subscription) giveTurn() {
	if s.spec.Turn != nil {
		<-s.spec.Turn
	}
}
