package mcp

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/descartes-tasks/descartes/schema"
)

// word says what a member is, wherever one of its name occurs. A jsonschema tag says
// it better of one field. The bounds are of characters or of the value, or of items.
type word struct {
	description string
	least, most int  // most 0: no bounds
	otherwise   any  // the default, nil for none
	items       bool // the bounds are of items
}

// words are the members of arguments and results, by name.
var words = map[string]word{
	"id":                {"id of the task: letters, digits and . _ : -", 1, schema.MaxIDLength, nil, false},
	"title":             {"what is to be done, in one line; not only white space", 1, schema.MaxTitle, nil, false},
	"description":       {"all that somebody needs to do it without asking; at most 64 KiB", 0, schema.MaxDescription, nil, false},
	"status":            {"todo, in_progress, blocked or done", 0, 0, nil, false},
	"priority":          {"how urgent; default medium", 0, 0, nil, false},
	"complexity":        {"how much work; default moderate", 0, 0, nil, false},
	"assigned_to":       {"who works on it, null: nobody", 1, schema.MaxAssignedTo, nil, false},
	"dependencies":      {"ids of the tasks that have to be done first", 0, schema.MaxDependencies, nil, true},
	"metadata":          {"any JSON object, at most 64 KiB; result is what came of the task", 0, 0, nil, false},
	"created_at":        {"Unix milliseconds", 0, 0, nil, false},
	"updated_at":        {"Unix milliseconds", 0, 0, nil, false},
	"version":           {"grows with every change of the task", 0, 0, nil, false},
	"ready":             {"todo, every dependency done, claimed by nobody", 0, 0, nil, false},
	"leased_by":         {"who has claimed it, null: nobody", 0, 0, nil, false},
	"priority_at_least": {"only tasks of this priority or a higher one", 0, 0, nil, false},
	"text":              {"only tasks in whose title or description every word of this begins a word, in any case", 0, 1000, nil, false},
	"order":             {"- in front: descending", 0, 0, string(schema.ByCreatedAt), false},
	"page_token":        {"next_page_token of the page before", 0, 0, nil, false},
	"expected_version":  {"refuse if the task is at another version than this one, that you have seen", 0, 0, nil, false},
	"overrule":          {"true: also if somebody else has claimed the task, or your claim is lost; this ends their claim. Only if a person asked for it", 0, 0, false, false},
	"limit":             {"tasks or events of a page", 1, maxPage, defaultPage, false},
	"wait_seconds":      {"how long to wait for a task to become ready", 0, maxWaitSeconds, 0, false},
	"lease_seconds":     {"how long the claim holds from now on if it is not renewed; default: as before", schema.MinLeaseMS / 1000, schema.MaxLeaseMS / 1000, nil, false},
	"result":            {"what came of it, in a few sentences: kept as metadata.result, for those whose tasks depend on this one", 1, maxResult, nil, false},
	"ref":               {"a name of your choice for this task within this call: others name it in their dependencies", 1, schema.MaxIDLength, nil, false},
	"task":              {"as it is now", 0, 0, nil, false},
	"tasks":             {"in order", 1, maxPlan, nil, true},
	"events":            {"oldest first", 0, 0, nil, false},
	"change_type":       {"created, updated or deleted", 0, 0, nil, false},
	"task_id":           {"of the task that changed", 0, 0, nil, false},
	"previous_status":   {"absent: it was created", 0, 0, nil, false},
	"new_status":        {"absent: it was deleted", 0, 0, nil, false},
	"next_page_token":   {"absent on the last page; else give it as page_token for the next one", 0, 0, nil, false},
	"held":              {"claimed by this session: work on it, then call finish_task", 0, 0, nil, false},
	"waits_for":         {"dependencies that are not done yet", 0, 0, nil, false},
	"expires_at":        {"when the claim would end if it were not renewed: Unix milliseconds", 0, 0, nil, false},
	"next":              {"absent at the end; else give it as since for the next page", 0, 0, nil, false},
	"oldest":            {"as since it gives all that is retained", 0, 0, nil, false},
}

// describeArguments describes a struct of arguments. What is not to be given is left
// out: only those that are nullable may be null.
func describeArguments(t reflect.Type, nullable []string) *jsonschema.Schema {
	s := describeType(t)
	withoutNull(s, nullable)
	bound(s)
	if id := s.Properties["id"]; id != nil {
		id.Pattern = "^[A-Za-z0-9._:-]+$"
	}
	return s
}

