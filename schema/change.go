package schema

import (
	"time"
)

// Op is what an [Operation] does.
type Op string

// The operations. A client may ask for the first three in a task.apply; the others
// come alone, from their methods and from leases that end.
const (
	OpCreate  Op = "create"
	OpUpdate  Op = "update"
	OpDelete  Op = "delete"
	OpClaim   Op = "claim"
	OpRenew   Op = "renew"
	OpRelease Op = "release"
	OpExpire  Op = "expire"
)

// Operation is one step of a [Change]: exactly one of the pointers is set, the one
// that Op names.
type Operation struct {
	Op      Op
	Create  *Draft
	Update  *UpdateParams
	Delete  *DeleteParams
	Claim   *Claim
	Renew   *RenewParams
	Release *ReleaseParams
	Expire  *Expire

	// FreshID says that the ID of Create was just made and told to nobody: there is no
	// such task, and none waits for it. No client can say so.
	FreshID bool
}

// TaskID gives the id of the task that o is about, "" for a claim of any.
func (o *Operation) TaskID() string {
	switch o.Op {
	case OpCreate:
		return o.Create.ID
	case OpUpdate:
		return o.Update.ID
	case OpDelete:
		return o.Delete.ID
	case OpRenew:
		return o.Renew.ID
	case OpRelease:
		return o.Release.ID
	case OpExpire:
		return o.Expire.ID
	}
	if o.Claim.ID != nil {
		return *o.Claim.ID
	}
	return ""
}

// Normalize validates o as far as that is possible without the tasks. The error
// is an [Error] with code [CodeInvalidParams].
func (o *Operation) Normalize() error {
	switch o.Op {
	case OpCreate:
		return o.Create.Normalize()
	case OpUpdate:
		return firstError(checkID("id", o.Update.ID), o.Update.Patch.Normalize(), o.Update.checkLeaseToken())
	case OpDelete:
		return checkID("id", o.Delete.ID)
	case OpClaim:
		return o.Claim.Normalize()
	case OpRenew:
		return o.Renew.Validate()
	case OpRelease:
		return o.Release.Normalize()
	}
	return checkID("id", o.Expire.ID)
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

func (o *Operation) decodeJSON(raw []byte, field string) error {
	return o.decode(raw, field, []Op{OpCreate, OpUpdate, OpDelete})
}

// decode reads an operation that is one of the allowed ones.
func (o *Operation) decode(raw []byte, field string, allowed []Op) error {
	if raw[0] != '{' {
		return Invalid(field, "must be an object")
	}
	*o = Operation{}
	for m := range Members(raw) {
		if string(m.Name) == "op" {
			if err := decodeValue(m.Value, &o.Op, join(field, "op")); err != nil {
				return err
			}
		}
	}
	if err := checkEnum(join(field, "op"), o.Op, allowed); err != nil {
		return err
	}
	return decodeMembers(raw, o.params(), field, "op")
}

// params gives what o has besides Op, made if it is not there.
func (o *Operation) params() any {
	switch o.Op {
	case OpCreate:
		return made(&o.Create)
	case OpUpdate:
		return made(&o.Update)
	case OpDelete:
		return made(&o.Delete)
	case OpClaim:
		return made(&o.Claim)
	case OpRenew:
		return made(&o.Renew)
	case OpRelease:
		return made(&o.Release)
	}
	return made(&o.Expire)
}

func made[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// MarshalJSON writes o as a member of the operations of task.apply.
func (o Operation) MarshalJSON() ([]byte, error) {
	params, err := Encode(o.params())
	if err != nil {
		return nil, err
	}
	encoded := append(append([]byte(`{"op":"`), o.Op...), '"')
	if string(params) != "{}" {
		encoded = append(encoded, ',')
	}
	return append(encoded, params[1:]...), nil
}

// UnmarshalJSON is the other half of MarshalJSON.
func (o *Operation) UnmarshalJSON(raw []byte) error {
	return o.decode(raw, "operation", []Op{OpCreate, OpUpdate, OpDelete, OpClaim, OpRenew, OpRelease, OpExpire})
}

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

// Wait is how long a claim may wait for a task to become ready; 0 for every other
// change.
func (c *Change) Wait() time.Duration {
	if claim := c.Operations[0].Claim; claim != nil {
		return time.Duration(*claim.WaitMS) * time.Millisecond
	}
	return 0
}
