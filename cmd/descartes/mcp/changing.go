package mcp

import (
	"context"
	"reflect"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// maxTries bounds the attempts at a change that others come in between.
const maxTries = 5

// changed is a task after a change of it.
type changed struct {
	Task *schema.Task `json:"task"`
	Held bool         `json:"held"`
}

// changed tells how a task is after a change that the session made. Only a task in
// progress is claimed.
func (s *session) changed(task *schema.Task) (*changed, string, error) {
	if task.Status != schema.InProgress {
		s.claims.forget(task.ID)
	}
	c := &changed{Task: task, Held: s.claims.holds(task)}
	return c, (&seen{Task: task, Held: c.Held}).String(), nil
}

type updateInput struct {
	ID string `json:"id"`
	schema.Patch
	ExpectedVersion *int64 `json:"expected_version,omitempty"`
	Overrule        bool   `json:"overrule,omitempty"`
}

func updateTask(ctx context.Context, s *session, in *updateInput) (*changed, string, error) {
	if err := checkUpdate(in); err != nil {
		return nil, "", err
	}
	params := schema.UpdateParams{ID: in.ID, Patch: in.Patch, ExpectedVersion: in.ExpectedVersion}
	update := func() (*schema.Task, error) {
		return write(ctx, s.daemon, func(conn *client.Client) (*schema.Task, error) { return conn.Update(ctx, params) })
	}
	var task *schema.Task
	var err error
	k := s.claims.find(in.ID)
	switch {
	case in.Overrule:
		task, err = update()
	case k != nil:
		params.LeaseToken = &k.token
		task, err = update()
		err = s.ifLost(ctx, k, err)
	case s.claims.isLost(in.ID):
		err = s.lostClaim(ctx, in.ID)
	case in.Status.Set:
		task, err = unclaimed(ctx, s, in.ID, in.ExpectedVersion, func(version int64) (*schema.Task, error) {
			params.ExpectedVersion = &version
			return update()
		})
	default:
		task, err = update()
	}
	if err != nil {
		return nil, "", err
	}
	return s.changed(task)
}

func checkUpdate(in *updateInput) error {
	if err := requireID(in.ID); err != nil {
		return err
	}
	if reflect.ValueOf(in.Patch).IsZero() {
		return advise("Nothing to change was given. Name at least one field: title, description, status, priority, complexity, assigned_to, dependencies or metadata.")
	}
	if in.Status.Value == schema.InProgress {
		return advise("status in_progress is set by claim_task, which also keeps others off the task; nothing was changed. Call claim_task with id %s.", in.ID)
	}
	return in.Normalize()
}

// unclaimed makes a change that would end the claim of a task, if nobody but this
// session has one at the version that it is made at.
func unclaimed[T any](ctx context.Context, s *session, id string, expected *int64, change func(version int64) (T, error)) (result T, err error) {
	for range maxTries {
		var task *schema.Task
		if task, err = s.get(ctx, id); err != nil {
			return result, err
		}
		if task.LeasedBy != nil && s.claims.find(id) == nil {
			return result, advise("%s is claimed by %s, and this would end that claim; nothing was changed. Leave it to them, or, if a person asked for it, call this again with overrule true.", id, *task.LeasedBy)
		}
		version := task.Version
		if expected != nil {
			version = *expected
		}
		result, err = change(version)
		if expected != nil || schema.CodeOf(err) != schema.CodeVersionConflict {
			break
		}
	}
	return result, err
}

type deleteInput struct {
	ID              string `json:"id"`
	ExpectedVersion *int64 `json:"expected_version,omitempty"`
	Overrule        bool   `json:"overrule,omitempty"`
}

func deleteTask(ctx context.Context, s *session, in *deleteInput) (*schema.DeleteResult, string, error) {
	if err := requireID(in.ID); err != nil {
		return nil, "", err
	}
	remove := func(version *int64) (*schema.DeleteResult, error) {
		params := schema.DeleteParams{ID: in.ID, ExpectedVersion: version}
		return write(ctx, s.daemon, func(conn *client.Client) (*schema.DeleteResult, error) { return conn.Delete(ctx, params) })
	}
	var result *schema.DeleteResult
	var err error
	if in.Overrule {
		result, err = remove(in.ExpectedVersion)
	} else {
		result, err = unclaimed(ctx, s, in.ID, in.ExpectedVersion, func(version int64) (*schema.DeleteResult, error) { return remove(&version) })
	}
	if err != nil {
		return nil, "", err
	}
	s.claims.forget(in.ID)
	return result, in.ID + " is deleted.", nil
}
