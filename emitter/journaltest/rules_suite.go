package journaltest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

func testOutcomes(f *fixture) {
	f.do(create("keep"))
	outcomes, events := f.apply(
		f.change(create("a")),
		f.change(create("a")), // refused
		f.change(setStatus("a", schema.Blocked)),
		f.change(setStatus("a", schema.Blocked)), // nothing to change
		f.change(remove("a")),
	)
	if len(events) != 3 {
		f.Fatalf("got %d events, want 3", len(events))
	}
	var last []int64
	for _, o := range outcomes {
		if o.Err == nil {
			last = append(last, o.Last)
		}
	}
	f.same("the last seq of each", last, []int64{2, 3, 3, 4})
	f.same("create", outcomes[0].Results, []json.RawMessage{events[0].Task})
	f.same("refusal", schema.CodeOf(outcomes[1].Err), schema.CodeTaskExists)
	f.same("update", outcomes[2].Results, []json.RawMessage{events[1].Task})
	f.same("update to the same", outcomes[3].Results, []json.RawMessage{events[1].Task})
	f.same("delete", outcomes[4].Results, []json.RawMessage{json.RawMessage(`{"id":"a","version":4}`)})
	f.same("deleted task", string(events[2].Task), string(events[1].Task))
}

func testSeqs(f *fixture) {
	var all []schema.Event
	for i := range 10 {
		var changes []schema.Change
		for k := range i {
			changes = append(changes, f.change(create(fmt.Sprintf("t%d-%d", i, k))))
		}
		if len(changes) == 0 {
			continue
		}
		_, events := f.apply(changes...)
		all = append(all, events...)
	}
	for i, e := range all {
		if e.Seq != int64(i+1) || f.task(e.Task).Version != e.Seq {
			f.Fatalf("event %d has seq %d and a task of version %d", i, e.Seq, f.task(e.Task).Version)
		}
	}
	f.same("the journal", f.events(0, 1000, 7), all)
}

func testRefused(f *fixture) {
	f.do(create("a"), create("b", "a"))
	before := f.rows(2, 10)
	outcomes, events := f.apply(
		f.transaction(setDependencies("b"), create("c", "b"), remove("a"), create("b")),
		f.change(setStatus("a", schema.Done)),
	)
	f.same("refusal", schema.CodeOf(outcomes[0].Err), schema.CodeTaskExists)
	if outcomes[1].Err != nil {
		f.Fatalf("the other change: %v", outcomes[1].Err)
	}
	// a turns done, b turns ready: the edge b to a is there, and no seq is missing.
	if len(events) != 2 || events[0].Seq != 3 || events[1].Seq != 4 || events[1].TaskID != "b" {
		f.Fatalf("got events%s", text(events))
	}
	f.same("rows before", f.rows(2, 10), before)
	f.refused(schema.CodeTaskNotFound, f.change(remove("c")))
	f.refused(schema.CodeDependencyInvalid, f.change(remove("a")))
	f.same("newest", f.bounds().Newest, 4)
}

func testTransaction(f *fixture) {
	outcome, events := f.must(f.transaction(
		create("a"), create("b", "a"), setStatus("a", schema.Done), remove("b"), create("b"),
	))
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%d %s %s", e.Seq, e.ChangeType, e.TaskID))
		if e.TxLast != 6 {
			f.Errorf("event %d has tx_last %d", e.Seq, e.TxLast)
		}
	}
	f.same("events", strings.Join(got, ", "),
		"1 created a, 2 created b, 3 updated a, 4 updated b, 5 deleted b, 6 created b")
	f.same("results", outcome.Results, []json.RawMessage{
		events[0].Task, events[1].Task, events[2].Task, json.RawMessage(`{"id":"b","version":5}`), events[5].Task,
	})
	f.same("last", outcome.Last, 6)
	_, events = f.must(f.transaction(setStatus("b", schema.Done)))
	f.same("tx_last of a transaction of one", events[0].TxLast, 7)
	_, events = f.must(f.change(setStatus("b", schema.Todo)))
	f.same("tx_last of no transaction", events[0].TxLast, 0)
	f.same("as read again", f.events(7, 8, 10), events)
}

