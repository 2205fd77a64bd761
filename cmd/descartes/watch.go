package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func watchCommand() *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Aliases:   []string{"subscribe", "follow"},
		Usage:     "print every change as it happens",
		ArgsUsage: "[ID…]",
		Description: "One line an event, of the tasks that are named, or of all. It goes on by itself when the daemon was away, and\n" +
			"misses nothing. --until ends it as soon as all tasks that are named, or else any one, are so, which these can be\n" +
			"already. The exit code is 0 when that is so or --count events have come, 124 when --timeout ran out before, 130\n" +
			"when it was interrupted before (0 if there was nothing to wait for), 1 on an error, as when a task that is waited\n" +
			"for is deleted.",
		Flags: append(clientFlags(),
			jsonFlag(),
			&cli.StringFlag{Name: "since", Usage: "begin after `CURSOR`; \"start\": at the oldest event there is"},
			&cli.BoolFlag{Name: "snapshot", Usage: "begin with every matching task as it is"},
			&cli.StringFlag{Name: "filter", Usage: "only what matches, as `JSON`: '{\"status\":[\"todo\"]}'"},
			&cli.DurationFlag{Name: "debounce", Usage: "fold the changes of one task within this window; 0s: none", DefaultText: "the daemon's"},
			&cli.StringFlag{Name: "until", Usage: "end when `WHAT` is so: todo, in_progress, blocked, done, ready, or a filter as JSON"},
			&cli.Int64Flag{Name: "count", Usage: "end after `N` events", DefaultText: "without end"},
			&cli.DurationFlag{Name: "timeout", Usage: "end after this long", DefaultText: "without end"},
		),
		OnUsageError: onUsageError,
		Action:       failing(watch),
	}
}

// errTimeout is the cause of the end of a context whose --timeout ran out.
var errTimeout = errors.New("timeout")

func watch(ctx context.Context, cmd *cli.Command) error {
	params, err := watchParams(cmd)
	if err != nil {
		return err
	}
	if d := cmd.Duration("timeout"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, errTimeout)
		defer cancel()
	}
	stderr := cmd.Root().ErrWriter
	c, err := dial(ctx, cmd, client.Options{
		Reconnect:    true,
		Disconnected: func(err error) { fmt.Fprintf(stderr, "descartes: %v; connecting again\n", err) },
		Reconnected:  func() { fmt.Fprintln(stderr, "descartes: connected again") },
	})
	if err != nil {
		return watchEnd(ctx, cmd, err)
	}
	defer c.Close()
	return watchEnd(ctx, cmd, subscribe(ctx, cmd, c, params))
}

// subscribe watches until there is enough, or it is the end.
func subscribe(ctx context.Context, cmd *cli.Command, c *client.Client, params schema.SubscribeParams) error {
	if cmd.Args().Present() {
		ids, err := resolve(ctx, c, cmd.Args().Slice())
		if err != nil {
			return err
		}
		if params.Filter == nil {
			params.Filter = new(schema.EventFilter)
		}
		params.Filter.IDs = ids
	}
	condition, err := readUntil(cmd, &params)
	if err != nil {
		return err
	}
	sub, err := c.Subscribe(ctx, params)
	if err != nil {
		return err
	}
	err = follow(ctx, cmd, sub, condition)
	if cursor := sub.Cursor(); cursor != "" && ctx.Err() != nil {
		fmt.Fprintf(cmd.Root().ErrWriter, "to go on from here: descartes watch --since %s\n", cursor)
	}
	return err
}

// follow prints events until there are enough, the condition is met or it is the end.
func follow(ctx context.Context, cmd *cli.Command, sub *client.Subscription, condition *until) error {
	left, lines := cmd.Int64("count"), newEventPrinter(cmd)
	for event, err := range sub.Events(ctx) {
		if err != nil {
			return err
		}
		if err := lines.print(&event); err != nil {
			return err
		}
		if condition != nil {
			if met, err := condition.met(&event); met || err != nil {
				return err
			}
		}
		if event.TaskID == "" {
			continue // of no task: it does not count
		}
		if left--; left == 0 {
			return nil
		}
	}
	return nil
}

// watchEnd decides about the exit code.
func watchEnd(ctx context.Context, cmd *cli.Command, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errTimeout):
		return &exitError{code: exitTimeout}
	case ctx.Err() != nil:
		if cmd.IsSet("until") || cmd.IsSet("count") {
			return &exitError{code: exitInterrupted}
		}
		return nil // it has done what it was asked for
	}
	return refusal(cmd, err)
}

func watchParams(cmd *cli.Command) (p schema.SubscribeParams, err error) {
	switch err := checkNames(cmd.Args().Slice()); {
	case err != nil:
		return p, err
	case cmd.IsSet("count") && cmd.Int64("count") < 1:
		return p, usageError("--count must be at least 1; without it every event comes")
	case cmd.Duration("timeout") < 0:
		return p, usageError("--timeout must be at least 0s, which is no end")
	}
	if cmd.IsSet("since") {
		p.Since = new(cmd.String("since"))
	}
	if cmd.Bool("snapshot") {
		p.Snapshot = new(true)
	}
	if cmd.IsSet("debounce") {
		p.DebounceMS = new(cmd.Duration("debounce").Milliseconds())
	}
	if err := readFilter(cmd, &p); err != nil {
		return p, err
	}
	if err := p.Validate(); err != nil {
		return p, flagError(cmd, err)
	}
	if cmd.Args().Present() && p.Filter != nil && p.Filter.IDs != nil {
		return p, usageError("name the tasks as arguments or in --filter, not in both")
	}
	check := p
	_, err = readUntil(cmd, &check)
	return p, err
}

// readFilter reads --filter into the params of a method that has a filter.
func readFilter(cmd *cli.Command, params any) error {
	text := cmd.String("filter")
	switch {
	case !cmd.IsSet("filter"):
		return nil
	case strings.TrimSpace(text) == "":
		return usageError("--filter is empty, which is no JSON: leave it out for everything")
	case !json.Valid([]byte(text)):
		return usageError("--filter must be JSON, not %s", text)
	}
	if err := schema.Decode([]byte(`{"filter":`+text+`}`), params); err != nil {
		return usageError("--filter: %w", err)
	}
	return nil
}
