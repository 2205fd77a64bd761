package schema

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Optional is a parameter that may be absent, null or a value: in a merge patch
// (RFC 7396) these are three different wishes.
type Optional[T any] struct {
	Set   bool // the member was there
	Null  bool // as null
	Value T    // the value, where Set and not Null
}

func (o *Optional[T]) decodeJSON(raw []byte, field string) error {
	o.Set, o.Null = true, string(raw) == "null"
	if o.Null {
		return nil
	}
	return decodeValue(raw, &o.Value, field)
}

// MarshalJSON writes null for what is absent: a Patch leaves such members out.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Set || o.Null {
		return []byte("null"), nil
	}
	return Encode(o.Value)
}

// UnmarshalJSON is the other half of MarshalJSON.
func (o *Optional[T]) UnmarshalJSON(raw []byte) error {
	*o = Optional[T]{Set: true, Null: string(raw) == "null"}
	return json.Unmarshal(raw, &o.Value)
}

// IsZero tells encoding/json to leave an absent member out (omitzero).
func (o Optional[T]) IsZero() bool { return !o.Set }

// Some gives the Optional that holds value.
func Some[T any](value T) Optional[T] { return Optional[T]{Set: true, Value: value} }

// Null gives the Optional that holds null.
func Null[T any]() Optional[T] { return Optional[T]{Set: true, Null: true} }

// Patch is a JSON Merge Patch (RFC 7396) of a task's fields: absent keeps; null
// clears description and assigned_to, empties dependencies and metadata, and is
// refused elsewhere; metadata merges.
type Patch struct {
	Title        Optional[string]          `json:"title,omitzero"`
	Description  Optional[string]          `json:"description,omitzero"`
	Status       Optional[Status]          `json:"status,omitzero"`
	Priority     Optional[Priority]        `json:"priority,omitzero"`
	Complexity   Optional[Complexity]      `json:"complexity,omitzero"`
	AssignedTo   Optional[string]          `json:"assigned_to,omitzero"`
	Dependencies Optional[[]string]        `json:"dependencies,omitzero"`
	Metadata     Optional[json.RawMessage] `json:"metadata,omitzero"`
}

// Normalize validates what can be validated without the task, and brings
// metadata into its stored form. The error is an [Error] with code
// [CodeInvalidParams].
func (p *Patch) Normalize() error {
	if p.Metadata.Set && !p.Metadata.Null {
		metadata, err := normalizeMetadata(p.Metadata.Value)
		if err != nil {
			return err
		}
		p.Metadata.Value = metadata
	}
	if p.Dependencies.Set && p.Dependencies.Value == nil {
		p.Dependencies.Value = []string{}
	}
	return firstError(
		checkPresent("title", p.Title, checkTitle),
		checkPresent("status", p.Status, func(s Status) error { return checkEnum("status", s, Statuses()) }),
		checkPresent("priority", p.Priority, func(v Priority) error { return checkEnum("priority", v, Priorities()) }),
		checkPresent("complexity", p.Complexity, func(c Complexity) error {
			return checkEnum("complexity", c, Complexities())
		}),
		checkDescription(p.Description.pointer()),
		checkAssignedTo(p.AssignedTo.pointer()),
		checkDependencies(p.Dependencies.Value),
	)
}

// checkPresent applies a rule to a member that may not be null.
func checkPresent[T any](field string, o Optional[T], rule func(T) error) error {
	switch {
	case !o.Set:
		return nil
	case o.Null:
		return Invalid(field, "must not be null")
	}
	return rule(o.Value)
}

// pointer gives nil for absent and null.
func (o *Optional[T]) pointer() *T {
	if !o.Set || o.Null {
		return nil
	}
	return &o.Value
}

// Apply gives t with the patch applied; t itself is not changed. It does not
// touch what is the server's. The error says that the merged metadata is too
// large.
func (p *Patch) Apply(t *Task) (*Task, error) {
	patched := *t
	setTo(&patched.Title, p.Title)
	setTo(&patched.Status, p.Status)
	setTo(&patched.Priority, p.Priority)
	setTo(&patched.Complexity, p.Complexity)
	if p.Description.Set {
		patched.Description = p.Description.pointer()
	}
	if p.AssignedTo.Set {
		patched.AssignedTo = p.AssignedTo.pointer()
	}
	if p.Dependencies.Set {
		patched.Dependencies = slices.Clone(p.Dependencies.Value)
		if p.Dependencies.Null {
			patched.Dependencies = []string{}
		}
	}
	if !p.Metadata.Set {
		return &patched, nil
	}
	patched.Metadata = json.RawMessage(emptyMetadata)
	if !p.Metadata.Null {
		patched.Metadata = mergePatch(t.Metadata, p.Metadata.Value)
	}
	if len(patched.Metadata) > MaxMetadata {
		return nil, Invalid("metadata", metadataSizeRule)
	}
	return &patched, nil
}

func setTo[T any](field *T, o Optional[T]) {
	if o.Set {
		*field = o.Value
	}
}

// AppendPrevious appends the JSON object that holds the old value of every field
// in which old and t differ, but version and updated_at. It reports whether
// there is any.
func AppendPrevious(dst []byte, old, t *Task) ([]byte, bool) {
	start := len(dst)
	name := func(name string) {
		dst = append(append(append(dst, `,"`...), name...), `":`...)
	}
	if old.Title != t.Title {
		name("title")
		dst = AppendString(dst, old.Title)
	}
	if !equal(old.Description, t.Description) {
		name("description")
		dst = appendNullable(dst, old.Description)
	}
	if old.Status != t.Status {
		name("status")
		dst = AppendString(dst, string(old.Status))
	}
	if old.Priority != t.Priority {
		name("priority")
		dst = AppendString(dst, string(old.Priority))
	}
	if old.Complexity != t.Complexity {
		name("complexity")
		dst = AppendString(dst, string(old.Complexity))
	}
	if !equal(old.AssignedTo, t.AssignedTo) {
		name("assigned_to")
		dst = appendNullable(dst, old.AssignedTo)
	}
	if !slices.Equal(old.Dependencies, t.Dependencies) {
		name("dependencies")
		dst = AppendStrings(dst, old.Dependencies)
	}
	if !bytes.Equal(old.Metadata, t.Metadata) {
		name("metadata")
		dst = append(dst, old.Metadata...)
	}
	if old.Ready != t.Ready {
		name("ready")
		dst = appendBool(dst, old.Ready)
	}
	if !equal(old.LeasedBy, t.LeasedBy) {
		name("leased_by")
		dst = appendNullable(dst, old.LeasedBy)
	}
	if len(dst) == start {
		return append(dst, "{}"...), false
	}
	dst[start] = '{' // in the place of the first comma
	return append(dst, '}'), true
}

func equal(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}
