package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

const (
	maxWaitSeconds = 50       // shorter than the minute after which many hosts give up a call
	maxResult      = 32 << 10 // characters
)

var (
	changing    = sdk.ToolAnnotations{DestructiveHint: new(false)}
	repeatable  = sdk.ToolAnnotations{DestructiveHint: new(false), IdempotentHint: true}
	destructive = sdk.ToolAnnotations{DestructiveHint: new(true), IdempotentHint: true}
)

func workingTools() []tool {
	return []tool{
		define(tool{
			name: "claim_task", title: "Claim a task", hints: changing,
			description: "Take the most urgent ready task for yourself, or the one with the given id: it becomes in_progress and nobody else gets it. The claim is kept alive until you call finish_task or release_task, or the session ends. claimed is false if nothing is ready.",
		}, claimTask),
		define(tool{
			name: "renew_task", title: "Renew a claim", hints: repeatable,
			description: "Make sure that you still hold a claim. Claims are renewed by themselves, so this is needed only before something that must not be done twice, or to give the claim a longer lease.",
		}, renewTask),
		define(tool{
			name: "update_task", title: "Update a task", hints: destructive, nullable: []string{"description", "assigned_to", "dependencies", "metadata"},
			description: "Change the given fields of a task; the others stay. Lists are replaced, metadata is merged (null takes a member out). To begin a task call claim_task, to complete one that you have claimed finish_task. Setting the status of a task that you hold ends your claim.",
		}, updateTask),
		define(tool{
			name: "finish_task", title: "Finish a task", hints: repeatable,
			description: "Set a task that you have claimed to done and end the claim. Tasks that waited for it become ready.",
		}, finishTask),
		define(tool{
			name: "release_task", title: "Release a task", hints: repeatable,
			description: "Give back a task that you have claimed and will not finish: to todo, so that somebody else can take it, or to blocked, so that nobody does until a person or agent sets it to todo.",
		}, releaseTask),
		define(tool{
			name: "delete_task", title: "Delete a task", hints: destructive,
			description: "Delete a task for good. One that others depend on is not deleted. To give up work that was planned, prefer update_task with status done and the reason in metadata.",
		}, deleteTask),
	}
}

type claimInput struct {
	ID              *string          `json:"id,omitempty" jsonschema:"this task and no other; default: the most urgent ready one"`
	PriorityAtLeast *schema.Priority `json:"priority_at_least,omitempty"`
	Text            *string          `json:"text,omitempty"`
	WaitSeconds     *int64           `json:"wait_seconds,omitempty"`
}

// claimedTask is what claim_task gives.
type claimedTask struct {
	Claimed   bool         `json:"claimed" jsonschema:"false: nothing was ready"`
	Task      *schema.Task `json:"task,omitempty"`
	ExpiresAt int64        `json:"expires_at,omitempty"`
}

func claimTask(ctx context.Context, s *session, in *claimInput) (*claimedTask, string, error) {
	if err := checkRange("wait_seconds", in.WaitSeconds, 0, maxWaitSeconds); err != nil {
		return nil, "", err
	}
	params := schema.ClaimParams{AssignedTo: s.name(), ID: in.ID}
	if in.PriorityAtLeast != nil || in.Text != nil {
		params.Filter = &schema.Filter{PriorityAtLeast: in.PriorityAtLeast, Text: in.Text}
		if err := params.Filter.Validate(); err != nil {
			return nil, "", err
		}
	}
	if in.WaitSeconds != nil {
		params.WaitMS = new(*in.WaitSeconds * 1000)
	}
	claimed, err := s.claims.take(ctx, params)
	if _, unknown := errors.AsType[lostAnswer](err); unknown {
		err = advise("Whether a task was claimed is not known: the connection to the daemon was lost, or it could not find out in time. If one was, that claim ends by itself within %s. Call claim_task again.", s.options.Lease)
	}
	switch {
	case err != nil:
		return nil, "", err
	case claimed == nil && in.ID != nil:
		return &claimedTask{}, s.whyNotReady(ctx, *in.ID), nil
	case claimed == nil:
		return &claimedTask{}, "No task is ready that matches; you have claimed nothing. Call claim_task with wait_seconds to wait for one, or list_tasks to see what is in the way.", nil
	}
	text := fmt.Sprintf("You have claimed %s: %s. Do it, then call finish_task with id %s.", claimed.Task.ID, claimed.Task.Title, claimed.Task.ID)
	return &claimedTask{true, &claimed.Task, claimed.ExpiresAt}, text, nil
}

// whyNotReady says why a task could not be claimed.
func (s *session) whyNotReady(ctx context.Context, id string) string {
	task, err := s.get(ctx, id)
	if err != nil {
		return s.explain(err)
	}
	t := &seen{Task: task, Held: s.claims.holds(task)}
	if t.WaitsFor, err = s.waitsFor(ctx, task); err != nil {
		return s.explain(err)
	}
	if t.Held {
		return "You have claimed " + id + " already: do it, then call finish_task."
	}
	return t.String() + " You have not claimed it. Call claim_task without id for another task."
}

