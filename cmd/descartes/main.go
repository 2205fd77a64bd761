// Command descartes is the task daemon and the command that drives it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// Exit codes.
const (
	exitFailed      = 1   // refused, or failed on the way
	exitUsage       = 2   // the command line is wrong
	exitNothing     = 3   // no task was ready to be claimed
	exitTimeout     = 124 // a --timeout ran out, as timeout(1) says it
	exitInterrupted = 130 // interrupted before what was waited for, as shells say it
)

func main() {
	os.Exit(run(untilSignal(context.Background()), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command and gives its exit code. What is wrong is one line on
// stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := command(stdin, stdout, stderr).Run(ctx, args)
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exitError](err)
	if !ok { // from the library, which had the command line, the environment or the file to read
		exit = &exitError{exitUsage, err}
	}
	if exit.err != nil {
		fmt.Fprintf(stderr, "descartes: %s\n", strings.Map(printable, strings.ReplaceAll(exit.err.Error(), "\n", "; ")))
	}
	return exit.code
}

// exitError is an error that wants an exit code of its own. Without err the
// command has said everything already.
type exitError struct {
	code int
	err  error
}

// Error implements the error interface.
func (e *exitError) Error() string { return fmt.Sprint(e.err) }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// failing makes the errors of an action exit with exitFailed, unless they say
// otherwise.
func failing(action cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		err := action(ctx, cmd)
		if _, ok := errors.AsType[*exitError](err); ok || err == nil {
			return err
		}
		return &exitError{exitFailed, err}
	}
}

// command is the table of subcommands.
func command(stdin io.Reader, stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "descartes",
		Usage:     "a task daemon: every change is journaled and pushed at once",
		Version:   version(),
		Reader:    stdin,
		Writer:    stdout,
		ErrWriter: stderr,
		Suggest:   true,
		Flags:     []cli.Flag{colorFlag()},
		// Errors are printed and turned into an exit code by run.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		OnUsageError:   onUsageError,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if name := cmd.Args().First(); name != "" {
				return noCommand(cmd, name)
			}
			return cli.ShowAppHelp(cmd)
		},
		Commands: slices.Concat(
			category("The daemon", serveCommand(), boardCommand(), infoCommand(), statsCommand(), clusterCommand(), pingCommand(),
				discoverCommand(), callCommand(), mcpCommand(), benchCommand()),
			category("Tasks", createCommand(), listCommand(), getCommand(), updateCommand(), startCommand(), doneCommand(),
				blockCommand(), reopenCommand(), deleteCommand(), applyCommand(), historyCommand(), watchCommand()),
			category("Tasks as a queue", claimCommand(), renewCommand(), releaseCommand(), workCommand()),
			category("The file", backupCommand(), restoreCommand(), checkCommand(), exportCommand(), importCommand(), tokenCommand()),
			category("The command", helpCommand(), completionCommand(), manCommand(), versionCommand()),
		),
	}
}

// category puts commands together in the help and the manual.
func category(name string, commands ...*cli.Command) []*cli.Command {
	for _, c := range commands {
		c.Category = name
	}
	return commands
}
