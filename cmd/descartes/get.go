package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func getCommand() *cli.Command {
	return &cli.Command{
		Name:         "get",
		Aliases:      []string{"show"},
		Usage:        "print all that there is of a task",
		ArgsUsage:    "ID…",
		Description:  "A field a line; an empty line between two tasks.",
		Flags:        append(clientFlags(), freshFlag(), jsonFlag()),
		OnUsageError: onUsageError,
		Action: failing(func(ctx context.Context, cmd *cli.Command) error {
			if err := needsTasks(cmd); err != nil {
				return err
			}
			return onDaemon(get)(ctx, cmd)
		}),
	}
}

func get(ctx context.Context, cmd *cli.Command, c *client.Client) error {
	fresh := wantsFresh(cmd)
	ids, err := lookUp(ctx, c, cmd.Args().Slice(), fresh)
	if err != nil {
		return err
	}
	w := cmd.Root().Writer
	for i, id := range ids {
		var document json.RawMessage
		if err := c.Call(ctx, schema.MethodGet, schema.GetParams{ID: id, Fresh: fresh}, &document); err != nil {
			return err
		}
		if cmd.Bool("json") {
			err = printJSON(w, document)
		} else {
			if i > 0 {
				fmt.Fprintln(w)
			}
			err = printTask(w, displayOf(cmd), document)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func freshFlag() cli.Flag {
	return &cli.BoolFlag{Name: "fresh", Usage: "with all that any daemon of the cluster has acknowledged before; a single daemon has it anyway"}
}

// wantsFresh gives what task.get and task.list are to be asked for, nil without --fresh.
func wantsFresh(cmd *cli.Command) *bool {
	if !cmd.Bool("fresh") {
		return nil
	}
	return new(true)
}
