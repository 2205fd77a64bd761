package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// A document is a task as JSON, as it is stored, journaled and sent.

// AppendJSON appends t as the JSON document that is stored, sent in events and
// given as an answer: these are always the same bytes.
func (t *Task) AppendJSON(dst []byte) []byte {
	dst = AppendString(append(dst, `{"id":`...), t.ID)
	dst = AppendString(append(dst, `,"title":`...), t.Title)
	dst = appendNullable(append(dst, `,"description":`...), t.Description)
	dst = AppendString(append(dst, `,"status":`...), string(t.Status))
	dst = AppendString(append(dst, `,"priority":`...), string(t.Priority))
	dst = AppendString(append(dst, `,"complexity":`...), string(t.Complexity))
	dst = appendNullable(append(dst, `,"assigned_to":`...), t.AssignedTo)
	dst = AppendStrings(append(dst, `,"dependencies":`...), t.Dependencies)
	dst = append(append(dst, `,"metadata":`...), t.Metadata...)
	dst = appendInt(append(dst, `,"created_at":`...), t.CreatedAt)
	dst = appendInt(append(dst, `,"updated_at":`...), t.UpdatedAt)
	dst = appendInt(append(dst, `,"version":`...), t.Version)
	dst = appendBool(append(dst, `,"ready":`...), t.Ready)
	dst = appendNullable(append(dst, `,"leased_by":`...), t.LeasedBy)
	return append(dst, '}')
}

// Document gives the JSON of t, as it is stored and sent, in memory of about its size.
func (t *Task) Document() []byte {
	const names = 384 // the names of the members, ids and numbers
	size := names + len(t.Title) + len(t.Metadata)
	if t.Description != nil {
		size += len(*t.Description)
	}
	for _, id := range t.Dependencies {
		size += len(id) + len(`"",`)
	}
	return t.AppendJSON(make([]byte, 0, size))
}

// IsLeased tells, without decoding it, whether the task of a stored document is
// claimed: leased_by is its last member.
func IsLeased(document []byte) bool { return !bytes.HasSuffix(document, []byte(`"leased_by":null}`)) }

// ParseTask reads a document. Members that it does not know are left out: a newer server
// may have more.
func ParseTask(document []byte) (*Task, error) {
	document = document[skipSpace(document, 0):]
	if !json.Valid(document) || document[0] != '{' {
		return nil, fmt.Errorf("read task document: %.20q… is no JSON object", document)
	}
	t := new(Task)
	target := reflect.ValueOf(t).Elem()
	fields := fieldsOf(target.Type())
	for m := range Members(document) {
		for i := range fields {
			if fields[i].name != string(m.Name) {
				continue
			}
			if err := fields[i].decode(m.Value, target, fields[i].name); err != nil {
				return nil, fmt.Errorf("read task document: %v", err) // no caller has asked for it
			}
			break
		}
	}
	return t, nil
}

// Before gives the state of t before the change whose previous values are given
// (the `previous` member of an [Event]); t itself is not changed. Version and
// UpdatedAt, which previous never holds, are those of t.
func (t *Task) Before(previous []byte) (*Task, error) {
	old := *t
	// Unmarshal writes into what slices and pointers already refer to: that must not be t's.
	old.Dependencies, old.Metadata = nil, nil
	old.Description, old.AssignedTo, old.LeasedBy = copyOf(t.Description), copyOf(t.AssignedTo), copyOf(t.LeasedBy)
	if len(previous) > 0 {
		if err := json.Unmarshal(previous, &old); err != nil {
			return nil, fmt.Errorf("read previous values of task %s: %w", t.ID, err)
		}
	}
	if old.Dependencies == nil {
		old.Dependencies = t.Dependencies
	}
	if old.Metadata == nil {
		old.Metadata = t.Metadata
	}
	return &old, nil
}

func copyOf(s *string) *string {
	if s == nil {
		return nil
	}
	return new(*s)
}
