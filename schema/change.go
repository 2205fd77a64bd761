package schema

import "encoding/json"

// Op is what an [Operation] does.
type Op string

// The operations.
const (
	OpCreate Op = "create"
	OpUpdate Op = "update"
	OpDelete Op = "delete"
)

// Operation is one step of a [Change]: exactly one of Create, Update and Delete
// is set, the one that Op names.
type Operation struct {
	Op     Op
	Create *Draft
	Update *UpdateParams
	Delete *DeleteParams
}

// TaskID gives the id of the task that o is about.
func (o *Operation) TaskID() string {
	switch o.Op {
	case OpCreate:
		return o.Create.ID
	case OpUpdate:
		return o.Update.ID
	default:
		return o.Delete.ID
	}
}

// Normalize validates o as far as that is possible without the tasks. The error
// is an [Error] with code [CodeInvalidParams].
func (o *Operation) Normalize() error {
	switch o.Op {
	case OpCreate:
		return o.Create.Normalize()
	case OpUpdate:
		return firstError(checkID("id", o.Update.ID), o.Update.Patch.Normalize())
	default:
		return checkID("id", o.Delete.ID)
	}
}

// Operations are the steps of a task.apply, in their order.
type Operations []Operation

func (o *Operations) decodeJSON(raw []byte, field string) error {
	if raw[0] != '[' {
		return Invalid(field, "must be an array")
	}
	*o = nil
	for value := range Elements(raw) {
		var operation Operation
		if err := operation.decodeJSON(value, ""); err != nil {
			return err.(*Error).AtIndex(len(*o))
		}
		*o = append(*o, operation)
	}
	return nil
}

// operationName reads the member that tells the operations apart.
type operationName struct {
	Op Op `json:"op"`
}

func (o *Operation) decodeJSON(raw []byte, field string) error {
	if raw[0] != '{' {
		return Invalid(field, "must be an object")
	}
	o.Op = ""
	for m := range Members(raw) {
		if string(m.Name) == "op" {
			if err := decodeValue(m.Value, &o.Op, join(field, "op")); err != nil {
				return err
			}
		}
	}
	if err := checkEnum(join(field, "op"), o.Op, []Op{OpCreate, OpUpdate, OpDelete}); err != nil {
		return err
	}
	switch o.Op {
	case OpCreate:
		var p struct {
			operationName
			Draft
		}
		err := decodeObject(raw, &p, field)
		o.Create = &p.Draft
		return err
	case OpUpdate:
		var p struct {
			operationName
			UpdateParams
		}
		err := decodeObject(raw, &p, field)
		o.Update = &p.UpdateParams
		return err
	default:
		var p struct {
			operationName
			DeleteParams
		}
		err := decodeObject(raw, &p, field)
		o.Delete = &p.DeleteParams
		return err
	}
}

// MarshalJSON writes o as a member of the operations of task.apply.
func (o Operation) MarshalJSON() ([]byte, error) {
	switch o.Op {
	case OpCreate:
		return json.Marshal(struct {
			operationName
			*Draft
		}{operationName{o.Op}, o.Create})
	case OpUpdate:
		return json.Marshal(struct {
			operationName
			*UpdateParams
		}{operationName{o.Op}, o.Update})
	default:
		return json.Marshal(struct {
			operationName
			*DeleteParams
		}{operationName{o.Op}, o.Delete})
	}
}

// UnmarshalJSON is the other half of MarshalJSON.
func (o *Operation) UnmarshalJSON(raw []byte) error { return o.decodeJSON(raw, "operation") }

// Origin says which kind of writer made a change.
type Origin string

// The origins.
const (
	OriginRPC      Origin = "rpc"      // a client of the daemon
	OriginExternal Origin = "external" // another process, in the database file itself
	OriginLease    Origin = "lease"    // a claim that ran out
)

// Change is a write that somebody asked for, complete: everything that decides
// its outcome but the present rows is inside, so that applying the same changes
// in the same order gives the same rows and the same journal on any machine.
type Change struct {
	At         int64       `json:"at"` // Unix milliseconds; does not go back when a clock is set back a little
	Origin     Origin      `json:"origin"`
	Actor      string      `json:"actor,omitempty"`  // name of the token, "" where tokens are off
	Source     int64       `json:"source,omitempty"` // the connection that asked, 0 for none; unique over restarts
	Operations []Operation `json:"operations"`       // at least one; all of them or none
	// Transaction is set for a task.apply: its errors name the operation and its
	// events say where the transaction ends.
	Transaction bool `json:"transaction,omitempty"`
	// MaxResults bounds the bytes of the results of a Transaction, which is refused
	// with [CodeLimitExceeded] if it would have more; 0: no bound.
	MaxResults int64 `json:"max_results,omitempty"`
}
