package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func deleteCommand() *cli.Command {
	return &cli.Command{
		Name:      "delete",
		Aliases:   []string{"rm", "remove"},
		Usage:     "delete tasks",
		ArgsUsage: "ID…",
		Description: "All of them, in one commit, or none. A task that others wait for is deleted only together with these. \"descartes history ID\" has its\n" +
			"last state for as long as the journal is kept.",
		Flags: append(clientFlags(),
			&cli.Int64Flag{Name: "expected-version", Usage: "refuse if it is not of version `N` any more (one ID)"}, jsonFlag()),
		OnUsageError: onUsageError,
		Action: failing(func(ctx context.Context, cmd *cli.Command) error {
			if err := needsTasks(cmd); err != nil {
				return err
			}
			var version *int64
			if cmd.IsSet("expected-version") {
				version = new(cmd.Int64("expected-version"))
				if cmd.NArg() != 1 {
					return usageError("--expected-version is for one task, but got %q", cmd.Args().Slice())
				}
			}
			return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
				ids, err := namedTasks(ctx, cmd, c)
				if err == nil {
					ids, err = dependentsFirst(ctx, c, ids)
				}
				if err != nil {
					return err
				}
				return writeEach(ctx, cmd, c, "deleted", ids, func(id string) schema.Operation {
					return schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id, ExpectedVersion: version}}
				})
			})(ctx, cmd)
		}),
	}
}

// dependentsFirst puts the ids of tasks into an order in which they can be deleted: a
// task after those that depend on it.
func dependentsFirst(ctx context.Context, c *client.Client, ids []string) ([]string, error) {
	if len(ids) < 2 {
		return ids, nil
	}
	dependents := make(map[string][]string)
	p := schema.ListParams{Filter: &schema.Filter{IDs: ids}, Limit: new(int64(schema.MaxLimit))}
	for {
		page, err := c.List(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, task := range page.Tasks {
			for _, id := range task.Dependencies {
				dependents[id] = append(dependents[id], task.ID)
			}
		}
		if p.PageToken = page.NextPageToken; p.PageToken == nil {
			break
		}
	}
	var order []string
	placed := make(map[string]bool)
	var place func(id string)
	place = func(id string) { // it ends: there is no cycle
		if placed[id] {
			return
		}
		placed[id] = true
		for _, dependent := range dependents[id] {
			place(dependent)
		}
		order = append(order, id)
	}
	for _, id := range ids {
		place(id)
	}
	return order, nil
}
