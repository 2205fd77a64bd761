package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// maxPlan bounds the tasks of one call.
const maxPlan = 200

func planningTools() []tool {
	return []tool{
		define(tool{
			name: "create_tasks", title: "Create tasks",
			hints: sdk.ToolAnnotations{DestructiveHint: new(false)},
			description: "Create one task or a whole plan: all of them or, if one is wrong, none. Dependencies may name tasks that exist by id, and tasks of the same call, in any order, by ref or id. " +
				`Example: {"tasks":[{"ref":"schema","title":"Design the schema"},{"ref":"api","title":"Write the API","dependencies":["schema"],"priority":"high"}]}`,
		}, createTasks),
	}
}

type createInput struct {
	Tasks []plannedTask `json:"tasks" jsonschema:"1 to 200 tasks"`
}

// plannedTask is a schema.Draft as an agent gives it: it begins as todo.
type plannedTask struct {
	Title        string            `json:"title"`
	Ref          string            `json:"ref,omitempty"`
	Description  *string           `json:"description,omitempty"`
	Dependencies []string          `json:"dependencies,omitzero" jsonschema:"refs or ids of the tasks that have to be done first"`
	Priority     schema.Priority   `json:"priority,omitempty"`
	Complexity   schema.Complexity `json:"complexity,omitempty"`
	AssignedTo   *string           `json:"assigned_to,omitempty" jsonschema:"who is meant to do it; anybody may claim it nevertheless"`
	Metadata     json.RawMessage   `json:"metadata,omitempty" jsonschema:"any JSON object, at most 64 KiB"`
	ID           string            `json:"id,omitempty" jsonschema:"only if it has to be a certain one: letters, digits and . _ : -; default: a new one"`
}

// created is what became of a plan.
type created struct {
	Tasks []createdTask `json:"tasks"`
}

type createdTask struct {
	Ref string `json:"ref,omitempty" jsonschema:"as given; from now on the task is known by its id"`
	summary
}

func createTasks(ctx context.Context, s *session, in *createInput) (*created, string, error) {
	if n := len(in.Tasks); n < 1 || n > maxPlan {
		return nil, "", schema.Invalid("tasks", fmt.Sprintf("must be 1 to %d tasks", maxPlan))
	}
	p, err := newPlan(in.Tasks)
	if err != nil {
		return nil, "", err
	}
	tasks, err := s.carryOut(ctx, p)
	if err != nil {
		return nil, "", p.inWords(err)
	}
	out := &created{Tasks: make([]createdTask, len(tasks))}
	var ready []string
	for i, task := range tasks {
		out.Tasks[i] = createdTask{in.Tasks[i].Ref, summarize(&task)}
		if task.Ready {
			ready = append(ready, task.ID)
		}
	}
	text := fmt.Sprintf("Created %d, none of them ready yet.", len(tasks))
	if len(ready) > 0 {
		text = fmt.Sprintf("Created %d, of which %d can be claimed now: %s.", len(tasks), len(ready), list(ready))
	}
	return out, text, nil
}

// plan is a set of drafts, each with an id, whose dependencies are ids.
type plan struct {
	drafts  []schema.Draft
	names   []string       // what the agent calls each: ref, id or place
	ids     map[string]int // id -> place
	order   []int          // places, dependencies first
	newIDs  []string       // those that were made here
	visited []int          // of each: 0 not yet, 1 on the way, 2 in order
}

