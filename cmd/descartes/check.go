package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/storage"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "look for damage in the database, while daemons run",
		Description: "Reads the file as it is at one moment and changes nothing about it: pages, tables and triggers, the rules of\n" +
			"each column, the journal without a gap, each task's history, documents, dependencies, ready flags and the\n" +
			"full-text index. One line for each finding (\"what: id or seq: why\"), at most 20 of a kind; the exit code is 1\n" +
			"if there are any.",
		Flags:        []cli.Flag{dbFlag(), &cli.BoolFlag{Name: "json", Usage: "as JSON"}},
		OnUsageError: onUsageError,
		Action:       failing(check),
	}
}

func check(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usageError("check takes no argument, but got %q; the file is given as --db", cmd.Args().First())
	}
	path := cmd.String("db")
	bar := newProgress(cmd.Root().ErrWriter, "checking")
	defer bar.close()
	report, err := storage.Check(ctx, path, bar.show)
	if err != nil {
		return databaseError(cmd, err)
	}
	bar.close()
	if err := printReport(cmd, path, report); err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return &exitError{code: exitFailed} // which have been told
	}
	return nil
}

func printReport(cmd *cli.Command, path string, report *storage.Report) error {
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(report)
	}
	for _, finding := range report.Findings {
		if _, err := fmt.Fprintln(out, finding); err != nil {
			return err
		}
	}
	if len(report.Findings) > 0 {
		return nil
	}
	_, err := fmt.Fprintf(out, "%s: nothing is wrong: %s, %s up to seq %d, format %d\n",
		path, count(report.Tasks, "task"), count(report.Events, "event"), report.Seq, report.Format)
	return err
}
