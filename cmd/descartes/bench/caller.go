package bench

import "time"

// caller calls a method in a closed loop: over one connection, so many calls at a time.
type caller struct {
	*conn
	load   *load
	method string
	params func(dst []byte) []byte // appends those of the next call

	sent     []time.Time // of the calls in flight, by their id
	waiting  int         // how many those are
	out      []byte      // not yet sent
	answered int64       // while measuring
	took     latencies   // of those
}

// callers lets n connections call, each with so many calls in flight, from now on.
func (l *load) callers(n, inFlight int, method string, params func(caller int) func(dst []byte) []byte) ([]*caller, error) {
	all := make([]*caller, n)
	for i := range all {
		c, err := l.dial()
		if err != nil {
			return nil, err
		}
		all[i] = &caller{
			conn: c, load: l, method: method, params: params(i), sent: make([]time.Time, max(1, inFlight)), took: newLatencies(),
		}
		c.on = all[i].message
	}
	for _, c := range all {
		l.call(c.run)
	}
	return all, nil
}

// run calls until the load is over.
func (c *caller) run() error {
	for id := range c.sent {
		c.call(id)
	}
	for c.waiting > 0 {
		if err := c.send(c.out); err != nil {
			return err
		}
		c.out = c.out[:0]
		for len(c.out) == 0 && c.waiting > 0 {
			if err := c.receive(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *caller) call(id int) {
	c.out = appendRequest(c.out, id, c.method, c.params)
	c.sent[id] = time.Now()
	c.waiting++
}

// message takes an answer and makes the next call.
func (c *caller) message(head []byte, _ int) error {
	id, err := answerOf(head)
	if err != nil || id < 0 || id >= len(c.sent) {
		return err
	}
	c.waiting--
	switch c.load.phase.Load() {
	case over:
		return nil
	case measuring:
		c.answered++
		c.took.record(time.Since(c.sent[id]))
	}
	c.call(id)
	return nil
}

// sum gives how many calls were answered, and how long they took.
func sum(callers []*caller) (answered int64, took latencies) {
	took = newLatencies()
	for _, c := range callers {
		answered += c.answered
		took.Merge(c.took.Histogram)
	}
	return answered, took
}
