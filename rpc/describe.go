package rpc

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/descartes-tasks/descartes/schema"
)

// schemaOf describes what a type is on the wire: what Go's type system says of it,
// and what typeSchemas and words add.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	types := typeSchemas()
	types[reflect.TypeFor[schema.Operation]()] = operationSchema(types)
	types[reflect.TypeFor[schema.Event]()] = eventSchema(types)
	s := infer(t, types).CloneSchemas()
	refine(s, infer(reflect.TypeFor[schema.Task](), types))
	return s
}

func infer(t reflect.Type, types map[reflect.Type]*jsonschema.Schema) *jsonschema.Schema {
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: types})
	if err != nil {
		panic(fmt.Sprintf("rpc: describe %s: %v", t, err))
	}
	// Of the texts in a merge patch this one cannot be taken away.
	if title := s.Properties["title"]; title != nil {
		title.Type, title.Types = "string", nil
	}
	if t == reflect.TypeFor[schema.Draft]() {
		s.Properties["metadata"] = nullable(s.Properties["metadata"]) // like everything that may be absent
	}
	return s
}

// typeSchemas says of our types what Go's type system cannot.
func typeSchemas() map[reflect.Type]*jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	list := &jsonschema.Schema{Type: "array", Items: text}
	counts := &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "integer"}}
	return map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[schema.Status]():                      enum(schema.Statuses()),
		reflect.TypeFor[schema.Priority]():                    enum(schema.Priorities()),
		reflect.TypeFor[schema.Complexity]():                  enum(schema.Complexities()),
		reflect.TypeFor[schema.Order]():                       enum(schema.Orders()),
		reflect.TypeFor[schema.ChangeType]():                  enum([]schema.ChangeType{schema.Created, schema.Updated, schema.Deleted}),
		reflect.TypeFor[schema.Origin]():                      enum([]schema.Origin{schema.OriginRPC, schema.OriginExternal, schema.OriginLease}),
		reflect.TypeFor[json.RawMessage]():                    {Type: "object"},
		reflect.TypeFor[schema.Optional[string]]():            nullable(text),
		reflect.TypeFor[schema.Optional[schema.Status]]():     enum(schema.Statuses()),
		reflect.TypeFor[schema.Optional[schema.Priority]]():   enum(schema.Priorities()),
		reflect.TypeFor[schema.Optional[schema.Complexity]](): enum(schema.Complexities()),
		reflect.TypeFor[schema.Optional[[]string]]():          nullable(list),
		reflect.TypeFor[schema.Optional[json.RawMessage]]():   {Types: []string{"null", "object"}},
		reflect.TypeFor[map[schema.Status]int64]():            counts,
		reflect.TypeFor[map[schema.ChangeType]int64]():        counts,
	}
}

// operationSchema describes a member of the operations of task.apply: op, and the
// params of the method that it names.
func operationSchema(types map[reflect.Type]*jsonschema.Schema) *jsonschema.Schema {
	operation := func(op schema.Op, t reflect.Type) *jsonschema.Schema {
		s := infer(t, types)
		s.Properties["op"] = enum([]schema.Op{op})
		s.Required = append(s.Required, "op")
		return s
	}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		operation(schema.OpCreate, reflect.TypeFor[schema.Draft]()),
		operation(schema.OpUpdate, reflect.TypeFor[schema.UpdateParams]()),
		operation(schema.OpDelete, reflect.TypeFor[schema.DeleteParams]()),
	}}
}

// eventSchema describes an event as package schema encodes it: by hand, with null
// where there is no status and no actor.
func eventSchema(types map[reflect.Type]*jsonschema.Schema) *jsonschema.Schema {
	s := infer(reflect.TypeFor[schema.Event](), types)
	status := nullable(enum(schema.Statuses()))
	status.Enum = append(status.Enum, nil)
	s.Properties["previous_status"], s.Properties["new_status"] = status, status
	s.Properties["actor"] = nullable(s.Properties["actor"])
	s.Properties["change_type"] = enum([]schema.ChangeType{
		schema.Created, schema.Updated, schema.Deleted, schema.Snapshot, schema.Bookmark, schema.Resync,
	})
	return s
}

// refine adds to the properties of s, and to theirs, what their names mean. task
// describes the documents that Go knows only as raw JSON.
func refine(s, task *jsonschema.Schema) {
	for name, p := range s.Properties {
		switch {
		case name == "task":
			p = task.CloneSchemas()
		case name == "tasks" && p.Items != nil:
			p.Items = task.CloneSchemas()
		case name == "results":
			p.Items = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
				task.CloneSchemas(), infer(reflect.TypeFor[schema.DeleteResult](), nil),
			}}
		}
		s.Properties[name] = p
		words[name].addTo(p)
		refine(p, task)
		if name == "filter" {
			boundLists(p)
		}
	}
	if s.Items != nil {
		refine(s.Items, task)
	}
	for _, either := range [][]*jsonschema.Schema{s.OneOf, s.AnyOf} {
		for _, one := range either {
			refine(one, task)
		}
	}
}

// boundLists says how long the lists of a filter may be, which have the names of single
// values of a task, and the bounds of those from words.
func boundLists(filter *jsonschema.Schema) {
	for _, p := range filter.Properties {
		if p.Items != nil {
			p.MinItems, p.MaxItems = nil, new(schema.MaxFilterItems)
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

func nullable(s *jsonschema.Schema) *jsonschema.Schema {
	either := s.CloneSchemas()
	either.Type, either.Types = "", []string{"null", s.Type}
	return either
}
