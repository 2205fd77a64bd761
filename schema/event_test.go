package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func document(id string) json.RawMessage {
	return (&Task{ID: id, Title: "\"<&>\"\u2028😀", Metadata: json.RawMessage(`{"n":1.0e+400}`)}).AppendJSON(nil)
}

func TestEventJSON(t *testing.T) {
	for _, e := range []Event{
		{Seq: 1, Cursor: "e-1", ChangeType: Created, TaskID: "a", Task: document("a"), NewStatus: Todo, Coalesced: 1, Origin: OriginRPC, Actor: "\"anna\"\n", Timestamp: 5},
		{
			Seq: MaxSeq, Cursor: "e-2", ChangeType: Updated, TaskID: "a", Task: document("a"), PreviousStatus: Todo, NewStatus: Done,
			Previous: json.RawMessage(`{"status":"todo"}`), Coalesced: 20, Left: true, Own: true, Origin: OriginExternal, TxLast: 9, Timestamp: -5,
		},
		{Seq: 3, Cursor: "e-3", ChangeType: Deleted, TaskID: "a", Task: document("a"), PreviousStatus: Blocked, Coalesced: 2, Origin: OriginLease, Timestamp: 0},
	} {
		for _, includeTask := range []bool{true, false} {
			encoded := e.AppendJSON([]byte("before"), e.AppendBody(nil, includeTask))[len("before"):]
			want := e
			if !includeTask {
				want.Task = nil
			}
			compare(t, encoded, want)
			checkMembers(t, encoded, map[string]bool{
				"seq": true, "cursor": true, "change_type": true, "task_id": true, "task": includeTask,
				"previous_status": true, "new_status": true, "previous": e.ChangeType == Updated, "coalesced": true,
				"left": e.Left, "own": e.Own, "origin": true, "actor": true, "tx_last": e.TxLast != 0, "timestamp": true,
			})
		}
	}
	created := Event{ChangeType: Created, TaskID: "a", Task: json.RawMessage("{}"), NewStatus: Todo, Origin: OriginRPC}
	want := `"change_type":"created","task_id":"a","task":{},"previous_status":null,"new_status":"todo","origin":"rpc","actor":null,"timestamp":0,`
	if got := string(created.AppendBody(nil, true)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSpecialEventJSON(t *testing.T) {
	for _, e := range []Event{
		{ChangeType: Snapshot, Seq: 7, TaskID: "a", Task: document("a"), Timestamp: 5},
		{ChangeType: Bookmark, Cursor: "e-7", Live: true, Timestamp: 5},
		{ChangeType: Bookmark, Cursor: "e-7", Timestamp: 5},
		{ChangeType: Resync, Reason: "compacted \"\u0000\"", Timestamp: 5},
	} {
		for _, includeTask := range []bool{true, false} {
			encoded := e.AppendSpecial([]byte("before"), includeTask)[len("before"):]
			want := e
			if !includeTask {
				want.Task = nil
			}
			compare(t, encoded, want)
			snapshot := e.ChangeType == Snapshot
			checkMembers(t, encoded, map[string]bool{
				"change_type": true, "timestamp": true, "seq": snapshot, "task_id": snapshot, "task": snapshot && includeTask,
				"cursor": e.ChangeType == Bookmark, "live": e.Live, "reason": e.ChangeType == Resync,
			})
		}
	}
}

func compare(t *testing.T, encoded []byte, want Event) {
	t.Helper()
	var got Event
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatalf("%v: %s", err, encoded)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// checkMembers compares the members of an object with those that are wanted.
func checkMembers(t *testing.T, object []byte, wanted map[string]bool) {
	t.Helper()
	got := valuesOf(object)
	for name, is := range wanted {
		if (got[name] != nil) != is {
			t.Errorf("member %s: %v in %s", name, !is, object)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("more members than wanted: %s", object)
	}
}

func TestCursor(t *testing.T) {
	for _, c := range []Cursor{{"e", 0}, {"0190A5c0", 1}, {"7", MaxSeq}} {
		if got, err := ParseCursor("since", c.String()); err != nil || got != c {
			t.Errorf("%s: %+v, %v", c, got, err)
		}
	}
	for _, text := range []string{
		"", "-", "e", "e-", "-5", "e--5", "e-+5", "e-05", "e-5 ", " e-5", "e-5.0", "e-9007199254740992", "e-99999999999999999999",
		"start", "e-f-5", "a b-5", "é\"-5", "e\x00-5", "null", "e_1-5", strings.Repeat("9", 1000),
	} {
		_, err := ParseCursor("since", text)
		if e, ok := err.(*Error); !ok || e.Code != CodeInvalidParams || e.Data.Field != "since" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
