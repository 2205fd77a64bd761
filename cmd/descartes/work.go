package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func workCommand() *cli.Command {
	return &cli.Command{
		Name:      "work",
		Usage:     "claim tasks and run a command for each",
		ArgsUsage: "-- COMMAND [ARGS…]",
		Description: "The command gets its task as JSON on standard input, " + taskVariable + " and\n" +
			leaseVariable + ", and the address and token of the daemon in DESCARTES_…, so that\n" +
			"\"descartes call\", \"renew\" and \"release\" work in it as they are. While it runs, its claim is renewed\n" +
			"every third of --lease. Exit code 0 marks the task done; after any other the task is released, and the\n" +
			"next claim waits: 1s after the first failure in a row, then twice as long each time, up to 1m. The command\n" +
			"may also end its claim itself, with \"descartes release --status blocked\" for example.\n\n" +
			"When the claim is lost on the way, because somebody gave the task another status or its time is over, the\n" +
			"command gets SIGTERM, after --grace SIGKILL, and the next task is claimed. When the daemon is away the\n" +
			"command goes on; nobody else gets its task unless the claim runs out. Of several daemons the next one\n" +
			"renews it. SIGINT, SIGTERM and SIGHUP go to the\n" +
			"commands, which are waited for, a second one kills them; an unfinished task goes back to todo.\n\n" +
			"The exit code is 0 when it was interrupted or --wait is over, 1 on an error, and with --once 0 if the\n" +
			"command succeeded, 1 if it failed or lost its claim, 3 if there was no task.",
		Flags: append(append(clientFlags(), claimFlags()...),
			&cli.BoolFlag{Name: "once", Usage: "end after one task"},
			&cli.DurationFlag{Name: "wait", Value: -1, DefaultText: "without end", Usage: "end when nothing runs and no task became ready for this long; 0s: at once"},
			&cli.IntFlag{Name: "parallel", Value: 1, Usage: "work on up to `N` tasks at a time"},
			&cli.StringFlag{Name: "on-failure", Value: string(schema.Todo), Usage: "leave the task of a command that failed as `STATUS`: todo or blocked"},
			&cli.DurationFlag{Name: "grace", Value: 10 * time.Second, Usage: "kill a command that lost its claim after this long"},
		),
		StopOnNthArg: new(1), // what follows the command is the command's
		OnUsageError: onUsageError,
		Action:       failing(work),
	}
}

func work(ctx context.Context, cmd *cli.Command) error {
	w, err := newWorker(cmd)
	if err != nil {
		return err
	}
	ctx, killed, stop := twoSignals(ctx)
	defer stop()
	w.killed = killed
	if err = w.dial(ctx, cmd); err == nil {
		defer w.client.Close()
		defer w.claims.Close()
		w.env = commandEnvironment(cmd)
		err = w.work(ctx)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		return answerError(cmd, err)
	case !w.once:
		return nil
	case w.last == untaken:
		return &exitError{code: exitNothing}
	case w.last.failed():
		return &exitError{code: exitFailed}
	}
	return nil
}

// dial connects to the daemon, twice.
func (w *worker) dial(ctx context.Context, cmd *cli.Command) (err error) {
	options := client.Options{Reconnect: true}
	if hasSeveral(cmd) { // one that hangs must be left while the claim holds
		options.Silence = max(time.Second, min(10*time.Second, w.lease/3))
	}
	if w.client, err = dial(ctx, cmd, options); err != nil {
		return err
	}
	if w.claims, err = dial(ctx, cmd, options); err != nil {
		_ = w.client.Close() // it has no error
	}
	return err
}

// newWorker reads the command line.
func newWorker(cmd *cli.Command) (*worker, error) {
	params, err := claimParams(cmd)
	if err != nil {
		return nil, err
	}
	w := &worker{
		params: params, command: cmd.Args().Slice(),
		once: cmd.Bool("once"), wait: cmd.Duration("wait"), parallel: cmd.Int("parallel"),
		lease: cmd.Duration("lease"), grace: cmd.Duration("grace"), onFailure: schema.Status(cmd.String("on-failure")),
		stdout: cmd.Root().Writer, stderr: cmd.Root().ErrWriter, pause: pause,
	}
	switch {
	case len(w.command) == 0:
		return nil, usageError("say what to run for each task: descartes work [flags] -- COMMAND [ARGS…]")
	case w.parallel < 1:
		return nil, usageError("--parallel must be at least 1")
	case w.once && w.parallel > 1:
		return nil, usageError("--once takes one task: leave out --parallel")
	case w.wait < 0 && cmd.IsSet("wait"):
		return nil, usageError("--wait must be at least 0s; without it there is no end")
	case w.grace < 0:
		return nil, usageError("--grace must be at least 0s")
	case w.onFailure != schema.Todo && w.onFailure != schema.Blocked:
		return nil, usageError("--on-failure must be todo or blocked, not %q", w.onFailure)
	}
	if _, err := exec.LookPath(w.command[0]); err != nil { // better now than with a task
		return nil, usageError("there is no command %q: %w", w.command[0], errors.Unwrap(err))
	}
	return w, nil
}

// commandEnvironment is what commands find the daemon by, besides the environment
// of this process.
func commandEnvironment(cmd *cli.Command) []string {
	env := append(os.Environ(), "DESCARTES_URL="+cmd.String("url"))
	for flag, variable := range map[string]string{"token": "DESCARTES_TOKEN", "tls-ca": "DESCARTES_TLS_CA"} {
		if value := cmd.String(flag); value != "" {
			env = append(env, variable+"="+value)
		}
	}
	return env
}

// pause waits, and tells whether it was to the end: ctx did not end first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
