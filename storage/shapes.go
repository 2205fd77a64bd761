package storage

import (
	"context"
	"database/sql"
	"sync"
)

// maxShapes bounds the statements that are kept for lists.
const maxShapes = 128

// shapes keeps the statements of lists, which select.go writes, by their text: to
// prepare one takes as long as to read twenty tasks. When there are maxShapes of them
// no other is kept. The zero value is ready.
type shapes struct {
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
	closed   bool
}

// get gives a statement, nil if it is not kept. Whoever calls it must not hold a
// connection of the pool: to prepare takes one.
func (s *shapes) get(ctx context.Context, pool *sql.DB, text string) (*sql.Stmt, error) {
	s.mu.Lock()
	kept, full := s.prepared[text], s.full()
	s.mu.Unlock()
	if kept != nil || full {
		return kept, nil
	}
	prepared, err := pool.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.prepared[text]; kept != nil || s.full() { // somebody was faster
		return kept, prepared.Close()
	}
	if s.prepared == nil {
		s.prepared = make(map[string]*sql.Stmt)
	}
	s.prepared[text] = prepared
	return prepared, nil
}

// full tells whether no other statement is to be kept. The caller has the lock.
func (s *shapes) full() bool { return s.closed || len(s.prepared) == maxShapes }

// close closes the statements, as must be done before their connections.
func (s *shapes) close() (errs []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, statement := range s.prepared {
		errs = append(errs, statement.Close())
	}
	return errs
}
