package journaltest

import (
	"encoding/json"

	"pgregory.net/rapid"

	"github.com/descartes-tasks/descartes/schema"
)

// Few ids, names and values: random changes shall meet each other.
var (
	someIDs      = []string{"a", "b", "B", "c.1", "d", "e"}
	someTokens   = []string{"l1", "l2", "l3"}
	someTitles   = []string{"one", "two", "zwölf \"12\"", "<&>\u2028\t\u007f", "😀"}
	someMetadata = []string{
		`{}`, `{"k":1.0}`, `{"k":null,"n":{"x":[]}}`, `{"n":{"x":null,"y":12345678901234567890}}`, `{"\u00e9":"\\\ud83d\ude00"}`,
	}
)

// commit is what one Apply is called with.
type commit []schema.Change

// GoString shows it as JSON where rapid tells of a failure.
func (c commit) GoString() string {
	encoded, _ := json.MarshalIndent([]schema.Change(c), "", " ")
	return string(encoded)
}

// Changes generates what one Apply is called with, as it comes over the wire: creates,
// updates, deletes and what is about leases, which meet each other, and transactions. now
// is the clock that they share.
func Changes(now *int64) *rapid.Generator[[]schema.Change] {
	return rapid.Map(commits(now), func(c commit) []schema.Change { return c })
}

// commits generates changes. now is the clock that they share.
func commits(now *int64) *rapid.Generator[commit] {
	return rapid.Custom(func(t *rapid.T) commit {
		all := make(commit, rapid.IntRange(1, 4).Draw(t, "changes"))
		for i := range all {
			*now += rapid.Int64Range(0, 2).Draw(t, "passed")
			all[i] = schema.Change{
				At:          *now,
				Origin:      rapid.SampledFrom([]schema.Origin{schema.OriginRPC, schema.OriginLease}).Draw(t, "origin"),
				Actor:       rapid.SampledFrom([]string{"", "anna", "\"<é>"}).Draw(t, "actor"),
				Source:      rapid.Int64Range(0, 3).Draw(t, "source"),
				Transaction: rapid.Bool().Draw(t, "transaction"),
			}
			if !all[i].Transaction && rapid.IntRange(0, 2).Draw(t, "lease") == 0 {
				all[i].Operations = []schema.Operation{leaseOperation(t, *now)}
				continue
			}
			most := 1
			if all[i].Transaction {
				most = 5
			}
			all[i].Operations = rapid.SliceOfN(operations(), 1, most).Draw(t, "operations")
		}
		return all
	})
}

func operations() *rapid.Generator[schema.Operation] {
	return rapid.Custom(func(t *rapid.T) schema.Operation {
		id := rapid.SampledFrom(someIDs).Draw(t, "id")
		op := rapid.SampledFrom([]schema.Op{schema.OpCreate, schema.OpUpdate, schema.OpUpdate, schema.OpDelete}).Draw(t, "op")
		switch op {
		case schema.OpCreate:
			return normal(schema.Operation{Op: op, Create: draft(t, id)})
		case schema.OpUpdate:
			return normal(schema.Operation{Op: op, Update: &schema.UpdateParams{
				ID: id, Patch: patch(t), ExpectedVersion: version(t),
				LeaseToken: rapid.Ptr(rapid.SampledFrom(someTokens), true).Draw(t, "lease_token"),
			}})
		default:
			return schema.Operation{Op: op, Delete: &schema.DeleteParams{ID: id, ExpectedVersion: version(t)}}
		}
	})
}

