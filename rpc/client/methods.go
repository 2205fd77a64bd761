package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/descartes-tasks/descartes/schema"
)

// The methods of this file are those of the protocol. Their errors are those of
// Call; the codes are what is particular to each. schema/method.go and
// docs/protocol.md say what parameters and results mean.

// Create makes a task. The codes: CodeInvalidParams, CodeTaskExists,
// CodeDependencyInvalid. With an id in the draft it can be repeated safely.
func (c *Client) Create(ctx context.Context, draft schema.Draft) (*schema.Task, error) {
	return call[schema.Task](ctx, c, schema.MethodCreate, draft)
}

// Get gives a task; CodeTaskNotFound if there is none with this id.
func (c *Client) Get(ctx context.Context, id string) (*schema.Task, error) {
	return call[schema.Task](ctx, c, schema.MethodGet, schema.GetParams{ID: id})
}

// GetFresh is Get with all that any daemon of the cluster acknowledged before it was
// called, at the cost of a round trip to the log; a single daemon has it anyway.
// CodeStorageUnavailable if the log does not answer for 5 s. For a list: Fresh in
// [schema.ListParams].
func (c *Client) GetFresh(ctx context.Context, id string) (*schema.Task, error) {
	return call[schema.Task](ctx, c, schema.MethodGet, schema.GetParams{ID: id, Fresh: new(true)})
}

// Page is one page of a list.
type Page struct {
	Tasks         []schema.Task `json:"tasks"`
	NextPageToken *string       `json:"next_page_token"` // nil: this is the last page
	Cursor        string        `json:"cursor"`          // the journal place at which the page is true
}

// List gives a page of the tasks that match a filter.
func (c *Client) List(ctx context.Context, params schema.ListParams) (*Page, error) {
	return call[Page](ctx, c, schema.MethodList, params)
}

// Update patches a task and gives it as it is afterwards. The codes:
// CodeTaskNotFound, CodeVersionConflict, CodeLeaseLost, CodeInvalidParams,
// CodeDependencyInvalid.
func (c *Client) Update(ctx context.Context, params schema.UpdateParams) (*schema.Task, error) {
	return call[schema.Task](ctx, c, schema.MethodUpdate, params)
}

// Delete deletes a task. The codes: CodeTaskNotFound, CodeVersionConflict,
// CodeDependencyInvalid while others depend on it.
func (c *Client) Delete(ctx context.Context, params schema.DeleteParams) (*schema.DeleteResult, error) {
	return call[schema.DeleteResult](ctx, c, schema.MethodDelete, params)
}

// Applied is what became of a transaction.
type Applied struct {
	Results []Result // one for each operation
	Cursor  string   // the journal place after the transaction
}

// Result is what one operation of a transaction gave: the task as it is after it,
// or, for a deletion, Deleted.
type Result struct {
	Task    *schema.Task
	Deleted *schema.DeleteResult
}

// Apply makes all operations in their order in one commit, or none. The codes are
// those of the operations; the Index in the data tells which one failed.
func (c *Client) Apply(ctx context.Context, operations ...schema.Operation) (*Applied, error) {
	raw, err := call[schema.ApplyResult](ctx, c, schema.MethodApply, schema.ApplyParams{Operations: operations})
	if err != nil {
		return nil, err
	}
	if len(raw.Results) != len(operations) {
		return nil, fmt.Errorf("%d operations have %d results", len(operations), len(raw.Results))
	}
	applied := &Applied{Results: make([]Result, len(operations)), Cursor: raw.Cursor}
	for i, document := range raw.Results {
		r := &applied.Results[i]
		if operations[i].Op == schema.OpDelete {
			err = json.Unmarshal(document, &r.Deleted)
		} else {
			err = json.Unmarshal(document, &r.Task)
		}
		if err != nil {
			return nil, fmt.Errorf("read result %d: %w", i, err)
		}
	}
	return applied, nil
}

// Claimed is a claim: the task, and what proves that it is the caller's.
type Claimed struct {
	Task       schema.Task `json:"task"`
	LeaseToken string      `json:"lease_token"`
	ExpiresAt  int64       `json:"expires_at"` // Unix milliseconds
}

// Claim takes the ready task that matches, or gives nil if there is none, with WaitMS
// only after that time. CodeTaskNotFound if there is no task with the id that was
// asked for. A claim whose answer was lost ends by itself when its time is over.
func (c *Client) Claim(ctx context.Context, params schema.ClaimParams) (*Claimed, error) {
	claimed, err := call[*Claimed](ctx, c, schema.MethodClaim, params)
	if err != nil {
		return nil, err
	}
	return *claimed, nil
}

// Renew lets a claim hold longer; CodeLeaseLost if it has ended.
func (c *Client) Renew(ctx context.Context, params schema.RenewParams) (*schema.RenewResult, error) {
	return call[schema.RenewResult](ctx, c, schema.MethodRenew, params)
}

// Release gives a claimed task back, or ends the claim with another status;
// CodeLeaseLost if it has ended before.
func (c *Client) Release(ctx context.Context, params schema.ReleaseParams) (*schema.Task, error) {
	return call[schema.Task](ctx, c, schema.MethodRelease, params)
}

// History gives a page of the journal, oldest first, or newest first with Before. The
// codes: CodeInvalidParams, CodeCursorExpired.
func (c *Client) History(ctx context.Context, params schema.HistoryParams) (*schema.HistoryResult, error) {
	return call[schema.HistoryResult](ctx, c, schema.MethodHistory, params)
}

// Info tells what the daemon is.
func (c *Client) Info(ctx context.Context) (*schema.InfoResult, error) {
	return call[schema.InfoResult](ctx, c, schema.MethodInfo, nil)
}

// Stats tells how the daemon is doing.
func (c *Client) Stats(ctx context.Context) (*schema.StatsResult, error) {
	return call[schema.StatsResult](ctx, c, schema.MethodStats, nil)
}

// Ping returns once the daemon has answered.
func (c *Client) Ping(ctx context.Context) error { return c.Call(ctx, schema.MethodPing, nil, nil) }

// call gives the result of a method as a T.
func call[T any](ctx context.Context, c *Client, method string, params any) (*T, error) {
	result := new(T)
	if err := c.Call(ctx, method, params, result); err != nil {
		return nil, err
	}
	return result, nil
}
