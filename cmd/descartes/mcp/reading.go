package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Bounds of pages: smaller than the daemon's, since models read all of them.
const (
	defaultPage = 50
	maxPage     = 200
)

var readOnly = sdk.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true}

// tools is the table of tools.
func tools() []tool {
	return slices.Concat(readingTools(), planningTools(), workingTools())
}

func readingTools() []tool {
	return []tool{
		define(tool{
			name: "list_ready_tasks", title: "List ready tasks", hints: readOnly,
			description: "List the tasks that can be worked on now: todo, every dependency done, claimed by nobody. Most urgent first. To work on one call claim_task, which finds the most urgent one itself.",
		}, listReady),
		define(tool{
			name: "list_tasks", title: "List tasks", hints: readOnly,
			description: "List tasks, all or those that match every given filter. Descriptions and metadata are left out: get_task has them.",
		}, listTasks),
		define(tool{
			name: "get_task", title: "Get a task", hints: readOnly,
			description: "Get everything about one task: description, metadata (metadata.result is what came of it), who has claimed it, and what it waits for.",
		}, getTask),
		define(tool{
			name: "task_history", title: "Read the history", hints: readOnly,
			description: "Read what happened to a task, or to all tasks: every change with time and old values, oldest first, or, with before, newest first.",
		}, history),
	}
}

// summary is a task in a list.
type summary struct {
	ID           string            `json:"id"`
	Title        string            `json:"title"`
	Status       schema.Status     `json:"status"`
	Priority     schema.Priority   `json:"priority"`
	Complexity   schema.Complexity `json:"complexity"`
	AssignedTo   *string           `json:"assigned_to,omitempty"`
	Dependencies []string          `json:"dependencies"`
	Ready        bool              `json:"ready"`
	LeasedBy     *string           `json:"leased_by,omitempty"`
	Version      int64             `json:"version"`
}

func summarize(t *schema.Task) summary {
	return summary{t.ID, t.Title, t.Status, t.Priority, t.Complexity, t.AssignedTo, t.Dependencies, t.Ready, t.LeasedBy, t.Version}
}

// page is a page of a list.
type page struct {
	Tasks         []summary `json:"tasks"`
	NextPageToken *string   `json:"next_page_token,omitempty"`
}

type listReadyInput struct {
	PriorityAtLeast *schema.Priority `json:"priority_at_least,omitempty"`
	Text            *string          `json:"text,omitempty"`
	Limit           *int64           `json:"limit,omitempty"`
	PageToken       *string          `json:"page_token,omitempty"`
}

func listReady(ctx context.Context, s *session, in *listReadyInput) (*page, string, error) {
	p, err := s.list(ctx, schema.ListParams{
		Filter: &schema.Filter{Ready: new(true), PriorityAtLeast: in.PriorityAtLeast, Text: in.Text},
		Order:  new("-" + schema.ByPriority), Limit: in.Limit, PageToken: in.PageToken,
	})
	if err == nil && len(p.Tasks) == 0 {
		return p, "No task is ready that matches. claim_task with wait_seconds waits for one; list_tasks shows what is in the way.", nil
	}
	return p, count(p, "ready task"), err
}

type listInput struct {
	Status          []schema.Status  `json:"status,omitzero" jsonschema:"any of these"`
	PriorityAtLeast *schema.Priority `json:"priority_at_least,omitempty"`
	AssignedTo      []*string        `json:"assigned_to,omitzero" jsonschema:"any of these names; null among them: nobody"`
	IDs             []string         `json:"ids,omitzero" jsonschema:"any of these tasks"`
	Ready           *bool            `json:"ready,omitempty" jsonschema:"true: only what can be claimed now; false: only what cannot"`
	Text            *string          `json:"text,omitempty"`
	Order           *schema.Order    `json:"order,omitempty"`
	Limit           *int64           `json:"limit,omitempty"`
	PageToken       *string          `json:"page_token,omitempty"`
}

func listTasks(ctx context.Context, s *session, in *listInput) (*page, string, error) {
	p, err := s.list(ctx, schema.ListParams{
		Filter: &schema.Filter{
			Status: in.Status, PriorityAtLeast: in.PriorityAtLeast, AssignedTo: in.AssignedTo,
			IDs: in.IDs, Ready: in.Ready, Text: in.Text,
		},
		Order: in.Order, Limit: in.Limit, PageToken: in.PageToken,
	})
	return p, count(p, "task"), err
}

// list gives a page of tasks.
func (s *session) list(ctx context.Context, params schema.ListParams) (*page, error) {
	if err := checkRange("limit", params.Limit, 1, maxPage); err != nil {
		return nil, err
	}
	if params.Limit == nil {
		params.Limit = new(int64(defaultPage))
	}
	if err := params.Normalize(); err != nil {
		return nil, err
	}
	found, err := read(ctx, s.daemon, func(conn *client.Client) (*client.Page, error) { return conn.List(ctx, params) })
	if err != nil {
		return nil, err
	}
	p := &page{Tasks: []summary{}, NextPageToken: found.NextPageToken}
	for i := range found.Tasks {
		p.Tasks = append(p.Tasks, summarize(&found.Tasks[i]))
	}
	return p, nil
}

// count says how many there are on a page, and whether there are more.
func count(p *page, what string) string {
	switch {
	case p == nil:
		return ""
	case p.NextPageToken != nil:
		return fmt.Sprintf("%d %ss, and there are more: give next_page_token as page_token.", len(p.Tasks), what)
	case len(p.Tasks) == 1:
		return "1 " + what + "."
	}
	return fmt.Sprintf("%d %ss.", len(p.Tasks), what)
}

type getInput struct {
	ID string `json:"id"`
}

