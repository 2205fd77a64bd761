package storage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// founded makes a file with some history that is in use in a cluster, with a token, and a
// snapshot of it.
func founded(t *testing.T) (d *DB, snapshot string, at Place) {
	t.Helper()
	path := wear(t)
	p := placeOf(t, path)
	p.Cluster = "c"
	if err := Enter(t.Context(), path, p); err != nil {
		t.Fatal(err)
	}
	addTokens(t, path, schema.Token{Name: "theirs", Hash: [32]byte{1, 'S', 'E', 'C', 'R', 'E', 'T'}, Scope: schema.ScopeWrite, CreatedAt: 1},
		schema.Token{Name: "forgotten", Hash: [32]byte{2, 'S', 'E', 'C', 'R', 'E', 'T'}, Scope: schema.ScopeRead, CreatedAt: 1})
	f, err := OpenTokens(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Revoke(t.Context(), 5, "forgotten"), f.Remove(t.Context(), "forgotten"), f.Close()); err != nil {
		t.Fatal(err)
	}
	d = follower(t, path, 5)
	follow(t, d, change(create("new")))
	d.tidy() // or the index would go on after the snapshot
	snapshot = filepath.Join(t.TempDir(), "snapshot.db")
	if at, err = Snapshot(t.Context(), path, snapshot); err != nil { // while it is in use
		t.Fatal(err)
	}
	return d, snapshot, at
}

// A snapshot is what the machines of a cluster have in common, and nothing else.
func TestSnapshot(t *testing.T) {
	d, snapshot, got := founded(t)
	same(t, "place", got, d.Place())
	same(t, "place in it", placeOf(t, snapshot), got)
	file := contents(t, filepath.Dir(snapshot))
	same(t, "files", len(file), 1)
	for _, secret := range []string{"SECRET", "theirs", "forgotten"} {
		if strings.Contains(file["snapshot.db"], secret) {
			t.Errorf("%s is in the snapshot", secret)
		}
	}
	if info, err := os.Stat(snapshot); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	same(t, "contents", keptOf(t, snapshot)[1:], slices.DeleteFunc(keptOf(t, d.config.Path)[1:], func(row string) bool {
		return strings.HasPrefix(row, "theirs|")
	}))
	sound(t, snapshot)
	_, err := Snapshot(t.Context(), d.config.Path, snapshot)
	wantRefusal(t, err, "exists")
	same(t, "files", len(contents(t, filepath.Dir(snapshot))), 1)
}

// A file of any format can be what a cluster begins with: its snapshot enters the cluster
// at the place of the file, and is adopted like any other.
func TestSnapshotOfSingle(t *testing.T) {
	for format := 1; format <= len(migrations()); format++ {
		founder := wear(t)
		if format < len(migrations()) {
			founder = released(t, format)
		}
		p := placeOf(t, founder)
		snapshot, path := filepath.Join(t.TempDir(), "snapshot.db"), filepath.Join(t.TempDir(), "test.db")
		got, err := Snapshot(t.Context(), founder, snapshot)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "place", got, p)
		p.Cluster = "c"
		for _, file := range []string{founder, snapshot} {
			if err := Enter(t.Context(), file, p); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Adopt(t.Context(), path, snapshot); err != nil {
			t.Fatal(err)
		}
		var places []Place
		for _, file := range []string{founder, path} {
			d := follower(t, file, 0)
			follow(t, d, change(create("next")))
			same(t, "tokens", len(rows(t, d.readers, `SELECT * FROM tokens`)) > 0, file == founder && (format == 2 || format == 3))
			places = append(places, d.Place())
		}
		same(t, "place after one more", places[1], places[0])
	}
}

// Who adopts a snapshot keeps the tokens, the incarnation and the file that was there.
func TestAdopt(t *testing.T) {
	founder, snapshot, got := founded(t)
	path := filepath.Join(t.TempDir(), "test.db")
	clustered(t, path)
	own := []schema.Token{
		{Name: "ours", Hash: [32]byte{2}, Scope: schema.ScopeRead, CreatedAt: 1},
		{Name: "revoked", Hash: [32]byte{3}, Scope: schema.ScopeRead, CreatedAt: 2, RevokedAt: 77},
	}
	addTokens(t, path, own...)
	old := follower(t, path, 9)
	_, err := Adopt(t.Context(), path, snapshot)
	wantRefusal(t, err, "a process has it open")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{path + ".before-snapshot", path + ".before-snapshot-2"} {
		kept, err := Adopt(t.Context(), path, snapshot)
		if err != nil || kept != want {
			t.Fatalf("kept as %q, %v", kept, err)
		}
		same(t, "place", placeOf(t, path), got)
		same(t, "kept", placeOf(t, kept).Position, []int64{start.Position, got.Position}[i])
		sound(t, path)
	}
	adopted := follower(t, path, 12)
	same(t, "incarnation", adopted.before, 9)
	tokens, err := adopted.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "tokens", tokens, own)
	for _, one := range []*DB{founder, adopted} {
		follow(t, one, change(create("next", "new")))
	}
	same(t, "place after one more", adopted.Place(), founder.Place())
}

// One that was killed between its last two steps is done again: the file has its second
// name already, and the new one is not there.
func TestAdoptAgain(t *testing.T) {
	_, snapshot, got := founded(t)
	path := wear(t)
	if err := os.Link(path, path+".before-snapshot"); err != nil {
		t.Fatal(err)
	}
	before := keptOf(t, path)
	kept, err := Adopt(t.Context(), path, snapshot)
	if err != nil || kept != path+".before-snapshot" {
		t.Fatalf("kept as %q, %v", kept, err)
	}
	same(t, "place", placeOf(t, path), got)
	same(t, "kept", keptOf(t, kept), before)
	same(t, "files", len(contents(t, filepath.Dir(path))), 2)
}

// A snapshot can be adopted where no file is, but not in the place of one with tokens that
// cannot be read.
func TestAdoptWithoutFile(t *testing.T) {
	_, snapshot, got := founded(t)
	before := contents(t, filepath.Dir(snapshot))
	path := filepath.Join(t.TempDir(), "test.db")
	kept, err := Adopt(t.Context(), path, snapshot)
	if err != nil || kept != "" {
		t.Fatalf("kept as %q, %v", kept, err)
	}
	same(t, "place", placeOf(t, path), got)
	same(t, "files", len(contents(t, filepath.Dir(path))), 1)
	same(t, "snapshot", contents(t, filepath.Dir(snapshot)), before)

	broken := strings.Repeat("broken", 1000)
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Adopt(t.Context(), path, snapshot)
	wantRefusal(t, err, "its tokens cannot be read")
	same(t, "files", contents(t, filepath.Dir(path)), map[string]string{"test.db": broken})
	_, err = Adopt(t.Context(), filepath.Join(t.TempDir(), "test.db"), wear(t))
	wantRefusal(t, err, "the snapshot is of no cluster")
}

func addTokens(t *testing.T, path string, tokens ...schema.Token) {
	t.Helper()
	f, err := OpenTokens(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, token := range tokens {
		if err := f.Add(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
}
