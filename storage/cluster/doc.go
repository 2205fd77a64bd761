// Package cluster lets daemons on several machines share one journal. The log of
// record is a NATS JetStream stream; each daemon applies it, in order, to a SQLite file
// of its own, which package storage keeps.
//
// # What it guarantees
//
// A write is answered once the stream has acknowledged it, which a majority of the
// servers that hold the stream have, and once this daemon has applied it. Every daemon
// decides every change by the same rules on the same rows, so all have the same journal:
// the same events with the same seqs, byte for byte. A message is applied exactly once,
// whatever dies when: its position is written in the transaction of its rows.
//
// A write whose message may or may not be in the stream is sent again with the same id,
// which the stream knows, until it is known to be there. What is not found out in time
// is answered with [schema.CodeOutcomeUnknown]; every other error means that the write
// was not made and will not be.
//
// Reads are from the own file. [Journal.Fresh] waits until it has everything that was
// acknowledged anywhere before.
//
// # What it watches
//
// A daemon whose journal differs from that of most others, who meets a message that its
// version does not know, or whose position the stream does not reach back to any more,
// stops: [Journal.Done] and [Journal.Err]. Beginning again with a snapshot is what
// [Open] does then, by itself or if it is told to.
package cluster
