package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/descartes-tasks/descartes/schema"
)

// Why a token cannot be had, made or forgotten.
var (
	ErrNoToken      = errors.New("there is no token of this name")
	ErrTokenExists  = errors.New("there is already a token of this name")
	ErrTokenHash    = errors.New("there is already a token of this hash")
	ErrTokenRevoked = errors.New("there was a token of this name, which is revoked")
	ErrTokenInUse   = errors.New("the token is not revoked")
)

const selectTokens = `SELECT name, hash, scope, created_at, coalesce(revoked_at, 0) FROM tokens ORDER BY created_at, name`

// Tokens lists every token in the file, the oldest first, revoked ones too.
func (d *DB) Tokens(ctx context.Context) ([]schema.Token, error) {
	rows, err := d.read.tokens.QueryContext(ctx)
	if err != nil {
		return nil, d.readError(err)
	}
	return scanTokens(rows)
}

func scanTokens(rows *sql.Rows) ([]schema.Token, error) {
	defer rows.Close()
	tokens := []schema.Token{}
	for rows.Next() {
		var t schema.Token
		var hash []byte
		if err := rows.Scan(&t.Name, &hash, &t.Scope, &t.CreatedAt, &t.RevokedAt); err != nil {
			return nil, storageError(err)
		}
		if copy(t.Hash[:], hash) != len(t.Hash) {
			return nil, fmt.Errorf("token %s: the hash has %d bytes", t.Name, len(hash))
		}
		tokens = append(tokens, t)
	}
	return tokens, storageError(rows.Err())
}

// TokenFile is a database file that is open for its tokens alone: daemons that
// serve it go on meanwhile, and judge who comes next by what was done.
type TokenFile struct{ db *DB }

// OpenTokens opens a database file, which is refused as by [Open]. If there is none,
// or one of an older format, it is made, or brought to the present one. As with
// Open, a process opens a file once at a time.
func OpenTokens(ctx context.Context, path string) (*TokenFile, error) {
	if _, err := inspect(ctx, path); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	d := &DB{config: Config{Path: path}, writing: make(writeLock, 1), patience: lockPatience}
	if err := d.openWriter(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), d.release())
	}
	return &TokenFile{d}, nil
}

// Close closes the file.
func (f *TokenFile) Close() error { return f.db.release() }

// List lists every token, the oldest first, revoked ones too.
func (f *TokenFile) List(ctx context.Context) (tokens []schema.Token, err error) {
	err = f.db.patiently(ctx, func() error {
		rows, err := f.db.writer.QueryContext(ctx, selectTokens)
		if err == nil {
			tokens, err = scanTokens(rows)
		}
		return err
	})
	return tokens, err
}

// Add makes a token durable. The error is ErrTokenExists or ErrTokenRevoked if its
// name is taken, ErrTokenHash, with the name of the other, if its hash is, or that of
// [schema.Token.Validate].
func (f *TokenFile) Add(ctx context.Context, t schema.Token) error {
	if err := t.Validate(); err != nil {
		return err
	}
	return f.transact(ctx, func() error {
		if err := f.unknown(ctx, t); err != nil {
			return err
		}
		switch present, err := f.find(ctx, t.Name); {
		case err == nil && present.Revoked():
			return ErrTokenRevoked
		case err == nil:
			return ErrTokenExists
		case !errors.Is(err, ErrNoToken):
			return err
		}
		return insertToken(ctx, f.db.writer, t)
	})
}

// Revoke shuts tokens out from the given time on (Unix milliseconds): all of them,
// or none and ErrNoToken, with the name. One that was revoked before stays as it is.
func (f *TokenFile) Revoke(ctx context.Context, at int64, names ...string) error {
	return f.each(ctx, names, func(t schema.Token) error {
		_, err := f.db.writer.ExecContext(ctx, `UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL`, at, t.Name)
		return err
	})
}

// Remove forgets revoked tokens, so that their names can be used again: all of
// them, or none and ErrNoToken or ErrTokenInUse, with the name.
func (f *TokenFile) Remove(ctx context.Context, names ...string) error {
	return f.each(ctx, names, func(t schema.Token) error {
		if !t.Revoked() {
			return ErrTokenInUse
		}
		_, err := f.db.writer.ExecContext(ctx, `DELETE FROM tokens WHERE name = ?`, t.Name)
		return err
	})
}

// each changes tokens that must be there in one transaction.
func (f *TokenFile) each(ctx context.Context, names []string, change func(schema.Token) error) error {
	return f.transact(ctx, func() error {
		for _, name := range names {
			t, err := f.find(ctx, name)
			if err == nil {
				err = change(t)
			}
			if err != nil {
				return fmt.Errorf("token %q: %w", name, err)
			}
		}
		return nil
	})
}

// unknown refuses the token of somebody else.
func (f *TokenFile) unknown(ctx context.Context, t schema.Token) error {
	var name string
	err := f.db.writer.QueryRowContext(ctx, `SELECT name FROM tokens WHERE hash = ? AND name <> ?`, t.Hash[:], t.Name).Scan(&name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err == nil:
		return fmt.Errorf("%w, that of %s", ErrTokenHash, name)
	}
	return err
}

func (f *TokenFile) find(ctx context.Context, name string) (t schema.Token, err error) {
	t.Name = name
	err = f.db.writer.QueryRowContext(ctx, `SELECT coalesce(revoked_at, 0) FROM tokens WHERE name = ?`, name).Scan(&t.RevokedAt)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoToken
	}
	return t, err
}

// transact runs one transaction, and waits for another process that has the lock.
func (f *TokenFile) transact(ctx context.Context, run func() error) error {
	f.db.writing.Lock()
	defer f.db.writing.Unlock()
	if err := f.db.begin(ctx); err != nil {
		return storageError(err)
	}
	err := run()
	if err == nil {
		err = f.db.exec("COMMIT")
	}
	if err != nil {
		f.db.rollback()
	}
	return storageError(err)
}