// describeResult describes a struct of results. Of a task some members may be null.
func describeResult(t reflect.Type) *jsonschema.Schema {
	s := describeType(t)
	withoutNull(s, []string{"description", "assigned_to", "leased_by"})
	return s
}

func describeType(t reflect.Type) *jsonschema.Schema {
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: typeSchemas()})
	if err != nil {
		panic(fmt.Sprintf("mcp: describe %s: %v", t, err)) // a mistake in the table of tools
	}
	refine(s)
	if t == reflect.TypeFor[updateInput]() {
		for name, description := range updated {
			s.Properties[name].Description = description
		}
	}
	return s
}

// updated says of what update_task takes what is not true of a task, or of a new one.
var updated = map[string]string{
	"status":     "todo, blocked or done; in_progress comes with claim_task",
	"priority":   "how urgent",
	"complexity": "how much work",
}

// typeSchemas says of our types what Go's type system cannot.
func typeSchemas() map[reflect.Type]*jsonschema.Schema {
	text := func() *jsonschema.Schema { return &jsonschema.Schema{Types: []string{"null", "string"}} }
	types := map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[schema.Status]():                    enum(schema.Statuses()),
		reflect.TypeFor[schema.Priority]():                  enum(schema.Priorities()),
		reflect.TypeFor[schema.Complexity]():                enum(schema.Complexities()),
		reflect.TypeFor[releasedStatus]():                   enum([]releasedStatus{"todo", "blocked"}),
		reflect.TypeFor[schema.Order]():                     enum(schema.Orders()),
		reflect.TypeFor[schema.ChangeType]():                enum([]schema.ChangeType{schema.Created, schema.Updated, schema.Deleted}),
		reflect.TypeFor[schema.Origin]():                    enum([]schema.Origin{schema.OriginRPC, schema.OriginExternal, schema.OriginLease}),
		reflect.TypeFor[json.RawMessage]():                  {Type: "object"},
		reflect.TypeFor[schema.Optional[string]]():          text(),
		reflect.TypeFor[schema.Optional[[]string]]():        {Types: []string{"null", "array"}, Items: &jsonschema.Schema{Type: "string"}},
		reflect.TypeFor[schema.Optional[json.RawMessage]](): {Types: []string{"null", "object"}},
	}
	types[reflect.TypeFor[schema.Optional[schema.Status]]()] = enum([]schema.Status{schema.Todo, schema.Blocked, schema.Done})
	types[reflect.TypeFor[schema.Optional[schema.Priority]]()] = enum(schema.Priorities())
	types[reflect.TypeFor[schema.Optional[schema.Complexity]]()] = enum(schema.Complexities())
	return types
}

// refine adds to the properties of s, and to theirs, what their names mean.
func refine(s *jsonschema.Schema) {
	for name, p := range s.Properties {
		if p.Description == "" {
			p.Description = words[name].description
		}
		refine(p)
	}
	if s.Items != nil {
		refine(s.Items)
	}
}

// bound adds to the arguments s, and to theirs, their bounds and defaults.
func bound(s *jsonschema.Schema) {
	for name, p := range s.Properties {
		w := words[name]
		switch has := func(t string) bool { return p.Type == t || slices.Contains(p.Types, t) }; {
		case has("array") && w.items:
			p.MinItems, p.MaxItems = least(w.least), &w.most
		case has("array"):
		case has("string") && len(p.Enum) == 0 && w.most > 0:
			p.MinLength, p.MaxLength = least(w.least), &w.most
		case has("integer") && w.most > 0:
			p.Minimum, p.Maximum = new(float64(w.least)), new(float64(w.most))
		}
		if w.otherwise != nil {
			p.Default, _ = json.Marshal(w.otherwise) // a word, a number or a truth value
		}
		if p.Items != nil {
			bound(p.Items)
		}
	}
}

// least leaves out a bound that is none.
func least(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// withoutNull takes null out of what the properties of s may be, but of some.
func withoutNull(s *jsonschema.Schema, but []string) {
	for name, p := range s.Properties {
		if !slices.Contains(but, name) {
			p.Types = slices.DeleteFunc(slices.Clone(p.Types), func(t string) bool { return t == "null" })
			if len(p.Types) == 1 {
				p.Type, p.Types = p.Types[0], nil
			}
			p.Enum = slices.DeleteFunc(slices.Clone(p.Enum), func(v any) bool { return v == nil })
		}
		withoutNull(p, but)
		if p.Items != nil {
			withoutNull(p.Items, but)
		}
	}
}

func enum[T ~string](values []T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}
