package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func startCommand() *cli.Command {
	return statusCommand("start", "say that somebody works on tasks", schema.InProgress, []string{"begin"},
		"\"descartes claim\" takes a task so that nobody else can.",
		&cli.StringFlag{Name: "assign", Aliases: []string{"assigned-to"}, Usage: "`NAME` works on it"})
}

func doneCommand() *cli.Command {
	return statusCommand("done", "say that tasks are done", schema.Done, []string{"finish", "close"}, "What waited for them alone is ready.")
}

func blockCommand() *cli.Command {
	return statusCommand("block", "say that tasks cannot go on", schema.Blocked, nil, "\"descartes reopen\" says that they can.")
}

func reopenCommand() *cli.Command {
	return statusCommand("reopen", "say that tasks are to be done, again", schema.Todo, []string{"unblock", "todo"}, "They stay who they are assigned to.")
}

// statusCommand gives tasks another status.
func statusCommand(name, usage string, status schema.Status, aliases []string, more string, flags ...cli.Flag) *cli.Command {
	return &cli.Command{
		Name:         name,
		Usage:        usage,
		Aliases:      aliases,
		ArgsUsage:    "ID…",
		Description:  "Their status is " + string(status) + " then. All of them, in one commit, or none. " + more,
		Flags:        append(append(clientFlags(), flags...), jsonFlag()),
		OnUsageError: onUsageError,
		Action: failing(func(ctx context.Context, cmd *cli.Command) error {
			if err := needsTasks(cmd); err != nil {
				return err
			}
			var patch schema.Patch
			patch.Status = schema.Some(status)
			if who := cmd.String("assign"); who != "" {
				patch.AssignedTo = schema.Some(who)
			}
			if err := patch.Normalize(); err != nil {
				return flagError(cmd, err)
			}
			return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
				ids, err := namedTasks(ctx, cmd, c)
				if err != nil {
					return err
				}
				return writeEach(ctx, cmd, c, "updated", ids, func(id string) schema.Operation {
					return schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: id, Patch: patch}}
				})
			})(ctx, cmd)
		}),
	}
}
