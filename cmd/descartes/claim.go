package main

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func claimCommand() *cli.Command {
	return &cli.Command{
		Name:  "claim",
		Usage: "take the next task that is ready",
		Description: "Prints {task, lease_token, expires_at} in one line: the task, highest priority first, then oldest, is now in\n" +
			"progress and nobody else's, until the time of the claim is over (\"descartes renew\" lets it hold longer), or it is\n" +
			"done or released. Where nothing is ready, not within --wait either, nothing is printed and the exit code is 3; it\n" +
			"is 1 on an error.",
		Flags: append(append(clientFlags(), claimFlags()...),
			&cli.StringFlag{Name: "id", Usage: "the task with this `ID` and no other"},
			&cli.DurationFlag{Name: "wait", Usage: "wait this long for a task to become ready"},
			jsonFlag(),
		),
		OnUsageError: onUsageError,
		Action:       failing(claim),
	}
}

// claimFlags are those of every command that claims.
func claimFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "assigned-to", Usage: "claim for `NAME`; with a token the default is the name of that", Sources: environment("assigned-to")},
		&cli.StringFlag{Name: "filter", Usage: "only what matches, as `JSON`: '{\"priority_at_least\":\"high\"}'"},
		&cli.DurationFlag{Name: "lease", Value: schema.DefaultLeaseMS * time.Millisecond, Usage: "hold the claim this long, unless it is renewed"},
	}
}

func claim(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usageError("claim takes no argument, but got %q; a task is named with --id", cmd.Args().First())
	}
	params, err := claimParams(cmd)
	if err != nil {
		return err
	}
	if cmd.Duration("wait") < 0 {
		return usageError("--wait must be at least 0s")
	}
	c, err := dial(ctx, cmd, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if params.ID != nil {
		if *params.ID, err = resolveOne(ctx, c, *params.ID); err != nil {
			return answerError(cmd, err)
		}
	}
	claimed, err := awaitClaim(params, cmd.Duration("wait"), claimer(ctx, c))
	if ctx.Err() != nil && claimed == nil {
		return errors.New("interrupted before there was an answer; a claim that was made nevertheless ends when its time is over")
	}
	if err != nil {
		return answerError(cmd, err)
	}
	if claimed == nil {
		return &exitError{code: exitNothing}
	}
	return printResult(cmd, claimed.AppendJSON(nil))
}

// claimParams reads the flags of a command that claims, and refuses what no daemon
// would accept.
func claimParams(cmd *cli.Command) (p schema.ClaimParams, err error) {
	p.AssignedTo = cmd.String("assigned-to")
	if p.AssignedTo == "" && cmd.String("token") == "" {
		return p, usageError("say who claims with --assigned-to NAME, or with a token, which has a name")
	}
	if err := readFilter(cmd, &p); err != nil {
		return p, err
	}
	p.LeaseMS = new(cmd.Duration("lease").Milliseconds())
	if cmd.IsSet("id") { // of claim alone
		p.ID = new(cmd.String("id"))
	}
	check := p // the daemon fills in what is left out
	if check.AssignedTo == "" {
		check.AssignedTo = "the name of the token"
	}
	if err := check.Normalize(); err != nil {
		return p, flagError(cmd, err)
	}
	return p, nil
}

// longestWait is how long one request may wait for a task.
const longestWait = schema.MaxWaitMS * time.Millisecond

// claimer makes a function that claims once.
func claimer(ctx context.Context, c *client.Client) func(schema.ClaimParams) (*schema.ClaimResult, error) {
	return func(params schema.ClaimParams) (claimed *schema.ClaimResult, err error) { // its task as the daemon sent it
		err = c.Call(ctx, schema.MethodClaim, params, &claimed)
		return claimed, err
	}
}

// awaitClaim claims a task, or gives nil if none becomes ready in time, which may be
// longer than one request can wait, or for ever: less than 0.
func awaitClaim(params schema.ClaimParams, wait time.Duration, claim func(schema.ClaimParams) (*schema.ClaimResult, error)) (*schema.ClaimResult, error) {
	for {
		step := longestWait
		if wait >= 0 {
			step = min(wait, longestWait)
			wait -= step
		}
		params.WaitMS = new(step.Milliseconds())
		claimed, err := claim(params)
		if err != nil || claimed != nil || wait == 0 {
			return claimed, err
		}
	}
}
