package main

import (
	"context"
	"encoding/json"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func updateCommand() *cli.Command {
	return &cli.Command{
		Name:      "update",
		Aliases:   []string{"set", "edit"},
		Usage:     "change fields of a task",
		ArgsUsage: "ID",
		Description: "Only what a flag names is changed. An empty text clears: --assign '' leaves the task to nobody. --metadata merges:\n" +
			"members that are null are removed, the others set. --depends-on says all that it has to wait for.",
		Flags: append(append(clientFlags(), &cli.StringFlag{Name: "title", Usage: "the `TITLE`"}),
			append(fieldFlags(),
				&cli.Int64Flag{Name: "expected-version", Usage: "refuse if it is not of version `N` any more: somebody has changed it"},
				&cli.StringFlag{Name: "lease-token", Usage: "refuse if the claim with `TOKEN` is over"},
				jsonFlag())...),
		OnUsageError: onUsageError,
		Action:       failing(update),
	}
}

func update(ctx context.Context, cmd *cli.Command) error {
	if err := needsTasks(cmd); err != nil {
		return err
	}
	if cmd.NArg() > 1 {
		return usageError("update takes one task, but got %q; \"descartes done\" and its like take several", cmd.Args().Slice())
	}
	patch, err := readPatch(cmd)
	if err != nil {
		return err
	}
	p := schema.UpdateParams{Patch: patch}
	if cmd.IsSet("expected-version") {
		p.ExpectedVersion = new(cmd.Int64("expected-version"))
	}
	if cmd.IsSet("lease-token") {
		p.LeaseToken = new(cmd.String("lease-token"))
	}
	if changesNothing(patch) {
		return usageError("say what to change: --title, --status, --priority, --assign …; \"descartes help update\" has them all")
	}
	check := patch
	check.Dependencies = schema.Optional[[]string]{}
	if err := check.Normalize(); err != nil {
		return flagError(cmd, err)
	}
	return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
		names := append([]string{cmd.Args().First()}, p.Dependencies.Value...)
		ids, err := resolve(ctx, c, names)
		if err != nil {
			return err
		}
		p.ID = ids[0]
		if len(ids) > 1 {
			p.Dependencies.Value = ids[1:]
		}
		var updated json.RawMessage
		if err := c.Call(ctx, schema.MethodUpdate, p, &updated); err != nil {
			return err
		}
		return printWritten(cmd, "updated", updated)
	})(ctx, cmd)
}

func changesNothing(p schema.Patch) bool {
	return !(p.Title.Set || p.Description.Set || p.Status.Set || p.Priority.Set || p.Complexity.Set ||
		p.AssignedTo.Set || p.Dependencies.Set || p.Metadata.Set)
}
