package storage

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

func token(name string, scope schema.Scope) schema.Token {
	return schema.Token{Name: name, Hash: schema.HashToken(name), Scope: scope, CreatedAt: at}
}

func openTokens(t *testing.T, path string) *TokenFile {
	t.Helper()
	f, err := OpenTokens(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestTokens(t *testing.T) {
	ctx := t.Context()
	f := openTokens(t, filepath.Join(t.TempDir(), "test.db")) // which is made
	list := func() []schema.Token {
		t.Helper()
		tokens, err := f.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	expect := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	same(t, "a new file", list(), []schema.Token{})
	a, b := token("a", schema.ScopeRead), token("b", schema.ScopeWrite)
	b.CreatedAt++
	expect("add b", f.Add(ctx, b), nil)
	expect("add a", f.Add(ctx, a), nil)
	same(t, "both, the oldest first", list(), []schema.Token{a, b})
	expect("add a again", f.Add(ctx, token("a", schema.ScopeWrite)), ErrTokenExists)
	expect("add without a scope", f.Add(ctx, token("c", "")), &schema.Error{Code: schema.CodeInvalidParams})
	expect("remove a", f.Remove(ctx, "a"), ErrTokenInUse)
	expect("revoke an unknown one", f.Revoke(ctx, at+2, "a", "nobody"), ErrNoToken)
	same(t, "all or none", list(), []schema.Token{a, b})
	expect("revoke", f.Revoke(ctx, at+2, "a"), nil)
	a.RevokedAt = at + 2
	same(t, "revoked", list(), []schema.Token{a, b})
	expect("revoke again", f.Revoke(ctx, at+3, "a", "b"), nil)
	b.RevokedAt = at + 3
	same(t, "the first time stays", list(), []schema.Token{a, b})
	expect("add a revoked one", f.Add(ctx, token("a", schema.ScopeRead)), ErrTokenRevoked)
	expect("remove", f.Remove(ctx, "a"), nil)
	expect("remove again", f.Remove(ctx, "b", "a"), ErrNoToken)
	same(t, "removed", list(), []schema.Token{b})
	expect("the name is free", f.Add(ctx, token("a", schema.ScopeWrite)), nil)
}

// A daemon sees what is done to the tokens of its file, and its journal and epoch
// know nothing of it.
func TestTokensOfAnOpenDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	d := mustOpen(t, path)
	do(t, d, create("x"))
	epoch := d.epoch
	want := token("a", schema.ScopeRead)
	// As another process would, with plain SQL: a process opens a file once.
	if _, err := d.writer.ExecContext(t.Context(), `INSERT INTO tokens (name, hash, scope, created_at) VALUES (?, ?, ?, ?)`,
		want.Name, want.Hash[:], string(want.Scope), want.CreatedAt); err != nil {
		t.Fatal(err)
	}
	tokens, err := d.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "tokens", tokens, []schema.Token{want})
	bounds, err := d.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "newest", bounds.Newest, int64(1))
	same(t, "epoch", bounds.Epoch, epoch)
}

// The file itself refuses tokens that nobody could have made.
func TestTokenChecks(t *testing.T) {
	f := openTokens(t, filepath.Join(t.TempDir(), "test.db"))
	if _, err := f.db.writer.ExecContext(t.Context(), `PRAGMA ignore_check_constraints = 0`); err != nil {
		t.Fatal(err)
	}
	const hash = `zeroblob(32)`
	for what, row := range map[string]string{
		"no name":      `'', ` + hash + `, 'read', 1`,
		"a space":      `'a b', ` + hash + `, 'read', 1`,
		"too long":     `hex(zeroblob(33)), ` + hash + `, 'read', 1`,
		"a blob":       `x'41', ` + hash + `, 'read', 1`,
		"short hash":   `'a', zeroblob(31), 'read', 1`,
		"hash as text": `'a', hex(zeroblob(16)), 'read', 1`,
		"no hash":      `'a', NULL, 'read', 1`,
		"scope":        `'a', ` + hash + `, 'admin', 1`,
		"no time":      `'a', ` + hash + `, 'read', NULL`,
	} {
		if _, err := f.db.writer.ExecContext(t.Context(), `INSERT INTO tokens (name, hash, scope, created_at) VALUES (`+row+`)`); err == nil {
			t.Errorf("%s: stored", what)
		}
	}
	if _, err := f.db.writer.ExecContext(t.Context(), `INSERT INTO tokens VALUES ('aZ9._@-', `+hash+`, 'write', 1, NULL)`); err != nil {
		t.Error(err)
	}
}
