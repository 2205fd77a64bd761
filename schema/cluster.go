package schema

// ClusterInfo says which daemon of which cluster a server is. It is a member of
// server.info where the daemon is one of several.
type ClusterInfo struct {
	Name   string `json:"name"`   // of the cluster: its stream has the same
	Daemon string `json:"daemon"` // this one's
}

// ClusterStats are figures of a cluster as one of its daemons sees it. They are a
// member of server.stats where there is one.
type ClusterStats struct {
	ClusterInfo
	Connected bool            `json:"connected"` // this daemon reaches the log of record
	Current   bool            `json:"current"`   // it has caught up since it started, and is connected
	Position  int64           `json:"position"`  // of the last message of the log that it has applied
	Newest    int64           `json:"newest"`    // position of the last message that it knows of
	Lag       int64           `json:"lag"`       // messages between the two
	Unknown   int64           `json:"unknown"`   // writes answered with outcome_unknown since the start
	Stream    *StreamStats    `json:"stream"`    // null while the log of record cannot be asked
	Snapshot  *SnapshotStats  `json:"snapshot"`  // the newest; null while there is none
	Daemons   []ClusterDaemon `json:"daemons"`   // all that were heard of, this one too, by name
}

// ClusterDaemon is what a daemon last told the others of itself.
type ClusterDaemon struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Position int64  `json:"position"` // of the last message that it had applied
	HeardAt  int64  `json:"heard_at"` // Unix milliseconds, by the clock of who tells
	Current  bool   `json:"current"`
}

// StreamStats are figures of the stream that is the log of record.
type StreamStats struct {
	Leader   string         `json:"leader"`  // the server that orders the messages; "" while there is none
	Servers  []StreamServer `json:"servers"` // that hold a copy, by name
	Messages int64          `json:"messages"`
	Bytes    int64          `json:"bytes"`
	First    int64          `json:"first"` // position of the oldest message
	Last     int64          `json:"last"`
}

// StreamServer is one server with a copy of the stream.
type StreamServer struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	Offline bool   `json:"offline"`
	Lag     int64  `json:"lag"` // messages that it is behind the leader
}

// SnapshotStats tell of the snapshot that a new daemon begins with.
type SnapshotStats struct {
	Position int64 `json:"position"` // of the last message that is in it
	At       int64 `json:"at"`       // Unix milliseconds
	Bytes    int64 `json:"bytes"`
}