func newPlan(tasks []plannedTask) (*plan, error) {
	p := &plan{ids: make(map[string]int), visited: make([]int, len(tasks))}
	refs := make(map[string]string) // -> id
	for i := range tasks {
		if err := p.add(i, &tasks[i], refs); err != nil {
			return nil, inField(fmt.Sprintf("tasks[%d]", i), err)
		}
	}
	for i := range p.drafts {
		d := &p.drafts[i]
		for j, name := range d.Dependencies {
			if id, ok := refs[name]; ok {
				d.Dependencies[j] = id
			}
		}
		if err := d.Normalize(); err != nil {
			return nil, inField(fmt.Sprintf("tasks[%d]", i), err)
		}
	}
	for i := range p.drafts {
		if err := p.sort(i, nil); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add takes a task into the plan. The ids that are made grow in the order that the
// agent gave.
func (p *plan) add(i int, t *plannedTask, refs map[string]string) error {
	id, name := t.ID, t.ID
	if id == "" {
		made, err := uuid.NewV7()
		if err != nil {
			return err
		}
		id, name = made.String(), fmt.Sprintf("tasks[%d]", i)
		p.newIDs = append(p.newIDs, id)
	}
	if first, twice := p.ids[id]; twice {
		return schema.Invalid("id", fmt.Sprintf("must not be that of tasks[%d] again", first))
	}
	p.ids[id] = i
	if t.Ref != "" {
		if _, twice := refs[t.Ref]; twice {
			return schema.Invalid("ref", "must not be used twice: "+t.Ref)
		}
		refs[t.Ref], name = id, t.Ref
	}
	p.names = append(p.names, name)
	p.drafts = append(p.drafts, schema.Draft{
		Title: t.Title, Description: t.Description, Priority: t.Priority, Complexity: t.Complexity,
		AssignedTo: t.AssignedTo, Dependencies: append([]string{}, t.Dependencies...), Metadata: t.Metadata, ID: id,
	})
	return nil
}

// sort puts a task into the order, after what it depends on. way leads to it.
func (p *plan) sort(i int, way []string) error {
	way = append(way, p.names[i])
	switch p.visited[i] {
	case 1:
		return advise("These tasks depend on each other in a circle: %s. No task was created. Leave one of these dependencies out.", strings.Join(way, " -> "))
	case 2:
		return nil
	}
	p.visited[i] = 1
	for _, id := range p.drafts[i].Dependencies {
		if at, ours := p.ids[id]; ours {
			if err := p.sort(at, way); err != nil {
				return err
			}
		}
	}
	p.visited[i] = 2
	p.order = append(p.order, i)
	return nil
}

// inWords names the task of an error as the agent knows it.
func (p *plan) inWords(err error) error {
	coded, ok := err.(*schema.Error)
	if !ok || coded.Data.Index == nil || *coded.Data.Index >= len(p.order) {
		return err
	}
	named := *coded
	_, text, _ := strings.Cut(coded.Message, ": ")
	named.Message = fmt.Sprintf("%s: %s", p.names[p.order[*coded.Data.Index]], text)
	return &named
}

// carryOut creates the tasks of a plan in one commit and gives them in the order of
// the agent. It may be repeated when an answer was lost, because the ids are known:
// if they are there then, it was made.
func (s *session) carryOut(ctx context.Context, p *plan) ([]schema.Task, error) {
	operations := make([]schema.Operation, len(p.order))
	for place, i := range p.order {
		operations[place] = schema.Operation{Op: schema.OpCreate, Create: &p.drafts[i]}
	}
	if err := s.checkSize(ctx, operations); err != nil {
		return nil, err
	}
	tasks := make([]schema.Task, len(p.order))
	applied, err := read(ctx, s.daemon, func(conn *client.Client) (*client.Applied, error) { return conn.Apply(ctx, operations...) })
	if schema.CodeOf(err) == schema.CodeTaskExists && len(p.newIDs) > 0 {
		if found, listErr := s.made(ctx, p); listErr == nil && found != nil {
			return found, nil
		}
	}
	if err != nil {
		return nil, err
	}
	for place, i := range p.order {
		tasks[i] = *applied.Results[place].Task
	}
	return tasks, nil
}

// What every daemon takes, and what a request has besides its operations.
const (
	smallPlan = 64 << 10
	envelope  = 200
)

// checkSize refuses a plan that is longer than the messages that the daemon takes. It
// would close the connection, and with that look as if it were away.
func (s *session) checkSize(ctx context.Context, operations []schema.Operation) error {
	encoded, err := schema.Encode(operations)
	if err != nil || len(encoded) <= smallPlan {
		return err
	}
	info, err := read(ctx, s.daemon, func(conn *client.Client) (*schema.InfoResult, error) { return conn.Info(ctx) })
	if err != nil {
		return err
	}
	if limit := info.Limits["message"]; int64(len(encoded)+envelope) > limit {
		return advise("These tasks are %d bytes, and the daemon takes at most %d at a time. No task was created. Create them in several calls: a later one names the tasks of an earlier one by id.", len(encoded), limit)
	}
	return nil
}

// made gives the tasks of a plan if they are all there, those included whose ids
// nobody else can have.
func (s *session) made(ctx context.Context, p *plan) ([]schema.Task, error) {
	filter := &schema.Filter{}
	for i := range p.drafts {
		filter.IDs = append(filter.IDs, p.drafts[i].ID)
	}
	found, err := read(ctx, s.daemon, func(conn *client.Client) (*client.Page, error) {
		return conn.List(ctx, schema.ListParams{Filter: filter, Limit: new(int64(maxPlan))})
	})
	if err != nil || len(found.Tasks) != len(p.drafts) {
		return nil, err
	}
	tasks := make([]schema.Task, len(p.drafts))
	for _, task := range found.Tasks {
		tasks[p.ids[task.ID]] = task
	}
	return tasks, nil
}