func testTransactionRefused(f *fixture) {
	f.do(create("a"))
	refusal := f.refused(schema.CodeTaskNotFound,
		f.transaction(create("b"), setStatus("a", schema.Done), remove("missing")))
	if refusal.Data.Index == nil || *refusal.Data.Index != 2 || refusal.Data.ID != "missing" {
		f.Errorf("data is %+v", refusal.Data)
	}
	refusal = f.refused(schema.CodeVersionConflict, f.transaction(expecting(7, remove("a"))))
	if refusal.Data.Index == nil || *refusal.Data.Index != 0 {
		f.Errorf("data is %+v", refusal.Data)
	}
	if refusal = f.refused(schema.CodeTaskExists, f.change(create("a"))); refusal.Data.Index != nil {
		f.Errorf("an index without a transaction")
	}
	f.same("newest", f.bounds().Newest, 1)
	if f.row("a").Status != schema.Todo {
		f.Errorf("a was changed")
	}
}

func testExists(f *fixture) {
	f.do(create("a"), setStatus("a", schema.Blocked))
	refusal := f.refused(schema.CodeTaskExists, f.change(create("a")))
	f.same("task", string(refusal.Data.Task), string(f.row("a").AppendJSON(nil)))
	f.do(remove("a"), create("a"))
	f.same("version of the new one", f.row("a").Version, 4)
}

func testNotFound(f *fixture) {
	f.do(create("a"), remove("a"))
	for _, op := range []schema.Operation{
		setStatus("a", schema.Done), remove("a"), expecting(1, remove("a")), setStatus("never", schema.Done),
	} {
		refusal := f.refused(schema.CodeTaskNotFound, f.change(op))
		f.same("id", refusal.Data.ID, op.TaskID())
	}
}

func testVersionConflict(f *fixture) {
	f.do(create("a"), setStatus("a", schema.Blocked), create("b", "a"))
	for _, op := range []schema.Operation{
		expecting(1, setStatus("a", schema.Done)),
		expecting(3, setStatus("a", schema.Blocked)), // although it would change nothing
		expecting(0, remove("a")),                    // although it has dependents
	} {
		expected := int64(0)
		if op.Op == schema.OpUpdate {
			expected = *op.Update.ExpectedVersion
		}
		data := f.refused(schema.CodeVersionConflict, f.change(op)).Data
		if data.Expected == nil || *data.Expected != expected || data.Actual == nil || *data.Actual != 2 {
			f.Fatalf("expected %v, actual %v", data.Expected, data.Actual)
		}
		f.same("task", string(data.Task), string(f.row("a").AppendJSON(nil)))
	}
	f.do(expecting(2, setStatus("a", schema.Todo)), remove("b"), expecting(4, remove("a")))
}

func testDependencies(f *fixture) {
	f.do(create("a"), create("b", "a"), create("c", "b"), create("d"))
	for _, op := range []schema.Operation{create("x", "a", "missing"), setDependencies("d", "a", "missing")} {
		refusal := f.refused(schema.CodeDependencyInvalid, f.change(op))
		f.same("unknown", refusal.Data.Path, []string{"missing"})
	}
	for _, op := range []schema.Operation{create("d2", "d2"), setDependencies("d", "d")} {
		refusal := f.refused(schema.CodeDependencyInvalid, f.change(op))
		f.same("itself", refusal.Data.Path, []string{op.TaskID(), op.TaskID()})
	}
	refusal := f.refused(schema.CodeDependencyInvalid, f.change(setDependencies("a", "d", "c")))
	f.same("cycle", refusal.Data.Path, []string{"a", "c", "b", "a"})
	refusal = f.refused(schema.CodeDependencyInvalid,
		f.transaction(setDependencies("b"), create("e", "c"), setDependencies("b", "e")))
	f.same("cycle within a transaction", refusal.Data.Path, []string{"b", "e", "c", "b"})
	// Turned round in one transaction, and two ways to one task, are no cycles.
	f.must(f.transaction(setDependencies("c"), setDependencies("b"), setDependencies("a", "c", "b"), setDependencies("b", "c")))
}