// seen is a task with what concerns whoever looks at it.
type seen struct {
	Task     *schema.Task `json:"task"`
	Held     bool         `json:"held"`
	WaitsFor []string     `json:"waits_for,omitempty"`
}

func getTask(ctx context.Context, s *session, in *getInput) (*seen, string, error) {
	if err := requireID(in.ID); err != nil {
		return nil, "", err
	}
	task, err := s.get(ctx, in.ID)
	if err != nil {
		return nil, "", err
	}
	t := &seen{Task: task, Held: s.claims.holds(task)}
	if task.Status == schema.Todo && !task.Ready {
		if t.WaitsFor, err = s.waitsFor(ctx, task); err != nil {
			return nil, "", err
		}
	}
	return t, t.String(), nil
}

// String says in a sentence how it stands with the task.
func (t *seen) String() string {
	text := fmt.Sprintf("%s is %s", t.Task.ID, t.Task.Status)
	switch {
	case t.Held:
		return text + ", claimed by this session."
	case t.Task.LeasedBy != nil:
		return text + ", claimed by " + *t.Task.LeasedBy + "."
	case t.Task.Ready:
		return text + " and ready: claim_task takes it."
	case len(t.WaitsFor) > 0:
		return text + " and waits for " + list(t.WaitsFor) + "."
	}
	return text + "."
}

func (s *session) get(ctx context.Context, id string) (*schema.Task, error) {
	return read(ctx, s.daemon, func(conn *client.Client) (*schema.Task, error) { return conn.Get(ctx, id) })
}

// waitsFor gives the dependencies of a task that are not done.
func (s *session) waitsFor(ctx context.Context, task *schema.Task) ([]string, error) {
	if len(task.Dependencies) == 0 {
		return nil, nil
	}
	filter := &schema.Filter{IDs: task.Dependencies, Status: []schema.Status{schema.Todo, schema.InProgress, schema.Blocked}}
	found, err := read(ctx, s.daemon, func(conn *client.Client) (*client.Page, error) {
		return conn.List(ctx, schema.ListParams{Filter: filter, Limit: new(int64(schema.MaxDependencies))})
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range found.Tasks {
		ids = append(ids, found.Tasks[i].ID)
	}
	return ids, nil
}

type historyInput struct {
	ID     *string `json:"id,omitempty" jsonschema:"only what happened to this task; default: to all"`
	Since  *string `json:"since,omitempty" jsonschema:"go on after this place: next, or oldest, of an answer before"`
	Limit  *int64  `json:"limit,omitempty"`
	Before *string `json:"before,omitempty" jsonschema:"newest first: end, or next of an answer before; not together with since"`
}

// past is a page of the journal.
type past struct {
	Events []entry `json:"events"`
	Next   *string `json:"next,omitempty"`
	Oldest string  `json:"oldest"`
}

// entry is an event without what get_task has.
type entry struct {
	Seq            int64             `json:"seq" jsonschema:"place in the history"`
	ChangeType     schema.ChangeType `json:"change_type"`
	TaskID         string            `json:"task_id"`
	Title          string            `json:"title" jsonschema:"after the change"`
	PreviousStatus schema.Status     `json:"previous_status,omitempty"`
	NewStatus      schema.Status     `json:"new_status,omitempty"`
	AssignedTo     *string           `json:"assigned_to,omitempty" jsonschema:"after the change"`
	Previous       json.RawMessage   `json:"previous,omitempty" jsonschema:"the old values of what changed"`
	Origin         schema.Origin     `json:"origin" jsonschema:"rpc; external: another process; lease: a claim that ran out"`
	Actor          string            `json:"actor,omitempty" jsonschema:"name of the token that made the change"`
	Timestamp      int64             `json:"timestamp" jsonschema:"Unix milliseconds"`
}

func history(ctx context.Context, s *session, in *historyInput) (*past, string, error) {
	if err := checkRange("limit", in.Limit, 1, maxPage); err != nil {
		return nil, "", err
	}
	if in.Limit == nil {
		in.Limit = new(int64(defaultPage))
	}
	params := schema.HistoryParams{ID: in.ID, Since: in.Since, Limit: in.Limit, Before: in.Before}
	found, err := read(ctx, s.daemon, func(conn *client.Client) (*schema.HistoryResult, error) { return conn.History(ctx, params) })
	if err != nil {
		return nil, "", err
	}
	p := &past{Events: []entry{}, Next: found.Next, Oldest: found.Oldest}
	for i := range found.Events {
		e := &found.Events[i]
		task, err := schema.ParseTask(e.Task)
		if err != nil {
			return nil, "", err
		}
		p.Events = append(p.Events, entry{
			e.Seq, e.ChangeType, e.TaskID, task.Title, e.PreviousStatus, e.NewStatus,
			task.AssignedTo, e.Previous, e.Origin, e.Actor, e.Timestamp,
		})
	}
	order, place := "oldest", "since"
	if in.Before != nil {
		order, place = "newest", "before"
	}
	text := fmt.Sprintf("%d changes, %s first.", len(p.Events), order)
	if p.Next != nil {
		text += " There are more: give next as " + place + "."
	}
	return p, text, nil
}

func requireID(id string) error {
	if id == "" {
		return schema.Invalid("id", "is required: the id of the task")
	}
	return nil
}

func checkRange(field string, value *int64, least, most int64) error {
	if value != nil && (*value < least || *value > most) {
		return schema.Invalid(field, fmt.Sprintf("must be %d to %d", least, most))
	}
	return nil
}

// inField gives an error about a field as one about that field of a larger whole.
func inField(whole string, err error) error {
	coded, ok := errors.AsType[*schema.Error](err)
	if !ok || coded.Code != schema.CodeInvalidParams {
		return err
	}
	return schema.Invalid(whole+"."+coded.Data.Field, coded.Data.Rule)
}
