package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func createCommand() *cli.Command {
	return &cli.Command{
		Name:      "create",
		Aliases:   []string{"add", "new"},
		Usage:     "make a task, or many",
		ArgsUsage: "TITLE… | -",
		Description: "Prints the id. All words are the title of one task. For -, tasks are read from standard input: a line is a title,\n" +
			"or a JSON object with the fields of a task; what a line does not say the flags do. Nothing is made if a line is\n" +
			"wrong; up to 1000 tasks are made in one commit.",
		Flags: append(append(clientFlags(), fieldFlags()...),
			&cli.StringFlag{Name: "id", Usage: "give it the `ID` instead of one that the daemon makes"}, jsonFlag()),
		OnUsageError: onUsageError,
		Action:       failing(create),
	}
}

func create(ctx context.Context, cmd *cli.Command) error {
	draft, err := readDraft(cmd)
	if err != nil {
		return err
	}
	title := strings.Join(cmd.Args().Slice(), " ")
	switch {
	case title == "-":
		return createMany(ctx, cmd, draft)
	case strings.TrimSpace(title) == "":
		return usageError(`say what is to be done: descartes %s TITLE; for many tasks descartes %[1]s - reads a line for each`, cmd.Name)
	}
	draft.Title = title
	check := draft // the daemon fills in the defaults
	check.Dependencies = nil
	if err := check.Normalize(); err != nil {
		return flagError(cmd, err)
	}
	return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
		if draft.Dependencies, err = resolve(ctx, c, draft.Dependencies); err != nil {
			return err
		}
		var created json.RawMessage
		if err := c.Call(ctx, schema.MethodCreate, draft, &created); err != nil {
			return err
		}
		return printWritten(cmd, "created", created)
	})(ctx, cmd)
}