func testDependents(f *fixture) {
	f.do(create("a"), create("z", "a"), create("b", "a"), setStatus("b", schema.Done))
	refusal := f.refused(schema.CodeDependencyInvalid, f.change(remove("a")))
	f.same("dependents", refusal.Data.Dependents, []string{"b", "z"})
	f.do(setDependencies("b"), remove("z"), remove("a"))
	f.do(create("p"), create("q", "p"))
	f.must(f.transaction(remove("q"), remove("p")))
}

func testReady(f *fixture) {
	f.do(create("a"), create("a2"), create("z", "a"), create("b", "a"), create("c", "a", "a2"), create("d", "b"))
	done := f.change(setStatus("a", schema.Done))
	done.Actor, done.Source = "anna", 9
	_, events := f.apply(done, f.change(setStatus("d", schema.Blocked)))
	f.same("events", order(events), "7 a, 8 b, 9 z, 10 d")
	for _, e := range events[1:3] {
		task := f.task(e.Task)
		if e.ChangeType != schema.Updated || string(e.Previous) != `{"ready":false}` || !task.Ready ||
			e.PreviousStatus != schema.Todo || e.NewStatus != schema.Todo || e.Actor != "anna" || e.Source != 0 ||
			e.Timestamp != done.At || task.UpdatedAt != done.At || task.Version != e.Seq {
			f.Errorf("got%s", text([]schema.Event{e}))
		}
	}
	outcome, events := f.must(f.change(setStatus("a", schema.Blocked)))
	f.same("events", order(events), "11 a, 12 b, 13 z")
	f.same("last", outcome.Last, 13)
	f.same("previous", string(events[2].Previous), `{"ready":true}`)
	outcome, events = f.must(f.transaction(setStatus("a", schema.Done), setStatus("a2", schema.Done), setStatus("z", schema.Done)))
	f.same("events", order(events), "14 a, 15 b, 16 z, 17 a2, 18 c, 19 z")
	f.same("results", outcome.Results, []json.RawMessage{events[0].Task, events[3].Task, events[5].Task})
	_, events = f.must(f.transaction(setStatus("z", schema.Todo), setStatus("a", schema.InProgress)))
	f.same("events", order(events), "20 z, 21 a, 22 b, 23 c, 24 z")
}

func order(events []schema.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%d %s", e.Seq, e.TaskID))
	}
	return strings.Join(all, ", ")
}

func testOwnReady(f *fixture) {
	f.do(create("a"), create("b", "a"))
	if !f.row("a").Ready || f.row("b").Ready {
		f.Fatalf("ready after creation is %v, %v", f.row("a").Ready, f.row("b").Ready)
	}
	_, events := f.must(f.change(setDependencies("b")))
	f.same("previous", string(events[0].Previous), `{"dependencies":["a"],"ready":false}`)
	_, events = f.must(f.change(setStatus("b", schema.Done)))
	f.same("previous", string(events[0].Previous), `{"status":"todo","ready":true}`)
	done := create("done")
	done.Create.Status = schema.Done
	f.do(done, create("c", "done"))
	if f.row("done").Ready || !f.row("c").Ready {
		f.Fatalf("ready of a done task is %v, of one that depends on it %v", f.row("done").Ready, f.row("c").Ready)
	}
}

func testNothing(f *fixture) {
	op := create("a")
	op.Create.Metadata = json.RawMessage(`{"a":1.0,"b":{"c":[]}}`)
	f.do(op)
	before := f.row("a")
	for _, patch := range []schema.Patch{
		{},
		{Title: schema.Some(before.Title), Status: schema.Some(before.Status), Description: schema.Null[string]()},
		{Dependencies: schema.Null[[]string](), AssignedTo: schema.Null[string]()},
		{Metadata: schema.Some(json.RawMessage(`{"x":null,"b":{"c":[],"d":null}}`))},
	} {
		outcome, events := f.must(f.change(update("a", patch)))
		if len(events) > 0 || outcome.Last != 1 {
			f.Errorf("events%s last %d", text(events), outcome.Last)
		}
		f.same("result", outcome.Results, []json.RawMessage{before.AppendJSON(nil)})
	}
	f.same("newest", f.bounds().Newest, 1)
}

