package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// The variables of the environment that tell a command under "descartes work" what
// it works on.
const (
	taskVariable  = "DESCARTES_TASK_ID"
	leaseVariable = "DESCARTES_LEASE_TOKEN"
)

func renewCommand() *cli.Command {
	return leaseCommand("renew", "let a claim hold longer",
		"Prints {expires_at}, in Unix milliseconds.", renewClaim,
		&cli.DurationFlag{Name: "lease", Usage: "hold the claim this long from now on", DefaultText: "as long as before"})
}

func releaseCommand() *cli.Command {
	return leaseCommand("release", "end a claim before its time",
		"Prints the task: back at todo and nobody's, or with another status and still assigned.", releaseClaim,
		&cli.StringFlag{Name: "status", Value: string(schema.Todo), Usage: "leave the task as `STATUS`: todo, in_progress, blocked or done"})
}

// leaseCommand is a command on a claim that was made before.
func leaseCommand(name, usage, prints string, action cli.ActionFunc, flag cli.Flag) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     usage,
		ArgsUsage: "[ID [LEASE_TOKEN]]",
		Description: prints + " The exit code is 1 if the claim\n" +
			"is over. The defaults are " + taskVariable + " and " + leaseVariable + ": a command under\n" +
			"\"descartes work\" need not say what it works on.",
		Flags:        append(clientFlags(), flag, jsonFlag()),
		OnUsageError: onUsageError,
		Action:       failing(action),
	}
}

func renewClaim(ctx context.Context, cmd *cli.Command) error {
	p := schema.RenewParams{ID: leaseArgument(cmd, 0, taskVariable), LeaseToken: leaseArgument(cmd, 1, leaseVariable)}
	if cmd.IsSet("lease") {
		p.LeaseMS = new(cmd.Duration("lease").Milliseconds())
	}
	return callOnLease(ctx, cmd, schema.MethodRenew, &p.ID, &p, p.Validate)
}

func releaseClaim(ctx context.Context, cmd *cli.Command) error {
	p := schema.ReleaseParams{
		ID: leaseArgument(cmd, 0, taskVariable), LeaseToken: leaseArgument(cmd, 1, leaseVariable),
		Status: new(statusOf(cmd.String("status"))),
	}
	return callOnLease(ctx, cmd, schema.MethodRelease, &p.ID, &p, p.Normalize)
}

// leaseArgument gives an argument, or what the environment says instead.
func leaseArgument(cmd *cli.Command, n int, variable string) string {
	if argument := cmd.Args().Get(n); argument != "" {
		return argument
	}
	return os.Getenv(variable)
}

// callOnLease calls a method with params, of which id is one, and prints its result.
func callOnLease(ctx context.Context, cmd *cli.Command, method string, id *string, params any, check func() error) error {
	if n := cmd.Args().Len(); n > 2 {
		return usageError("%s takes the id of a task and the lease_token of its claim, but got %q", cmd.Name, cmd.Args().Slice())
	}
	if !cmd.Args().Present() && os.Getenv(taskVariable) == "" {
		return usageError("say which claim: descartes %s ID LEASE_TOKEN; %s and %s say it, too", cmd.Name, taskVariable, leaseVariable)
	}
	err := check()
	if wrong, ok := errors.AsType[*schema.Error](err); ok && (wrong.Data.Field == "status" || wrong.Data.Field == "lease_ms") {
		return flagError(cmd, err)
	}
	if err != nil {
		return usageError("%s: %w; it takes ID LEASE_TOKEN, else %s and %s", cmd.Name, err, taskVariable, leaseVariable)
	}
	c, err := dial(ctx, cmd, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if *id, err = resolveOne(ctx, c, *id); err != nil {
		return answerError(cmd, err)
	}
	var result json.RawMessage
	if err := c.Call(ctx, method, params, &result); err != nil {
		return answerError(cmd, err)
	}
	return printResult(cmd, result)
}
