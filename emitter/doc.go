// Package emitter is the one door for writes and the source of every event.
//
// # Writes
//
// [Emitter.Submit] takes a schema.Change, makes it complete (id, time) and puts it
// in a queue. One goroutine takes what waits, up to 256 changes, hands it to the
// [Journal] as one commit, announces the events and answers the callers, in this
// order. There is no timer: while one commit is on its way to the disk the next
// group gathers. An answer therefore means: durable, and visible to every
// subscription that is up to date.
//
// # Events
//
// The journal is the queue. A [Subscription] is a cursor over it: it takes what is
// after its cursor from the tail (the newest events, in memory, each encoded once)
// or, when it is further behind, from the journal in pages; filters, folds and
// sends; and sleeps until more is announced. Live events, replay, a slow reader
// and another process's writes are this one path. A reader that does not read
// stays where it is: it costs no memory that grows and delays nobody.
//
// What a subscriber can rely on, in etcd's words: its events are ordered (by Seq,
// and per task always), unique (within one subscription), reliable (none is
// missed), atomic (tx_last tells where a transaction ends), resumable (from any
// cursor that it was given) and bookmarkable (a cursor comes at least every 15 s).
// A place in the journal that was pruned away is told as a resync, never skipped.
//
// # Ownership
//
// Every goroutine belongs to the Emitter or to one Subscription, whose Close and
// Stop wait for it. No lock is held while a peer is written to.
package emitter
