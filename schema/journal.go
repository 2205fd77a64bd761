package schema

import "encoding/json"

// Outcome is what became of one [Change].
type Outcome struct {
	// Results has, for each operation, the document of the task after it or the JSON
	// of a [DeleteResult].
	Results []json.RawMessage
	// Last is the Seq of the last event of the change; for one that changed nothing
	// the newest Seq there was.
	Last int64
	// Lease is what a claim or a renewal made of the lease.
	Lease *Lease
	// Err says why the change was not made: an [Error].
	Err error
}

// Bounds are the ends of a journal. Oldest is the Seq of the oldest retained
// event, Newest+1 when none is retained; Newest that of the newest event ever,
// 0 before the first.
type Bounds struct {
	Epoch          string
	Oldest, Newest int64
	NewestAt       int64 // Unix milliseconds of the newest event, 0 if it is not retained
}

// StoreStats are figures of a journal and its tasks.
type StoreStats struct {
	Tasks  map[Status]int64 // how many there are of each status, 0 included
	Events int64            // retained in the journal
	Bytes  int64            // of the database file and its write-ahead log
}
