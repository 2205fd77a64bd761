package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func historyCommand() *cli.Command {
	return &cli.Command{
		Name:      "history",
		Aliases:   []string{"log"},
		Usage:     "print what happened to a task, or to all",
		ArgsUsage: "[ID]",
		Description: "Every change that the journal holds, the oldest first, a line as \"descartes watch\" prints it, and the day. That of a deleted task, too:\n" +
			"it is named by its whole id.",
		Flags: append(clientFlags(),
			&cli.StringFlag{Name: "since", Usage: "begin after `CURSOR`"},
			&cli.Int64Flag{Name: "limit", Usage: "end after `N` events, and tell how to go on"},
			jsonFlag()),
		OnUsageError: onUsageError,
		Action:       failing(history),
	}
}

func history(ctx context.Context, cmd *cli.Command) error {
	var p schema.HistoryParams
	limit := cmd.Int64("limit")
	switch {
	case cmd.NArg() > 1:
		return usageError("history takes the id of one task, or none for all of them, but got %q", cmd.Args().Slice())
	case cmd.IsSet("limit") && limit < 1:
		return usageError("--limit must be at least 1; without it every event comes")
	}
	if err := checkNames(cmd.Args().Slice()); err != nil {
		return err
	}
	if since := cmd.String("since"); cmd.IsSet("since") && since != schema.SinceStart {
		if _, err := schema.ParseCursor("since", since); err != nil {
			return flagError(cmd, err)
		}
		p.Since = &since
	}
	return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
		if name := cmd.Args().First(); name != "" {
			id, err := resolveOne(ctx, c, name)
			if err != nil {
				return err
			}
			p.ID = &id
		}
		return printHistory(ctx, cmd, c, p, limit)
	})(ctx, cmd)
}

// printHistory prints the events of all pages, at most limit of them unless that is 0.
func printHistory(ctx context.Context, cmd *cli.Command, c *client.Client, p schema.HistoryParams, limit int64) error {
	lines := newEventPrinter(cmd)
	lines.layout = "2006-01-02 15:04:05.000" // it may have been long ago
	for left := limit; ; {
		p.Limit = new(int64(schema.MaxLimit))
		if limit > 0 {
			p.Limit = new(min(left, schema.MaxLimit))
		}
		page, err := c.History(ctx, p)
		if err != nil {
			return err
		}
		if len(page.Events) == 0 && p.ID != nil && p.Since == nil {
			_, err := c.Get(ctx, *p.ID) // all that happened to it may be past what is kept
			return err
		}
		for i := range page.Events {
			if err := lines.print(&page.Events[i]); err != nil {
				return err
			}
		}
		left -= int64(len(page.Events))
		switch {
		case page.Next == nil:
			return nil
		case limit > 0 && left == 0:
			fmt.Fprintf(cmd.Root().ErrWriter, "to go on from here: descartes history --since %s\n", *page.Next)
			return nil
		}
		p.Since = page.Next
	}
}
