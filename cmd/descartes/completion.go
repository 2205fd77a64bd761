package main

import (
	"context"
	"embed"
	"fmt"

	"github.com/urfave/cli/v3"
)

// completions are the scripts. They ask "descartes completion words" for each word:
// those of the library evaluate what was typed, cannot complete values, and take
// ids apart at ":".
//
//go:embed shell
var completions embed.FS

func completionCommand() *cli.Command {
	script := func(shell, use string) *cli.Command {
		return &cli.Command{
			Name: shell, Usage: "print the script for " + shell + ": " + use, OnUsageError: onUsageError,
			Action: withoutArguments(failing(func(_ context.Context, cmd *cli.Command) error {
				text, err := completions.ReadFile("shell/completion." + shell)
				if err == nil {
					_, err = cmd.Root().Writer.Write(text)
				}
				return err
			})),
		}
	}
	return &cli.Command{
		Name:  "completion",
		Usage: "complete words in a shell",
		Description: "Completes commands, flags, what a flag can be, and, where a daemon answers at once, the ids of tasks with their\n" +
			"titles.",
		OnUsageError: onUsageError,
		Action:       needsCommand,
		Commands: []*cli.Command{
			script("bash", "source <(descartes completion bash)"),
			script("zsh", "source <(descartes completion zsh)"),
			script("fish", "descartes completion fish > ~/.config/fish/completions/descartes.fish"),
			{
				Name: "words", Hidden: true, SkipFlagParsing: true, HideHelp: true, Usage: "complete the last of the words",
				Action: failing(printCandidates),
			},
		},
	}
}

// printCandidates prints what the last word can become, one a line, and after a tab
// what that is.
func printCandidates(ctx context.Context, cmd *cli.Command) error {
	for _, c := range complete(ctx, cmd.Root(), cmd.Args().Slice()) {
		if _, err := fmt.Fprintf(cmd.Root().Writer, "%s\t%s\n", c.word, cut(oneLine(c.what), 60)); err != nil {
			return err
		}
	}
	return nil
}
