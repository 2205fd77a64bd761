package rpc

import "github.com/descartes-tasks/descartes/schema"

// Limits bounds what clients may ask for. A zero field has its default.
type Limits struct {
	MaxMessage       int64 // bytes of one message in; default 1 MiB; more closes with 1009
	MaxAnswer        int64 // bytes of one answer out; default 8 MiB; a page ends early, a write that was made is answered in full
	MaxConnections   int   // WebSocket connections; default 10,000; more are answered 503
	MaxSubscriptions int   // subscriptions of one connection; default 64
	MaxInFlight      int   // unanswered requests of one connection; default 256; at it the server stops reading
	MaxBatch         int   // requests in one batch; default 1,000
	MaxWaiting       int   // claims of one connection that wait, which are not in flight; default 16
}

// DefaultLimits gives the defaults.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

func (l Limits) withDefaults() Limits {
	l.MaxMessage = orDefault(l.MaxMessage, 1<<20)
	l.MaxAnswer = orDefault(l.MaxAnswer, 8<<20)
	l.MaxConnections = orDefault(l.MaxConnections, 10_000)
	l.MaxSubscriptions = orDefault(l.MaxSubscriptions, 64)
	l.MaxInFlight = orDefault(l.MaxInFlight, 256)
	l.MaxBatch = orDefault(l.MaxBatch, 1000)
	l.MaxWaiting = orDefault(l.MaxWaiting, 16)
	return l
}

// table gives the limits as server.info tells them.
func (l Limits) table() map[string]int64 {
	return map[string]int64{
		"message":       l.MaxMessage,
		"answer":        l.MaxAnswer,
		"connections":   int64(l.MaxConnections),
		"subscriptions": int64(l.MaxSubscriptions),
		"in_flight":     int64(l.MaxInFlight),
		"batch":         int64(l.MaxBatch),
		"waiting":       int64(l.MaxWaiting),
		"operations":    schema.MaxOperations,
		"page":          schema.MaxLimit,
	}
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