// leaseOperation is about a lease: the few tokens meet each other.
func leaseOperation(t *rapid.T, now int64) schema.Operation {
	id, token := rapid.SampledFrom(someIDs).Draw(t, "id"), rapid.SampledFrom(someTokens).Draw(t, "lease_token")
	length := rapid.Ptr(rapid.Int64Range(schema.MinLeaseMS, schema.MinLeaseMS+2), true).Draw(t, "lease_ms")
	switch op := rapid.SampledFrom([]schema.Op{
		schema.OpClaim, schema.OpClaim, schema.OpRenew, schema.OpRelease, schema.OpExpire,
	}).Draw(t, "op"); op {
	case schema.OpClaim:
		p := schema.ClaimParams{AssignedTo: rapid.SampledFrom(someTitles).Draw(t, "claimer"), LeaseMS: length}
		p.ID = rapid.Ptr(rapid.SampledFrom(someIDs), true).Draw(t, "claimed")
		p.UntilDisconnect = rapid.Ptr(rapid.Bool(), true).Draw(t, "until_disconnect")
		p.Filter = rapid.SampledFrom(claimFilters()).Draw(t, "filter")
		return normal(schema.Operation{Op: op, Claim: &schema.Claim{ClaimParams: p, LeaseToken: token}})
	case schema.OpRenew:
		return normal(schema.Operation{Op: op, Renew: &schema.RenewParams{ID: id, LeaseToken: token, LeaseMS: length}})
	case schema.OpRelease:
		status := rapid.Ptr(rapid.SampledFrom(schema.Statuses()), true).Draw(t, "status")
		return normal(schema.Operation{Op: op, Release: &schema.ReleaseParams{ID: id, LeaseToken: token, Status: status}})
	default:
		end := rapid.Ptr(rapid.Int64Range(now+schema.MinLeaseMS-3, now+schema.MinLeaseMS+2), true).Draw(t, "expires_at")
		return schema.Operation{Op: op, Expire: &schema.Expire{ID: id, LeaseToken: token, ExpiresAt: end}}
	}
}

// claimFilters has a filter for each way to look for a task.
func claimFilters() []*schema.Filter {
	return []*schema.Filter{
		nil, nil, nil,
		{PriorityAtLeast: new(schema.High)},
		{AssignedTo: []*string{nil, new("one")}},
		{IDs: []string{"b", "B", "c.1"}},
		{Text: new("T")},
		{Status: []schema.Status{schema.Todo, schema.Done}},
		{Status: []schema.Status{schema.Blocked}},
		{Ready: new(false)},
	}
}

func draft(t *rapid.T, id string) *schema.Draft {
	return &schema.Draft{
		ID:           id,
		Title:        rapid.SampledFrom(someTitles).Draw(t, "title"),
		Description:  rapid.Ptr(rapid.SampledFrom(someTitles), true).Draw(t, "description"),
		Status:       rapid.SampledFrom(schema.Statuses()).Draw(t, "status"),
		Priority:     rapid.SampledFrom(schema.Priorities()).Draw(t, "priority"),
		AssignedTo:   rapid.Ptr(rapid.SampledFrom(someTitles), true).Draw(t, "assigned_to"),
		Dependencies: dependencies().Draw(t, "dependencies"),
		Metadata:     json.RawMessage(rapid.SampledFrom(someMetadata).Draw(t, "metadata")),
	}
}

func patch(t *rapid.T) schema.Patch {
	return schema.Patch{
		Title:        maybe(t, "title", rapid.SampledFrom(someTitles)),
		Description:  maybeNull(t, "description", rapid.SampledFrom(someTitles)),
		Status:       maybe(t, "status", rapid.SampledFrom(schema.Statuses())),
		Priority:     maybe(t, "priority", rapid.SampledFrom(schema.Priorities())),
		Complexity:   maybe(t, "complexity", rapid.SampledFrom(schema.Complexities())),
		AssignedTo:   maybeNull(t, "assigned_to", rapid.SampledFrom(someTitles)),
		Dependencies: maybeNull(t, "dependencies", dependencies()),
		Metadata: maybeNull(t, "metadata", rapid.Map(rapid.SampledFrom(someMetadata),
			func(s string) json.RawMessage { return json.RawMessage(s) })),
	}
}

func dependencies() *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(someIDs), 0, 3, rapid.ID)
}

func version(t *rapid.T) *int64 {
	if rapid.IntRange(0, 4).Draw(t, "expects") > 0 {
		return nil
	}
	return new(rapid.Int64Range(0, 30).Draw(t, "expected_version"))
}

// maybe is a member of a patch that is there one time in four.
func maybe[T any](t *rapid.T, name string, values *rapid.Generator[T]) schema.Optional[T] {
	if rapid.IntRange(0, 3).Draw(t, name+"?") > 0 {
		return schema.Optional[T]{}
	}
	return schema.Some(values.Draw(t, name))
}

func maybeNull[T any](t *rapid.T, name string, values *rapid.Generator[T]) schema.Optional[T] {
	o := maybe(t, name, values)
	if o.Set && rapid.IntRange(0, 3).Draw(t, name+" null") == 0 {
		return schema.Null[T]()
	}
	return o
}
