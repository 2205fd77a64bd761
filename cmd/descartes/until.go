package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
)

// until is the condition at which a watch ends: that a task is so or, where the
// filter names tasks, that all of these are.
type until struct {
	filter   schema.Filter
	ids      []string        // the tasks that are named
	waiting  map[string]bool // of these; true: it is not so
	unseen   map[string]bool // of these; true: the snapshot has not brought it yet
	snapshot bool            // there is one, with every task that is named
}

// readUntil reads --until, nil if it is not there: a status, "ready", or a filter as
// JSON.
func readUntil(cmd *cli.Command, p *schema.SubscribeParams) (*until, error) {
	text := cmd.String("until")
	if !cmd.IsSet("until") {
		return nil, nil
	}
	if cmd.IsSet("count") {
		return nil, usageError("--until and --count exclude each other: the exit code 0 could not tell which of them it was")
	}
	u := new(until)
	switch status := statusOf(text); {
	case slices.Contains(schema.Statuses(), status):
		u.filter.Status = []schema.Status{status}
	case text == "ready":
		u.filter.Ready = new(true)
	case !json.Valid([]byte(text)) || !strings.HasPrefix(strings.TrimSpace(text), "{"):
		return nil, usageError("--until must be %s, ready, or a filter as JSON such as '{\"assigned_to\":[\"me\"]}', not %q", words(schema.Statuses()), text)
	default:
		var params struct {
			Until schema.Filter `json:"until"`
		}
		if err := schema.Decode([]byte(`{"until":`+text+`}`), &params); err != nil {
			return nil, usageError("--until: %w", err)
		}
		if u.filter = params.Until; u.filter.IsZero() {
			return nil, usageError("--until {} is so of every task: say what to wait for")
		}
	}
	if err := u.filter.Validate(); err != nil {
		return nil, usageError("--until: %w", err)
	}
	u.ask(p)
	return u, nil
}

// ask completes what is asked of the daemon: the present state of tasks that are named,
// so that nothing can happen between asking for it and watching; and every change, as
// one that is folded into the next would not be seen.
func (u *until) ask(p *schema.SubscribeParams) {
	if p.DebounceMS == nil {
		p.DebounceMS = new(int64)
	}
	if p.Filter == nil || len(p.Filter.IDs) == 0 {
		return
	}
	u.ids = p.Filter.IDs
	if p.Since == nil {
		p.Snapshot = new(true)
		rest := *p.Filter
		rest.IDs = nil
		u.snapshot = rest.IsZero() && rest.ChangeTypes == nil
	}
	u.begin()
}

// begin forgets what is known of the tasks that are named.
func (u *until) begin() {
	u.waiting, u.unseen = make(map[string]bool), make(map[string]bool)
	for _, id := range u.ids {
		u.waiting[id], u.unseen[id] = true, u.snapshot
	}
}

// met takes the next event and tells whether the condition is met. The error says that
// it never will be.
func (u *until) met(e *schema.Event) (bool, error) {
	switch e.ChangeType {
	case schema.Resync: // a snapshot follows
		u.begin()
		return false, nil
	case schema.Bookmark:
		return false, u.gone(e.Live)
	case schema.Deleted:
		if slices.Contains(u.ids, e.TaskID) {
			return false, fmt.Errorf("the task %s was deleted", e.TaskID)
		}
		return false, nil
	}
	task, err := schema.ParseTask(e.Task)
	if err != nil {
		return false, err
	}
	matches := u.filter.Match(task)
	if u.ids == nil {
		return matches, nil
	}
	u.waiting[e.TaskID], u.unseen[e.TaskID] = !matches, false
	return !slices.ContainsFunc(u.ids, func(id string) bool { return u.waiting[id] }), nil
}

// gone tells, when all of a snapshot is there, which task is not.
func (u *until) gone(live bool) error {
	for _, id := range u.ids {
		if live && u.unseen[id] {
			return schema.NotFound(id)
		}
	}
	return nil
}
