package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// A message says the same when it is read as when it was written, but for FreshID, which
// is nobody else's business.
func TestMessagesComeBack(t *testing.T) {
	whole := schema.Change{
		At: 1_767_225_600_000, Origin: schema.OriginRPC, Actor: "ann", Source: 1<<62 + 1, Transaction: true, MaxResults: 8 << 20,
		Operations: []schema.Operation{
			{Op: schema.OpCreate, FreshID: true, Create: &schema.Draft{ID: "a", Title: "<b> & \u2028", Metadata: json.RawMessage(`{"z":1.50,"a":[1e3]}`)}},
			{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: "a", ExpectedVersion: new(int64(3))}},
			{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: "a"}},
		},
	}
	for i := range whole.Operations {
		if err := whole.Operations[i].Normalize(); err != nil {
			t.Fatal(err)
		}
	}
	encoded, refused, err := encodeAll([]schema.Change{whole}, 1<<20)
	if err != nil || refused[0].Err != nil {
		t.Fatal(err, refused[0].Err)
	}
	read, err := decode(1, encode(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if read.Changes[0].Operations[0].FreshID {
		t.Error("an id is called fresh that every daemon has to look for")
	}
	again, _, err := encodeAll(read.Changes, 1<<20)
	if err != nil || !bytes.Equal(again[0], encoded[0]) {
		t.Errorf("%v\n got %s\nwant %s", err, again[0], encoded[0])
	}
	if !bytes.Contains(again[0], []byte(`{"z":1.50,"a":[1e3]}`)) || !bytes.Contains(again[0], []byte("<b> &")) {
		t.Errorf("not as it was given: %s", again[0])
	}
}

// Whatever this binary does not know ends what it may apply.
func TestMessagesThatAreNotKnown(t *testing.T) {
	for _, data := range []string{
		``, `{}`, `null`, `[]`, `{"v":0,"changes":[]}`, `{"v":2,"changes":[]}`, `{"v":1,"changes":[],"more":1}`,
		`{"v":1,"changes":[{"at":1,"origin":"rpc","operations":[]}]}`,
		`{"v":1,"changes":[{"at":1,"origin":"rpc","operations":[{"op":"merge","id":"a"}]}]}`,
		`{"v":1,"changes":[{"at":1,"origin":"rpc","operations":[{"op":"delete","id":"a","why":"?"}]}]}`,
		`{"v":1,"changes":[{"at":1,"origin":"rpc","operations":[{"op":"delete","id":"a"}],"urgent":true}]}`,
		`{"v":1,"changes":[{"at":1,"origin":"external","operations":[{"op":"delete","id":"a"}]}]}`,
		`{"v":1,"changes":[{"at":1,"origin":"rpc","operations":[{"op":"create","title":"x"}]}]}`,
		`{"v":1,"changes":[{"at":1,"origin":"rpc","operations":[{"op":"claim","assigned_to":"w"}]}]}`,
		"{\"v\":1,\"changes\":[{\"at\":1,\"origin\":\"rpc\",\"operations\":[{\"op\":\"delete\",\"id\":\"\xff\"}]}]}",
		`{"v":1,"changes":[]}{"v":1}`, `{"v":1,"changes":[]`,
	} {
		_, err := decode(7, []byte(data))
		if _, ok := errors.AsType[*unknownMessage](err); !ok || !strings.Contains(err.Error(), "message 7") {
			t.Errorf("%s: got %v", data, err)
		}
	}
	if m, err := decode(7, fence); err != nil || len(m.Changes) != 0 {
		t.Errorf("a fence: %v, %v", m, err)
	}
}

// Messages hold all changes in their order, and none is larger than it may be unless it
// holds a single one.
func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 200
		var changes []json.RawMessage
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, 150), 1, 50).Draw(t, "sizes") {
			changes = append(changes, json.RawMessage(`"`+strings.Repeat("x", n)+`"`))
		}
		total := 0
		for _, n := range pack(changes, limit) {
			if size := len(encode(changes[total : total+n])); n == 0 || size > limit && n > 1 {
				t.Fatalf("a message of %d changes and %d bytes", n, size)
			}
			total += n
		}
		if total != len(changes) {
			t.Fatalf("%d of %d changes", total, len(changes))
		}
	})
}

// A change that no message can hold is refused in its place; the others are sent.
func TestChangesThatAreTooLarge(t *testing.T) {
	change := func(title string) schema.Change {
		return schema.Change{Origin: schema.OriginRPC, Operations: []schema.Operation{{Op: schema.OpCreate, Create: &schema.Draft{ID: "a", Title: title}}}}
	}
	encoded, refused, err := encodeAll([]schema.Change{change("a"), change(strings.Repeat("x", 450)), change("c")}, 400)
	if err != nil || len(encoded) != 2 || !errors.Is(refused[1].Err, schema.CodeLimitExceeded) {
		t.Fatalf("%v, %d encoded, %v", err, len(encoded), refused[1].Err)
	}
	all := merge(refused, []schema.Outcome{{Last: 1}, {Last: 2}})
	if all[0].Last != 1 || all[1].Err == nil || all[2].Last != 2 {
		t.Errorf("%+v", all)
	}
}

// Whatever arrives is a message that is written again the same way, or is refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"changes":[{"at":1,"origin":"rpc","operations":[{"op":"create","id":"a","title":"x"}]}]}`))
	f.Add([]byte(`{"v":1,"changes":[{"at":1,"origin":"lease","operations":[{"op":"expire","id":"a","lease_token":"t","expires_at":3}]}]}`))
	f.Add([]byte(`{"v":1,"changes":[{"at":1,"origin":"rpc","source":5,"operations":[{"op":"claim","assigned_to":"w","lease_token":"t"}]}]}`))
	f.Add(fence)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode(1, data)
		if err != nil {
			if _, ok := errors.AsType[*unknownMessage](err); !ok {
				t.Fatalf("%v", err)
			}
			return
		}
		encoded, _, err := encodeAll(m.Changes, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(1, encode(encoded))
		if err != nil {
			t.Fatalf("%s: %v", encode(encoded), err)
		}
		if twice, _, err := encodeAll(again.Changes, 1<<30); err != nil || !bytes.Equal(encode(twice), encode(encoded)) {
			t.Fatalf("%v\n%s\n%s", err, encode(encoded), encode(twice))
		}
	})
}
