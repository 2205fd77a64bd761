package schema

import (
	"encoding/json"
	"unicode/utf8"
)

// Bounds and defaults of leases, times in milliseconds.
const (
	DefaultLeaseMS = 60_000
	MinLeaseMS     = 1000
	MaxLeaseMS     = 86_400_000 // a day
	MaxLeaseToken  = 128        // characters of a lease token
	leaseRule      = "must be 1000 to 86400000"
)

// ClaimParams are the parameters of task.claim: take the ready task that matches,
// highest priority first, then oldest.
type ClaimParams struct {
	AssignedTo      string  `json:"assigned_to,omitempty"` // the claimer; where a token gives the name it may be left out
	Filter          *Filter `json:"filter,omitempty"`
	ID              *string `json:"id,omitempty"`       // this task and no other
	LeaseMS         *int64  `json:"lease_ms,omitempty"` // how long the claim holds unless it is renewed
	WaitMS          *int64  `json:"wait_ms,omitempty"`  // how long to wait for a task to become ready; absent: not at all
	UntilDisconnect *bool   `json:"until_disconnect,omitempty"`
}

// Normalize validates p and fills in the defaults: afterwards only ID may be nil.
// The error is an [Error] with code [CodeInvalidParams].
func (p *ClaimParams) Normalize() error {
	if p.AssignedTo == "" {
		return Invalid("assigned_to", "is required: the name of who claims")
	}
	if p.Filter == nil {
		p.Filter = new(Filter)
	}
	if p.LeaseMS == nil {
		p.LeaseMS = new(int64(DefaultLeaseMS))
	}
	if p.WaitMS == nil {
		p.WaitMS = new(int64)
	}
	if p.UntilDisconnect == nil {
		p.UntilDisconnect = new(bool)
	}
	if p.ID != nil {
		if err := checkID("id", *p.ID); err != nil {
			return err
		}
	}
	if *p.WaitMS < 0 || *p.WaitMS > MaxWaitMS {
		return Invalid("wait_ms", "must be 0 to 60000")
	}
	return firstError(checkAssignedTo(&p.AssignedTo), p.Filter.Validate(), checkLease(p.LeaseMS))
}

// Matches tells whether a claim wants t, as far as t itself decides.
func (p *ClaimParams) Matches(t *Task) bool {
	return t.Ready && (p.ID == nil || *p.ID == t.ID) && p.Filter.Match(t)
}

// ClaimResult is the result of task.claim where a task was taken; otherwise that
// is null.
type ClaimResult struct {
	Task       json.RawMessage `json:"task"`
	LeaseToken string          `json:"lease_token"` // proves the claim: for renew, release and update
	ExpiresAt  int64           `json:"expires_at"`  // Unix milliseconds
}

// AppendJSON appends r with its document as it is.
func (r *ClaimResult) AppendJSON(dst []byte) []byte {
	dst = append(append(dst, `{"task":`...), r.Task...)
	dst = AppendString(append(dst, `,"lease_token":`...), r.LeaseToken)
	return append(appendInt(append(dst, `,"expires_at":`...), r.ExpiresAt), '}')
}

// RenewParams are the parameters of task.renew.
type RenewParams struct {
	ID         string `json:"id"`
	LeaseToken string `json:"lease_token"`
	LeaseMS    *int64 `json:"lease_ms,omitempty"` // from now on; absent: as long as before
}

// Validate checks the values of p. The error is an [Error] with code
// [CodeInvalidParams].
func (p *RenewParams) Validate() error {
	return firstError(checkID("id", p.ID), checkLeaseToken(p.LeaseToken), checkLease(p.LeaseMS))
}

// RenewResult is the result of task.renew.
type RenewResult struct {
	ExpiresAt int64 `json:"expires_at"` // Unix milliseconds
}

// ReleaseParams are the parameters of task.release. To todo, the default, the task
// is unassigned; to another status it keeps its assignee.
type ReleaseParams struct {
	ID         string  `json:"id"`
	LeaseToken string  `json:"lease_token"`
	Status     *Status `json:"status,omitempty"`
}

// Normalize validates p and fills in the default. The error is an [Error] with code
// [CodeInvalidParams].
func (p *ReleaseParams) Normalize() error {
	if p.Status == nil {
		p.Status = new(Todo)
	}
	return firstError(checkID("id", p.ID), checkLeaseToken(p.LeaseToken), checkEnum("status", *p.Status, Statuses()))
}

// Claim is a task.claim as a Change has it: complete but for the task that it finds,
// which the rows decide. The lease ends at the time of the Change plus LeaseMS, or
// with the connection that is the Change's Source if it is UntilDisconnect.
type Claim struct {
	ClaimParams
	LeaseToken string `json:"lease_token"`
}

// Expire ends a claim that nobody gave back: the task goes back to todo, unassigned.
// It does nothing where the claim is not the present one any more, or, with
// ExpiresAt, was renewed since.
type Expire struct {
	ID         string `json:"id"`
	LeaseToken string `json:"lease_token"`
	ExpiresAt  *int64 `json:"expires_at,omitempty"` // Unix milliseconds
}

// Lease is a claim as it is stored beside its task: renewing it is no event.
type Lease struct {
	Num       int64 // larger than that of every claim and renewal before
	TaskID    string
	Token     string
	Seq       int64 // of the event of the claim
	LengthMS  int64
	ExpiresAt int64 // Unix milliseconds
	Source    int64 // the connection with which it ends, 0 for none
	Orphaned  bool  // it is to end: that connection cannot be there any more, or another process has set the task's status
}

// stalled is how much earlier, in milliseconds, the time of a journal may let a lease end
// than before, although it was renewed for as long: the clock of the journal stands still
// until it is caught up with. A clock that was set back further is believed.
const stalled = 1000

// Renew lets a lease last from at (Unix milliseconds) on, for as long as before unless
// lengthMS says otherwise. It ends at another time than before, also where no time has
// passed for the journal since: an [Expire] that names the end of before does nothing.
func (l *Lease) Renew(at int64, lengthMS *int64) {
	before, length := l.ExpiresAt, l.LengthMS
	if lengthMS != nil {
		l.LengthMS = *lengthMS
	}
	l.ExpiresAt = at + l.LengthMS
	earlier := before - l.ExpiresAt
	if earlier == 0 || l.LengthMS == length && 0 < earlier && earlier < stalled {
		l.ExpiresAt = before + 1
	}
}

func checkLease(ms *int64) error {
	if ms != nil && (*ms < MinLeaseMS || *ms > MaxLeaseMS) {
		return Invalid("lease_ms", leaseRule)
	}
	return nil
}

func checkLeaseToken(token string) error {
	if n := utf8.RuneCountInString(token); n < 1 || n > MaxLeaseToken {
		return Invalid("lease_token", "must be 1 to 128 characters: what task.claim gave")
	}
	return nil
}
