package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/descartes-tasks/descartes/schema"
)

// Info says which daemon of which cluster this is.
func (j *Journal) Info() schema.ClusterInfo {
	return schema.ClusterInfo{Name: j.config.Name, Daemon: j.config.Daemon}
}

// Stats gives figures of the cluster as this daemon sees it. Those of the stream are
// null where it cannot be asked within a second.
func (j *Journal) Stats(ctx context.Context) (schema.ClusterStats, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _, err := j.look(ctx)
	j.mu.Lock()
	s := &j.state
	stats := schema.ClusterStats{
		ClusterInfo: j.Info(), Connected: s.connected, Current: s.follows(),
		Position: s.position, Newest: s.newest, Lag: s.newest - s.position, Unknown: j.unknown.Load(),
	}
	if err == nil {
		stats.Stream = s.stream
		stats.Newest = max(s.newest, s.stream.Last)
		stats.Lag = stats.Newest - s.position
	}
	j.mu.Unlock()
	stats.Snapshot, stats.Daemons = j.snapshots.stats(), j.daemons()
	return stats, nil
}

// streamStats tells of the stream as its leader sees it.
func streamStats(info *jetstream.StreamInfo) *schema.StreamStats {
	stats := &schema.StreamStats{
		Messages: int64(info.State.Msgs), Bytes: int64(info.State.Bytes),
		First: int64(info.State.FirstSeq), Last: int64(info.State.LastSeq), Servers: []schema.StreamServer{},
	}
	if c := info.Cluster; c != nil {
		if stats.Leader = c.Leader; c.Leader != "" {
			stats.Servers = append(stats.Servers, schema.StreamServer{Name: c.Leader, Current: true})
		}
		for _, r := range c.Replicas {
			stats.Servers = append(stats.Servers, schema.StreamServer{Name: r.Name, Current: r.Current, Offline: r.Offline, Lag: int64(r.Lag)})
		}
	}
	slices.SortFunc(stats.Servers, func(a, b schema.StreamServer) int { return cmp.Compare(a.Name, b.Name) })
	return stats
}
