package rpc

import "context"

// Probe goes the way that requests go (the server's list of connections, a read of the
// database, a turn of the writing goroutine) and returns nil when it has come through:
// requests are answered. Being refused by a database that cannot be used is an answer,
// too. Where something on the way hangs, Probe hangs with it; then, at the latest, the
// error is that of ctx, unless what hangs is the list itself.
func (s *Server) Probe(ctx context.Context) error {
	s.Connections()
	if _, err := s.config.Store.Bounds(ctx); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return s.config.Emitter.Ping(ctx)
}
