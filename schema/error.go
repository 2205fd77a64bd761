package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrCompacted says that a part of the journal that was asked for has been pruned
// away.
var ErrCompacted = errors.New("journal compacted")

// Code is the code of a JSON-RPC error. Codes are append-only: a client may
// compare them for ever. A Code is an error, too, so that
// errors.Is(err, CodeTaskNotFound) tells whether err is an [Error] with it.
type Code int

// Error gives the code in words; it is there for errors.Is.
func (c Code) Error() string { return fmt.Sprintf("error %d", int(c)) }

// The codes. Those above -32100 and below -32000 are Descartes' own (JSON-RPC
// 2.0, section 5.1, leaves -32000 to -32099 to the server); the others are the
// specification's.
const (
	CodeParseError         Code = -32700
	CodeInvalidRequest     Code = -32600
	CodeMethodNotFound     Code = -32601
	CodeInvalidParams      Code = -32602
	CodeInternal           Code = -32603
	CodeTaskNotFound       Code = -32001
	CodeVersionConflict    Code = -32002
	CodeTaskExists         Code = -32003
	CodeDependencyInvalid  Code = -32004
	CodeCursorExpired      Code = -32005
	CodeLimitExceeded      Code = -32006
	CodeUnauthorized       Code = -32007
	CodeForbidden          Code = -32008
	CodeShuttingDown       Code = -32009
	CodeStorageUnavailable Code = -32010
	CodeLeaseLost          Code = -32011
	CodeOutcomeUnknown     Code = -32012
)

// Error is an answer that somebody outside may read: a code, a sentence, and
// data for programs. Every other kind of error is told to the outside as
// "internal error" and to the log in full.
type Error struct {
	Code    Code      `json:"code"`
	Message string    `json:"message"`
	Data    ErrorData `json:"data"`
}

// ErrorData tells a program what is wrong. Reason is always there; the other
// members belong to one code each.
type ErrorData struct {
	Reason       string          `json:"reason"`
	Field        string          `json:"field,omitempty"`         // invalid_params: what is wrong
	Rule         string          `json:"rule,omitempty"`          // invalid_params: the rule that it breaks
	ID           string          `json:"id,omitempty"`            // task_not_found, lease_lost
	Expected     *int64          `json:"expected,omitempty"`      // version_conflict
	Actual       *int64          `json:"actual,omitempty"`        // version_conflict
	Task         json.RawMessage `json:"task,omitempty"`          // version_conflict, task_exists: the present state
	Path         []string        `json:"path,omitempty"`          // dependency_invalid: the cycle, or the id that is wrong
	Dependents   []string        `json:"dependents,omitempty"`    // dependency_invalid: who depends on the deleted task
	ReasonDetail string          `json:"reason_detail,omitempty"` // cursor_expired: compacted, epoch or ahead
	Oldest       string          `json:"oldest,omitempty"`        // cursor_expired: the oldest cursor that works
	Limit        string          `json:"limit,omitempty"`         // limit_exceeded: which one
	Value        *int64          `json:"value,omitempty"`         // limit_exceeded: its value
	Index        *int            `json:"index,omitempty"`         // the operation of a task.apply that failed
}

// Error gives the sentence for the caller.
func (e *Error) Error() string { return e.Message }

// Is tells whether target is the code of e, or an Error with the same code, so
// that errors.Is compares codes and never text.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Code:
		return t == e.Code
	case *Error:
		return t.Code == e.Code
	}
	return false
}

// CodeOf gives the code that err has on the wire: that of the [Error] inside it,
// [CodeInternal] for any other error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// AtIndex gives a copy of e that says which operation of a task.apply failed. A
// field is then named by its path in the parameters.
func (e *Error) AtIndex(index int) *Error {
	at := *e
	at.Data.Index = &index
	at.Message = fmt.Sprintf("operation %d: %s", index, e.Message)
	if e.Code == CodeInvalidParams {
		at.Data.Field = strings.TrimSuffix(fmt.Sprintf("operations[%d].%s", index, e.Data.Field), ".")
		at.Message = at.Data.Field + " " + e.Data.Rule
	}
	return &at
}

// Invalid says that the value of a field breaks a rule ("must be …").
func Invalid(field, rule string) *Error {
	return &Error{
		Code: CodeInvalidParams, Message: field + " " + rule,
		Data: ErrorData{Reason: "invalid_params", Field: field, Rule: rule},
	}
}

// NotFound says that there is no task with this id.
func NotFound(id string) *Error {
	return &Error{
		Code: CodeTaskNotFound, Message: "there is no task " + id,
		Data: ErrorData{Reason: "task_not_found", ID: id},
	}
}

// VersionConflict says that a task is not at the expected version any more. task
// is its present document.
func VersionConflict(expected, actual int64, task json.RawMessage) *Error {
	return &Error{
		Code:    CodeVersionConflict,
		Message: fmt.Sprintf("the task is at version %d, not %d", actual, expected),
		Data:    ErrorData{Reason: "version_conflict", Expected: &expected, Actual: &actual, Task: task},
	}
}