func testMerge(f *fixture) {
	op := create("a")
	op.Create.Metadata = json.RawMessage(`{"b":12345678901234567890,"a":{"x":1.0e+400,"y":[1,null]}}`)
	op.Create.Description = new("a line\nwith \"quotes\", <b>&amp;</b>, \u2028 and 😀")
	f.do(op)
	_, events := f.must(f.change(update("a", schema.Patch{
		Metadata: schema.Some(json.RawMessage(`{"a":{"y":null,"z":"é"},"c":true}`)),
	})))
	f.same("metadata", string(f.row("a").Metadata), `{"b":12345678901234567890,"a":{"x":1.0e+400,"z":"é"},"c":true}`)
	f.same("previous", string(events[0].Previous),
		`{"metadata":{"b":12345678901234567890,"a":{"x":1.0e+400,"y":[1,null]}}}`)
	f.same("description", *f.row("a").Description, *op.Create.Description)
	half := json.RawMessage(`{"h":"` + strings.Repeat("h", schema.MaxMetadata-10) + `"}`)
	refusal := f.refused(schema.CodeInvalidParams, f.transaction(update("a", schema.Patch{Metadata: schema.Some(half)})))
	if refusal.Data.Field != "operations[0].metadata" || refusal.Data.Rule == "" || refusal.Data.Index == nil {
		f.Errorf("data is %+v", refusal.Data)
	}
	f.do(update("a", schema.Patch{Metadata: schema.Null[json.RawMessage](), Description: schema.Null[string]()}))
	if task := f.row("a"); string(task.Metadata) != "{}" || task.Description != nil {
		f.Errorf("after null: %s", task.AppendJSON(nil))
	}
}

func testEvent(f *fixture) {
	c := f.change(create("a"))
	c.Actor, c.Source = "anna", 1<<40
	_, created := f.must(c)
	c = f.change(update("a", schema.Patch{
		Status: schema.Some(schema.Blocked), AssignedTo: schema.Some("bob"), Priority: schema.Some(schema.Low),
	}))
	c.Origin = schema.OriginLease
	_, updated := f.must(c)
	_, deleted := f.must(f.change(remove("a")))
	all := slices.Concat(created, updated, deleted)
	first, second := f.now-2000, f.now-1000
	task := func(status, priority, name string, at, version int64, ready bool) json.RawMessage {
		return fmt.Appendf(nil, `{"id":"a","title":"task a","description":null,"status":%q,"priority":%q,`+
			`"complexity":"moderate","assigned_to":%s,"dependencies":[],"metadata":{},"created_at":%d,`+
			`"updated_at":%d,"version":%d,"ready":%v,"leased_by":null}`, status, priority, name, first, at, version, ready)
	}
	last := task("blocked", "low", `"bob"`, second, 2, false)
	f.same("events", all, []schema.Event{
		{
			Seq: 1, ChangeType: schema.Created, TaskID: "a", NewStatus: schema.Todo, Timestamp: first,
			Task: task("todo", "medium", "null", first, 1, true), Origin: schema.OriginRPC, Actor: "anna", Source: 1 << 40,
		},
		{
			Seq: 2, ChangeType: schema.Updated, TaskID: "a", PreviousStatus: schema.Todo, NewStatus: schema.Blocked,
			Task: last, Origin: schema.OriginLease, Timestamp: second, PreviousVersion: 1, PreviousUpdatedAt: first,
			Previous: json.RawMessage(`{"status":"todo","priority":"medium","assigned_to":null,"ready":true}`),
		},
		{
			Seq: 3, ChangeType: schema.Deleted, TaskID: "a", PreviousStatus: schema.Blocked,
			Task: last, Origin: schema.OriginRPC, Timestamp: f.now,
		},
	})
	f.same("as read again", f.events(0, 3, 10), all)
}
