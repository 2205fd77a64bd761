package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Aliases:   []string{"ls", "find"},
		Usage:     "list tasks, all or those that match",
		ArgsUsage: "[WORD…]",
		Description: "Every word begins a word of the title or the description. In a pipe a line is id, status, priority, assignee and\n" +
			"title, with tabs between them; on a terminal ids that the daemon made are their last eight digits, which every\n" +
			"command takes.",
		Flags: append(append(clientFlags(), filterFlags()...),
			&cli.StringFlag{Name: "order", Value: string(schema.ByCreatedAt), Usage: "`ORDER`: created_at, updated_at, priority or title; - in front: descending"},
			&cli.Int64Flag{Name: "limit", Value: schema.DefaultLimit, Usage: "at most `N`"},
			&cli.BoolFlag{Name: "all", Usage: "however many there are"},
			freshFlag(), jsonFlag()),
		OnUsageError: onUsageError,
		Action:       failing(list),
	}
}

// filterFlags say which tasks are meant, in the ways that people need most.
func filterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "status", Usage: "those of `STATUS`, that is " + words(schema.Statuses()) + " (repeatable)"},
		&cli.StringSliceFlag{Name: "assigned-to", Usage: "those of `NAME` (repeatable)"},
		&cli.BoolFlag{Name: "unassigned", Usage: "those of nobody, besides those of --assigned-to"},
		&cli.StringFlag{Name: "priority", Usage: "those of `PRIORITY` and above, that is " + words(schema.Priorities())},
		&cli.BoolFlag{Name: "ready", Usage: "those that can be begun; --ready=false: those that cannot"},
		&cli.StringFlag{Name: "text", Usage: "those that have `WORDS`, as arguments do"},
		&cli.StringFlag{Name: "filter", Usage: "what else the protocol can say, as `JSON`: '{\"ids\":[\"a\",\"b\"]}'"},
	}
}

// flagFilter gives the filter that the flags and the words after them make.
func flagFilter(cmd *cli.Command, words []string) (*schema.Filter, error) {
	var p struct {
		Filter schema.Filter `json:"filter"`
	}
	if err := readFilter(cmd, &p); err != nil {
		return nil, err
	}
	f := &p.Filter
	for _, status := range cmd.StringSlice("status") {
		f.Status = append(f.Status, statusOf(status))
	}
	for _, name := range cmd.StringSlice("assigned-to") {
		f.AssignedTo = append(f.AssignedTo, &name)
	}
	if cmd.Bool("unassigned") {
		f.AssignedTo = append(f.AssignedTo, nil)
	}
	if priority := cmd.String("priority"); priority != "" {
		f.PriorityAtLeast = new(schema.Priority(priority))
	}
	if cmd.IsSet("ready") {
		f.Ready = new(cmd.Bool("ready"))
	}
	if text := strings.TrimSpace(cmd.String("text") + " " + strings.Join(words, " ")); text != "" {
		f.Text = &text
	}
	if err := f.Validate(); err != nil {
		return nil, flagError(cmd, err)
	}
	return f, nil
}

func list(ctx context.Context, cmd *cli.Command) error {
	filter, err := flagFilter(cmd, cmd.Args().Slice())
	if err != nil {
		return err
	}
	p := schema.ListParams{Filter: filter, Order: new(schema.Order(cmd.String("order"))), Fresh: wantsFresh(cmd)}
	if err := p.Normalize(); err != nil {
		return flagError(cmd, err)
	}
	left := cmd.Int64("limit")
	switch {
	case cmd.Bool("all") && cmd.IsSet("limit"):
		return usageError("--all and --limit exclude each other")
	case cmd.Bool("all"):
		left = -1
	case left < 1:
		return usageError("--limit must be at least 1; --all lists however many there are")
	}
	return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
		return listPages(ctx, cmd, c, p, left)
	})(ctx, cmd)
}

// listPages prints at most so many tasks, all for less than 0.
func listPages(ctx context.Context, cmd *cli.Command, c *client.Client, p schema.ListParams, left int64) error {
	table, shown := newTaskTable(cmd), int64(0)
	for {
		p.Limit = new(int64(schema.MaxLimit))
		if left >= 0 {
			p.Limit = new(min(left-shown, schema.MaxLimit))
		}
		var page schema.ListResult
		if err := c.Call(ctx, schema.MethodList, p, &page); err != nil {
			return err
		}
		for _, document := range page.Tasks {
			if err := table.show(cmd, document); err != nil {
				return err
			}
		}
		if err := table.flush(); err != nil {
			return err
		}
		shown += int64(len(page.Tasks))
		p.PageToken = page.NextPageToken
		if p.PageToken == nil || shown == left {
			break
		}
	}
	if p.PageToken != nil && !cmd.IsSet("limit") { // who has asked for so many knows
		fmt.Fprintf(cmd.Root().ErrWriter, "descartes: these are the first %d; --all lists the rest, too\n", shown)
	}
	if shown == 0 && table.display.people && !cmd.Bool("json") {
		fmt.Fprintln(cmd.Root().ErrWriter, noTask(p.Filter))
	}
	return nil
}

// noTask tells people why there is nothing to be seen.
func noTask(f *schema.Filter) string {
	if f.IsZero() {
		return `There is no task yet: descartes create "My first task" makes one.`
	}
	return "No task matches."
}

// show prints a task as JSON, or takes it into the table.
func (t *taskTable) show(cmd *cli.Command, document []byte) error {
	if cmd.Bool("json") {
		return printJSON(t.w, document)
	}
	return t.addTask(document)
}
