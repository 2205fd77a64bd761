package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// Cluster is what a server asks of the log of record that its daemon shares with
// others. Its methods are safe for concurrent use.
type Cluster interface {
	// Fresh waits until this daemon's Store has every change that any daemon
	// acknowledged before the call. The error is that of ctx at the latest.
	Fresh(ctx context.Context) error
	// Info tells which daemon of which cluster this is.
	Info() schema.ClusterInfo
	// Stats gives figures. What cannot be asked now is absent in them and no error.
	Stats(ctx context.Context) (schema.ClusterStats, error)
	// Behind tells why this daemon may not have what others have acknowledged, nil if it
	// keeps up. Its text is told to anybody who asks whether the daemon is ready.
	Behind() error
}

// clusterDurability is told by server.info where there is a cluster.
const clusterDurability = "every write is acknowledged by a majority of the servers of the log of record before it is answered; when they sync it to disk is their setting"

const (
	freshPatience = 5 * time.Second // of a read that is to be fresh
	statsPatience = 2 * time.Second // of figures that the log of record is asked for
)

// fresh waits for what was acknowledged anywhere, if a read wants that. A single daemon
// has it.
func (s *session) fresh(wants *bool) error {
	cluster := s.server.config.Cluster
	if cluster == nil || wants == nil || !*wants {
		return nil
	}
	return s.await(func(ctx context.Context) error {
		asking, cancel := context.WithTimeout(ctx, freshPatience)
		defer cancel()
		err := cluster.Fresh(asking)
		if _, coded := errorOf(err); err == nil || coded {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w (%w)", schema.NotFresh(), err)
	})
}

// resume calls what places a cursor. One that another daemon gave may be ahead of this
// one. Then the log of record is asked first: while this daemon may lack something the
// cursor may be good, and the answer is one that may be better later. When it has
// everything, what it has is announced soon, or never.
func (s *session) resume(since *string, place func(ctx context.Context) error) error {
	if s.server.config.Cluster == nil || since == nil || !s.isAhead(*since) {
		return place(s.ctx)
	}
	if s.fresh(new(true)) != nil {
		return schema.NotCaughtUp()
	}
	return s.await(place)
}

// isAhead tells whether a cursor of this journal is beyond what this daemon has.
func (s *session) isAhead(since string) bool {
	newest := s.server.config.Emitter.Newest()
	cursor, err := schema.ParseCursor("since", since)
	return err == nil && cursor.Epoch == newest.Epoch && cursor.Seq > newest.Seq
}

// await waits for something that other machines decide. What was asked before on the
// same connection is answered meanwhile, and what comes after it waits. The end of the
// connection, and the server's, end the ctx of what is waited for.
func (s *session) await(do func(ctx context.Context) error) error {
	s.flush()
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer recovered(&err)
		err = do(ctx)
	}()
	leaving := s.server.leaving
	for {
		select {
		case err := <-done:
			return err
		case p := <-s.waited:
			s.settleWait(p)
			s.flush()
		case <-leaving:
			leaving = nil
			cancel(schema.ShuttingDown())
		}
	}
}

// cluster gives figures of the cluster for server.stats, nil for a single daemon.
func (s *Server) cluster(ctx context.Context) (*schema.ClusterStats, error) {
	if s.config.Cluster == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, statsPatience)
	defer cancel()
	stats, err := s.config.Cluster.Stats(ctx)
	return &stats, err
}

// source marks the changes of a connection, also in the leases that end with it. The
// number of a connection is never given twice by one process.
func (c *Config) source(number, random int64) int64 {
	if c.Incarnation == 0 {
		return random
	}
	return int64(c.Incarnation)<<32 | number&(1<<32-1)
}
