package wire

import (
	"sync"

	"github.com/descartes-tasks/descartes/schema"
)

// batch gathers the answers of the requests that came in one array. Section 6 of the
// specification: they go back in one array, and notifications have no place in it.
type batch struct {
	mu      sync.Mutex
	answers [][]byte // one place per member to be answered, in member order
	missing int      // answers still to come
	size    int      // bytes recorded so far
}

func parseBatch(array []byte, limit int) []*Request {
	count := 0
	for range schema.Elements(array) {
		if count++; count > limit {
			return faulty(batchTooLong(limit))
		}
	}
	if count == 0 {
		return faulty(invalidRequest("a batch has at least one member"))
	}
	b := new(batch)
	requests := make([]*Request, 0, count)
	for value := range schema.Elements(array) {
		r := &Request{batch: b}
		if !r.parse(value) {
			continue
		}
		if !r.Notification() {
			r.slot = b.missing
			b.missing++
		}
		requests = append(requests, r)
	}
	b.answers = make([][]byte, b.missing)
	return requests
}

// record keeps the answer in its place and returns the whole array with the last one.
func (b *batch) record(slot int, answer []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[slot] = answer
	b.size += len(answer)
	b.missing--
	if b.missing > 0 {
		return nil
	}
	message := make([]byte, 0, b.size+len(b.answers)+1)
	separator := byte('[')
	for _, answer := range b.answers {
		message = append(message, separator)
		message = append(message, answer...)
		separator = ','
	}
	b.answers = nil
	return append(message, ']')
}
