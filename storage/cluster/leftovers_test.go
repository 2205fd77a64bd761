package cluster

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Parts of snapshots that are there stay.
func TestUnlisted(t *testing.T) {
	subjects := map[string]uint64{"$O.b.C.one": 3, "$O.b.C.two": 1, "$O.b.C.left": 7, "$O.other.C.x": 1}
	objects := []*jetstream.ObjectInfo{{NUID: "one"}, {NUID: "two"}, {NUID: "three"}}
	if got := unlisted(subjects, "$O.b.C.", objects); !slices.Equal(got, []string{"$O.b.C.left"}) {
		t.Errorf("%q", got)
	}
	if got := unlisted(nil, "$O.b.C.", objects); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
