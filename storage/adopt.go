package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/descartes-tasks/descartes/schema"
)

// Snapshot writes what the daemons of a cluster have in common, as the file at path has it
// at one moment, to target: a copy as [Backup] makes it, but without tokens and without
// what else is one machine's. Nothing of these is left in free pages either. The Place is
// the one in the copy. A daemon may have the file open, this process too. A file of no
// cluster, of any format, gives what a cluster can begin with: the copy has to Enter it. A
// target that is there is refused.
func Snapshot(ctx context.Context, path, target string) (Place, error) {
	if err := checkTarget(path, target, false); err != nil {
		return Place{}, err
	}
	part, err := copyBeside(ctx, path, target, nil)
	if err != nil {
		return Place{}, fmt.Errorf("snapshot of %s: %w", path, plain(err))
	}
	common := part + ".common"
	defer removeFiles(part, common) // of no use after an error; gone after the rename
	place, err := strip(ctx, part, common)
	if err == nil {
		_, err = publish(ctx, common, target)
	}
	if err != nil {
		return Place{}, fmt.Errorf("snapshot of %s to %s: %w", path, target, plain(err))
	}
	return place, nil
}

// strip writes the file at part to target without what is one machine's.
func strip(ctx context.Context, part, target string) (place Place, err error) {
	db, err := sql.Open("sqlite", dsn(part, "locking_mode(EXCLUSIVE)", "journal_mode(DELETE)", "synchronous(OFF)"))
	if err != nil {
		return place, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	_, format, err := identity(ctx, db)
	if err == nil {
		place, _, err = placeIn(ctx, db, format)
	}
	if err == nil && format >= 2 { // since then there are tokens
		_, err = db.ExecContext(ctx, `DELETE FROM tokens`)
	}
	if err == nil && format >= clusterFormat {
		_, err = db.ExecContext(ctx, `UPDATE cluster SET incarnation = 0`)
	}
	if err == nil {
		err = makeFile(target) // or it could be read by others
	}
	if err == nil {
		_, err = db.ExecContext(ctx, `VACUUM INTO ?`, target)
	}
	return place, err
}

// adoptedSuffix is what the name of a file gets that a snapshot has replaced.
const adoptedSuffix = ".before-snapshot"

// Adopt puts a snapshot of another machine in the place of the file at path, or where none
// is, by one rename, as [Restore] does: what is there after a crash is said there. The
// tokens of the old file are carried over, and so is its incarnation. The epoch stays that
// of the snapshot, which is not changed. A file that holds anything is kept beside, under
// a name that is returned and was free. One that a process has open is refused, and one of
// which the tokens cannot be read: without them anybody could come in.
//
// Whether the file at path may be replaced is for the caller to decide, by [PlaceOf].
func Adopt(ctx context.Context, path, snapshot string) (kept string, err error) {
	present, err := take(ctx, path)
	if err == nil {
		defer func() { err = errors.Join(err, present.release()) }()
		kept, err = present.adopt(ctx, snapshot)
	}
	if err != nil {
		return "", fmt.Errorf("put the snapshot %s in the place of %s: %w", snapshot, path, plain(err))
	}
	return kept, nil
}

func (p *present) adopt(ctx context.Context, snapshot string) (kept string, err error) {
	if p.broken != nil {
		return "", fmt.Errorf("%w, its tokens cannot be read: move it away, and make new ones afterwards", p.broken)
	}
	tokens, err := p.tokens(ctx)
	if err != nil {
		return "", err
	}
	p.kept = freeName(p.path)
	adopted, err := p.replace(ctx, snapshot, nil, func(ctx context.Context, part string) error {
		return p.furnish(ctx, part, tokens)
	}, func(string) error { return nil })
	return adopted.Kept, err
}

// tokens gives those of the file that is to be replaced.
func (p *present) tokens(ctx context.Context) ([]schema.Token, error) {
	if p.db == nil || p.format < 2 { // there was no file, or none with tokens
		return nil, nil
	}
	rows, err := p.db.QueryContext(ctx, selectTokens)
	if err != nil {
		return nil, err
	}
	return scanTokens(rows)
}

// furnish makes a copy of a snapshot this machine's.
func (p *present) furnish(ctx context.Context, part string, tokens []schema.Token) error {
	d := &DB{config: Config{Path: part}, writing: make(writeLock, 1), patience: lockPatience}
	err := d.openWriter(ctx)
	var place Place
	if err == nil {
		place, _, err = placeIn(ctx, d.writer, len(migrations()))
	}
	if err == nil && place.Cluster == "" {
		err = fmt.Errorf("the snapshot is of no cluster")
	}
	if err == nil && place.Cluster == p.place.Cluster {
		_, err = d.writer.ExecContext(ctx, `UPDATE cluster SET incarnation = ?`, p.incarnation)
	}
	if err == nil {
		err = d.exec(`DELETE FROM tokens`)
	}
	for _, t := range tokens {
		if err == nil {
			err = insertToken(ctx, d.writer, t)
		}
	}
	return errors.Join(err, d.release())
}

// insertToken adds a token, with when it was revoked.
func insertToken(ctx context.Context, on execer, t schema.Token) error {
	_, err := on.ExecContext(ctx, `INSERT INTO tokens (name, hash, scope, created_at, revoked_at) VALUES (?, ?, ?, ?, ?)`,
		t.Name, t.Hash[:], string(t.Scope), t.CreatedAt, orNull(t.RevokedAt))
	return err
}

// freeName gives a name under which a file can be kept: none that is in use, unless by
// the file itself, after a crash on the way.
func freeName(path string) string {
	name := path + adoptedSuffix
	for i := 2; taken(name) && !sameFile(name, path); i++ {
		name = fmt.Sprintf("%s-%d", path+adoptedSuffix, i)
	}
	return name
}

func taken(name string) bool {
	_, err := os.Lstat(name)
	return err == nil || leftLog(name) != ""
}
