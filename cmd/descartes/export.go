package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write the tasks as JSON, one a line, while daemons run",
		ArgsUsage: "[FILE]",
		Description: "Each line is a task as clients get it, all of them as they are at one moment: a task after those that it depends\n" +
			"on, else the oldest first. FILE, which only its owner can read, appears when all of it is on the disk; without\n" +
			"it, or for -, the lines go to standard output. \"descartes import\" makes tasks of them.",
		Flags: []cli.Flag{
			dbFlag(),
			&cli.StringFlag{Name: "filter", Usage: "only what matches, as `JSON`: '{\"status\":[\"todo\"]}'"},
			&cli.BoolFlag{Name: "force", Usage: "replace FILE"},
		},
		OnUsageError: onUsageError,
		Action:       failing(export),
	}
}

func export(ctx context.Context, cmd *cli.Command) error {
	name, err := fileArgument(cmd)
	if err != nil {
		return err
	}
	filter, err := exportFilter(cmd)
	if err != nil {
		return err
	}
	db, out := cmd.String("db"), cmd.Root().Writer
	toFile := name != "" && name != "-"
	var bar *progress
	if toFile || !isTerminal(out) { // where the lines show how far it is
		bar = newProgress(cmd.Root().ErrWriter, "exporting")
		defer bar.close()
	}
	var tasks int64
	if toFile {
		tasks, err = storage.ExportFile(ctx, db, name, cmd.Bool("force"), filter, bar.show)
	} else {
		tasks, err = storage.Export(ctx, db, out, filter, bar.show)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("export: interrupted")
	case err != nil:
		return databaseError(cmd, err)
	}
	bar.close()
	_, err = fmt.Fprintf(cmd.Root().ErrWriter, "exported %s\n", count(tasks, "task"))
	return err
}

// exportFilter reads --filter as the daemon would.
func exportFilter(cmd *cli.Command) (*schema.Filter, error) {
	var params struct {
		Filter schema.Filter `json:"filter"`
	}
	if err := readFilter(cmd, &params); err != nil {
		return nil, err
	}
	if err := params.Filter.Validate(); err != nil {
		return nil, usageError("%w", err)
	}
	return &params.Filter, nil
}
