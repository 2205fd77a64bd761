package schema

import "encoding/json"

// maxTime is the last millisecond of the year 9999, the last one that RFC 3339
// can write.
const maxTime = 253_402_300_799_999

// exported is a line of an export: a [Task], or as much of one as task.create
// takes. What the server makes anew is read past, whatever it says.
type exported struct {
	Draft
	Created   *int64          `json:"created_at"`
	UpdatedAt json.RawMessage `json:"updated_at"`
	Version   json.RawMessage `json:"version"`
	Ready     json.RawMessage `json:"ready"`
	LeasedBy  json.RawMessage `json:"leased_by"`
}

// DecodeExported reads one line of an export, valid JSON, as a normalized draft.
// Members that a [Draft] does not have are refused, but for those of a [Task]:
// created_at is kept in Draft.CreatedAt, the others are the server's and are
// ignored. The error is an [Error] with code [CodeInvalidParams].
func DecodeExported(line []byte) (*Draft, error) {
	line = line[skipSpace(line, 0):]
	if line[0] != '{' {
		return nil, Invalid("task", "must be an object")
	}
	var e exported
	if err := decodeObject(line, &e, ""); err != nil {
		return nil, err
	}
	if e.Created != nil && (*e.Created < 0 || *e.Created > maxTime) {
		return nil, Invalid("created_at", "must be Unix milliseconds, from 0 to the end of the year 9999")
	}
	e.CreatedAt = e.Created
	return &e.Draft, e.Normalize()
}