type renewInput struct {
	ID           string `json:"id"`
	LeaseSeconds *int64 `json:"lease_seconds,omitempty"`
}

// renewed is what renew_task gives.
type renewed struct {
	ExpiresAt int64 `json:"expires_at"`
}

func renewTask(ctx context.Context, s *session, in *renewInput) (*renewed, string, error) {
	if err := checkRange("lease_seconds", in.LeaseSeconds, schema.MinLeaseMS/1000, schema.MaxLeaseMS/1000); err != nil {
		return nil, "", err
	}
	k, err := s.held(ctx, in.ID, "renew_task")
	if err != nil {
		return nil, "", err
	}
	params := schema.RenewParams{ID: in.ID, LeaseToken: k.token}
	if in.LeaseSeconds != nil {
		params.LeaseMS = new(*in.LeaseSeconds * 1000)
	}
	result, err := read(ctx, s.daemon, func(conn *client.Client) (*schema.RenewResult, error) { return conn.Renew(ctx, params) })
	if err != nil {
		return nil, "", s.ifLost(ctx, k, err)
	}
	if in.LeaseSeconds != nil {
		k.changeLease(time.Duration(*in.LeaseSeconds) * time.Second)
	}
	return &renewed{result.ExpiresAt}, "You still hold " + in.ID + ".", nil
}

type finishInput struct {
	ID     string  `json:"id"`
	Result *string `json:"result,omitempty"`
}

func finishTask(ctx context.Context, s *session, in *finishInput) (*changed, string, error) {
	if in.Result != nil && len([]rune(*in.Result)) > maxResult {
		return nil, "", schema.Invalid("result", fmt.Sprintf("must be at most %d characters; put more into a file and name it", maxResult))
	}
	k, err := s.held(ctx, in.ID, "finish_task")
	if err != nil {
		return nil, "", err
	}
	params := schema.UpdateParams{ID: in.ID, LeaseToken: &k.token}
	params.Status = schema.Some(schema.Done)
	if in.Result != nil && *in.Result != "" {
		metadata, err := json.Marshal(map[string]string{"result": *in.Result})
		if err != nil {
			return nil, "", err
		}
		params.Metadata = schema.Some(json.RawMessage(metadata))
	}
	task, err := write(ctx, s.daemon, func(conn *client.Client) (*schema.Task, error) { return conn.Update(ctx, params) })
	if coded, ok := errors.AsType[*schema.Error](err); ok && coded.Data.Field == "metadata" {
		err = schema.Invalid("result", "is too long: with all other metadata of the task it must be at most 65536 bytes; put more into a file and name it")
	}
	if err != nil {
		return nil, "", s.ifLost(ctx, k, err)
	}
	return s.changed(task)
}

type releaseInput struct {
	ID     string          `json:"id"`
	Status *releasedStatus `json:"status,omitempty" jsonschema:"todo, the default: somebody else may take it; blocked: nobody until it is set to todo"`
}

// releasedStatus is todo or blocked.
type releasedStatus string

func releaseTask(ctx context.Context, s *session, in *releaseInput) (*changed, string, error) {
	status := schema.Todo
	if in.Status != nil {
		if status = schema.Status(*in.Status); status != schema.Todo && status != schema.Blocked {
			return nil, "", schema.Invalid("status", "must be one of todo, blocked; finish_task sets done")
		}
	}
	k, err := s.held(ctx, in.ID, "release_task")
	if err != nil {
		return nil, "", err
	}
	params := schema.ReleaseParams{ID: in.ID, LeaseToken: k.token, Status: &status}
	task, err := write(ctx, s.daemon, func(conn *client.Client) (*schema.Task, error) { return conn.Release(ctx, params) })
	if err != nil {
		return nil, "", s.ifLost(ctx, k, err)
	}
	return s.changed(task)
}

// held gives the claim of a task that a tool needs, or says what to do without one.
func (s *session) held(ctx context.Context, id, tool string) (*claim, error) {
	if err := requireID(id); err != nil {
		return nil, err
	}
	if k := s.claims.find(id); k != nil {
		return k, nil
	}
	if s.claims.isLost(id) {
		return nil, s.lostClaim(ctx, id)
	}
	return nil, s.notHeld(ctx, id, tool)
}

// ifLost gives the error of a call that needed a claim: one that says that the claim
// is lost is remembered and explained.
func (s *session) ifLost(ctx context.Context, k *claim, err error) error {
	if err == nil || !isLost(err) {
		return err
	}
	s.claims.lose(k)
	return s.lostClaim(ctx, k.task)
}
