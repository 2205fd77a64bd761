// Package storage keeps tasks and their journal in one SQLite file. Its [DB]
// satisfies emitter.Journal and answers the queries of rpc; it imports neither.
//
// # Writes
//
// One connection writes, under one mutex: groups of changes ([DB.Apply]), and in
// between small steps of housekeeping (pruning the journal, feeding the full-text
// index, noticing other processes' commits). A group is one BEGIN IMMEDIATE …
// COMMIT with synchronous=FULL: when Apply returns, it is on the disk. Each change
// is a SAVEPOINT in it and fails alone.
//
// # Reads
//
// Queries run on a few read-only connections, each in a short transaction of its
// own. Nothing is kept open or in memory between two calls.
//
// # Other processes
//
// Any process may write the table tasks; triggers in the file journal what it
// does, in its own transaction. [DB.Moved] tells within 50 ms that somebody has.
// Several DBs may have one file open.
//
// # Clusters
//
// A file can follow the log of record of a cluster ([Enter], [Config].Cluster). Then the
// messages of that log are its only writes ([DB.Follow]), and give the same rows on every
// machine: whatever decides an outcome is in the changes or in the rows, never in what
// differs between machines (clocks, what was pruned or indexed, errors of a disk). They
// need no sync of their own.
package storage
