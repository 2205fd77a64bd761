package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func watchCommand() *cli.Command {
	return &cli.Command{
		Name:  "watch",
		Usage: "print every change as it happens",
		Description: "One line an event. It goes on by itself when the daemon was away, and misses nothing. The exit code is 0 when\n" +
			"--count events have come or it was interrupted, 124 when --timeout ran out first, 1 on an error.",
		Flags: append(clientFlags(),
			&cli.BoolFlag{Name: "json", Usage: "print events as they are, one JSON object a line"},
			&cli.StringFlag{Name: "since", Usage: "begin after `CURSOR`; \"start\": at the oldest event there is"},
			&cli.BoolFlag{Name: "snapshot", Usage: "begin with every matching task as it is"},
			&cli.StringFlag{Name: "filter", Usage: "only what matches, as `JSON`: '{\"status\":[\"todo\"]}'"},
			&cli.DurationFlag{Name: "debounce", Usage: "fold the changes of one task within this window; 0s: none", Value: -1, DefaultText: "the daemon's"},
			&cli.Int64Flag{Name: "count", Usage: "end after this many events"},
			&cli.DurationFlag{Name: "timeout", Usage: "end after this long"},
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
	sub, err := c.Subscribe(ctx, params)
	if err == nil {
		err = follow(ctx, cmd, sub)
		if cursor := sub.Cursor(); cursor != "" && ctx.Err() != nil {
			fmt.Fprintf(stderr, "to go on from here: descartes watch --since %s\n", cursor)
		}
	}
	return watchEnd(ctx, cmd, err)
}

// follow prints events until there are enough or it is the end.
func follow(ctx context.Context, cmd *cli.Command, sub *client.Subscription) error {
	left := cmd.Int64("count")
	for event, err := range sub.Events(ctx) {
		if err != nil {
			return err
		}
		if err := printEvent(cmd.Root().Writer, &event, cmd.Bool("json")); err != nil {
			return err
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
		return nil // interrupted: it has done what it was asked for
	}
	return answerError(cmd, err)
}

func watchParams(cmd *cli.Command) (p schema.SubscribeParams, err error) {
	if cmd.Args().Present() {
		return p, usageError("watch takes no argument, but got %q", cmd.Args().First())
	}
	if since := cmd.String("since"); since != "" {
		p.Since = &since
	}
	if cmd.Bool("snapshot") {
		p.Snapshot = new(true)
	}
	if d := cmd.Duration("debounce"); d >= 0 {
		p.DebounceMS = new(d.Milliseconds())
	}
	if err := readFilter(cmd, &p); err != nil {
		return p, err
	}
	if err := p.Validate(); err != nil {
		return p, usageError("%w", err)
	}
	return p, nil
}

// readFilter reads --filter into the params of a method that has a filter.
func readFilter(cmd *cli.Command, params any) error {
	text := cmd.String("filter")
	if text == "" {
		return nil
	}
	if !json.Valid([]byte(text)) {
		return usageError("--filter must be JSON, not %s", text)
	}
	if err := schema.Decode([]byte(`{"filter":`+text+`}`), params); err != nil {
		return usageError("--filter: %w", err)
	}
	return nil
}