// Exists says that a task with this id is there already. task is its document.
func Exists(id string, task json.RawMessage) *Error {
	return &Error{
		Code: CodeTaskExists, Message: "there is already a task " + id,
		Data: ErrorData{Reason: "task_exists", ID: id, Task: task},
	}
}

// UnknownDependency says that a task cannot depend on one that does not exist.
func UnknownDependency(id string) *Error {
	return &Error{
		Code: CodeDependencyInvalid, Message: "there is no task " + id + " to depend on",
		Data: ErrorData{Reason: "dependency_invalid", Path: []string{id}},
	}
}

// DependencyCycle says that a task would depend on itself. path leads from the
// task back to it, both ends included.
func DependencyCycle(path []string) *Error {
	return &Error{
		Code: CodeDependencyInvalid, Message: "the task would depend on itself",
		Data: ErrorData{Reason: "dependency_invalid", Path: path},
	}
}

// HasDependents says that a task cannot be deleted while others depend on it.
func HasDependents(id string, dependents []string) *Error {
	return &Error{
		Code: CodeDependencyInvalid, Message: "other tasks depend on task " + id,
		Data: ErrorData{Reason: "dependency_invalid", Dependents: dependents},
	}
}

// Why a cursor cannot be continued: the reason_detail of [CursorExpired].
const (
	CursorCompacted = "compacted" // what comes after it was pruned away
	CursorEpoch     = "epoch"     // it belongs to another database
	CursorAhead     = "ahead"     // it is beyond the newest event: this is a restored copy
)

// CursorExpired says that a cursor cannot be continued, and the oldest one that
// can.
func CursorExpired(detail string, oldest Cursor) *Error {
	return &Error{
		Code: CodeCursorExpired, Message: "the cursor cannot be continued (" + detail + "): take a snapshot",
		Data: ErrorData{Reason: "cursor_expired", ReasonDetail: detail, Oldest: oldest.String()},
	}
}

// LimitExceeded says which limit was hit, and its value.
func LimitExceeded(limit string, value int64) *Error {
	return &Error{
		Code: CodeLimitExceeded, Message: fmt.Sprintf("more than the limit of %d: %s", value, limit),
		Data: ErrorData{Reason: "limit_exceeded", Limit: limit, Value: &value},
	}
}

// Unauthorized says that the caller may not come in, and why: there is no token,
// or not one that lets it in.
func Unauthorized(why string) *Error {
	return &Error{Code: CodeUnauthorized, Message: why, Data: ErrorData{Reason: "unauthorized"}}
}

// Forbidden says that the caller's token may only read. Nothing was changed.
func Forbidden() *Error {
	return &Error{
		Code: CodeForbidden, Message: "the token may only read; nothing was changed",
		Data: ErrorData{Reason: "forbidden"},
	}
}

// ShuttingDown says that the daemon ends and did NOT make the write.
func ShuttingDown() *Error {
	return &Error{
		Code: CodeShuttingDown, Message: "the server is shutting down; nothing was changed",
		Data: ErrorData{Reason: "shutting_down"},
	}
}

// StorageUnavailable says that the database cannot be used now and that the write
// was NOT made. why is a few words for the caller ("the disk is full").
func StorageUnavailable(why string) *Error {
	return &Error{
		Code: CodeStorageUnavailable, Message: "the database cannot be used now: " + why + "; nothing was changed",
		Data: ErrorData{Reason: "storage_unavailable"},
	}
}

// NotFresh says that a read that was to be fresh cannot be: the log of record of the
// cluster could not be asked in time what there is.
func NotFresh() *Error {
	return &Error{
		Code:    CodeStorageUnavailable,
		Message: "the log of record does not answer: whether this daemon has everything is not known; ask again, or read without fresh",
		Data:    ErrorData{Reason: "storage_unavailable"},
	}
}

// NotCaughtUp says that a cursor is ahead of a daemon that has not everything that its
// cluster has: it can be continued later, or at another daemon.
func NotCaughtUp() *Error {
	return &Error{
		Code:    CodeStorageUnavailable,
		Message: "this daemon has not caught up with its cluster, and the cursor is ahead of it: ask again later, or another daemon",
		Data:    ErrorData{Reason: "storage_unavailable"},
	}
}

// LeaseLost says that a lease token is not the current one of its task: the claim
// has ended, and perhaps another one has begun. Nothing was changed.
func LeaseLost(id string) *Error {
	return &Error{
		Code: CodeLeaseLost, Message: "the claim of task " + id + " has ended; nothing was changed: stop the work, or claim the task again",
		Data: ErrorData{Reason: "lease_lost", ID: id},
	}
}

// OutcomeUnknown says that the log of record of a cluster could not be asked in time
// whether the write was made: the only ambiguous answer. Who repeats the write with the
// same id, or with an expected_version, makes it once.
func OutcomeUnknown() *Error {
	return &Error{
		Code:    CodeOutcomeUnknown,
		Message: "the log of record does not answer: the write may have been made, or may be made yet; repeat it with the same id or expected_version",
		Data:    ErrorData{Reason: "outcome_unknown"},
	}
}

// Internal is all that the outside is told of any error that is not an [Error].
func Internal() *Error {
	return &Error{Code: CodeInternal, Message: "internal error", Data: ErrorData{Reason: "internal"}}
}
