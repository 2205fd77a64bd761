package emitter

import (
	"strconv"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// Delivery is one event as one subscription gets it.
type Delivery struct {
	item        *item
	epoch       string
	cursor      int64 // everything up to here has been delivered once this one is
	coalesced   int
	left, own   bool
	includeTask bool
	announced   time.Time // zero if the event was held back or is of the past
}

// Type gives the change type of the event.
func (d *Delivery) Type() schema.ChangeType { return d.item.event.ChangeType }

// Append appends the JSON of the event. What it shares with other subscriptions
// is encoded once.
func (d *Delivery) Append(dst []byte) []byte {
	switch d.item.event.ChangeType {
	case schema.Snapshot, schema.Bookmark, schema.Resync:
		return d.item.event.AppendSpecial(dst, d.includeTask)
	}
	if d.item.single {
		own := d.item.event
		own.Cursor = schema.Cursor{Epoch: d.epoch, Seq: d.cursor}.String()
		own.Coalesced, own.Left, own.Own = d.coalesced, d.left, d.own
		return own.AppendWhole(dst, d.includeTask)
	}
	cursor, body := d.item.encoded(d.epoch, d.includeTask)
	if d.cursor != d.item.event.Seq {
		cursor = schema.Cursor{Epoch: d.epoch, Seq: d.cursor}.String()
	}
	own := schema.Event{Seq: d.item.event.Seq, Cursor: cursor, Coalesced: d.coalesced, Left: d.left, Own: d.own}
	return own.AppendJSON(dst, body)
}

// Batch is several events in one notification.
type Batch struct {
	ID        string // unique within the subscription
	Timestamp int64  // Unix milliseconds when it was sent
	Events    []Delivery
}

// batcher gathers deliveries for a subscription that wants them in batches.
type batcher struct {
	spec    BatchSpec
	waiting []Delivery
	bytes   int
	by      time.Time // when the first of them must be sent
	count   int64     // batches made
}

// maxBatchBytes ends a batch early: one message stays far below what a client
// may refuse to read.
const maxBatchBytes = 1 << 20

// full tells whether the next batch need not wait.
func (b *batcher) full() bool {
	return b.spec.Max > 0 && len(b.waiting) >= b.spec.Max || b.bytes >= maxBatchBytes
}

// due tells whether the first waiting event has waited long enough.
func (b *batcher) due(now time.Time) bool { return len(b.waiting) > 0 && !now.Before(b.by) }

func (b *batcher) add(now time.Time, d Delivery) {
	if len(b.waiting) == 0 {
		b.by = now.Add(b.spec.Wait)
	}
	b.waiting = append(b.waiting, d)
	b.bytes += d.item.size()
}

// take gives the next batch: as many events as wait and fit.
func (b *batcher) take(timestamp int64) Batch {
	n, bytes := 0, 0
	for n < len(b.waiting) && n < b.spec.Max && (n == 0 || bytes < maxBatchBytes) {
		bytes += b.waiting[n].item.size()
		n++
	}
	b.count++
	batch := Batch{ID: "b" + strconv.FormatInt(b.count, 10), Timestamp: timestamp, Events: b.waiting[:n:n]}
	if b.waiting, b.bytes = b.waiting[n:], b.bytes-bytes; len(b.waiting) == 0 {
		b.waiting = nil
	}
	return batch
}
