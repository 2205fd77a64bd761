package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// checkNames refuses what cannot name a task, before anything is tried: most often the
// empty text of a variable that a script has never set, which must not mean all tasks.
func checkNames(names []string) error {
	for _, name := range names {
		if !schema.IsID(name) {
			return usageError("%q cannot be the id of a task: that is 1 to 128 characters of A-Z a-z 0-9 . _ : -", cut(name, 40))
		}
	}
	return nil
}

// resolve gives the ids of the tasks that people name: by their ids, or by the last
// digits, at least shortID of them, of ids that the daemon made. Who has chosen
// an id that looks like such digits means that one, if there is one. Digits that end
// several ids are refused.
func resolve(ctx context.Context, c *client.Client, names []string) ([]string, error) {
	return lookUp(ctx, c, names, nil)
}

// lookUp is resolve, which may have to be fresh.
func lookUp(ctx context.Context, c *client.Client, names []string, fresh *bool) ([]string, error) {
	ids := make([]string, len(names))
	short := make(map[string][]schema.Task) // what each can mean
	for i, name := range names {
		ids[i] = name
		if !isShort(name) {
			continue
		}
		err := c.Call(ctx, schema.MethodGet, schema.GetParams{ID: name, Fresh: fresh}, nil)
		switch {
		case errors.Is(err, schema.CodeTaskNotFound):
			short[name] = nil
		case err != nil:
			return nil, err
		}
	}
	if len(short) == 0 {
		return ids, nil
	}
	if err := findEnds(ctx, c, short, fresh); err != nil {
		return nil, err
	}
	for i, name := range names {
		found, asked := short[name]
		switch {
		case !asked:
		case len(found) == 0:
			return nil, schema.NotFound(name)
		case len(found) > 1:
			return nil, fmt.Errorf("%s ends the ids of %d tasks: give more digits of %s", name, len(found), candidates(found))
		default:
			ids[i] = found[0].ID
		}
	}
	return ids, nil
}

// resolveOne is resolve for one.
func resolveOne(ctx context.Context, c *client.Client, name string) (string, error) {
	ids, err := resolve(ctx, c, []string{name})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// findEnds looks through all tasks for those whose ids end in what is asked for.
func findEnds(ctx context.Context, c *client.Client, ends map[string][]schema.Task, fresh *bool) error {
	params := schema.ListParams{Limit: new(int64(schema.MaxLimit)), Fresh: fresh}
	for {
		page, err := c.List(ctx, params)
		if err != nil {
			return err
		}
		for _, task := range page.Tasks {
			if !isUUID(task.ID) {
				continue
			}
			for end := range ends {
				if strings.HasSuffix(task.ID, end) {
					ends[end] = append(ends[end], task)
				}
			}
		}
		if params.PageToken = page.NextPageToken; params.PageToken == nil {
			return nil
		}
	}
}

// candidatesTold bounds the tasks that an error names.
const candidatesTold = 5

func candidates(tasks []schema.Task) string {
	var told []string
	for _, t := range tasks[:min(len(tasks), candidatesTold)] {
		told = append(told, fmt.Sprintf("%s (%s)", t.ID, cut(t.Title, 40)))
	}
	if len(tasks) > candidatesTold {
		told = append(told, "…")
	}
	return strings.Join(told, ", ")
}

// isUUID tells whether an id looks like those that the daemon makes.
func isUUID(id string) bool {
	return len(id) == 36 && id == strings.ToLower(id) && uuid.Validate(id) == nil
}

// isShort tells whether a name can be the end of such an id.
func isShort(name string) bool {
	const full = "00000000-0000-7000-8000-000000000000"
	return len(name) >= shortID && len(name) < len(full) && isUUID(full[:len(full)-len(name)]+name)
}
