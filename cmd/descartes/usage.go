package main

import (
	"context"
	"regexp"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
)

// wrongValue is what the library says of a value that a flag cannot be; it has no type
// for this error, nor for the other one.
var wrongValue = regexp.MustCompile(`(?s)^invalid value "(.*)" for flag -(\S+): (.*)$`)

// onUsageError says what is wrong with the flags of a command.
func onUsageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	if name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); unknown {
		return usageError("%s has no flag --%s%s", cmd.FullName(), name, strings.Replace(near(name, flagNames(cmd)), "mean ", "mean --", 1))
	}
	parts := wrongValue.FindStringSubmatch(err.Error())
	if parts == nil {
		return usageError("%s: %w", cmd.FullName(), err)
	}
	value, name, why := parts[1], parts[2], parts[3]
	for _, f := range cmd.Flags {
		if f.Names()[0] != name {
			continue
		}
		switch f.(type) {
		case *cli.DurationFlag:
			return usageError("--%s must be a time such as 500ms, 30s or 24h, not %q", name, value)
		case *cli.IntFlag, *cli.Int64Flag:
			return usageError("--%s must be a whole number, not %q", name, value)
		case *cli.FloatFlag:
			return usageError("--%s must be a number, not %q", name, value)
		case *cli.BoolFlag:
			return usageError("--%s must be true or false, not %q", name, value)
		}
	}
	return usageError("%s", why) // of a flag that checks itself
}

// near names the word that was meant, as the end of a sentence: the only one that begins
// so, or the nearest.
func near(given string, names []string) string {
	var begin []string
	for _, name := range names {
		if strings.HasPrefix(name, given) {
			begin = append(begin, name)
		}
	}
	if len(begin) == 1 {
		return "; did you mean " + begin[0] + "?"
	}
	return schema.DidYouMean(given, names)
}

func flagNames(cmd *cli.Command) []string {
	var names []string
	for _, f := range cmd.Flags {
		for _, name := range f.Names() {
			if len(name) > 1 {
				names = append(names, name)
			}
		}
	}
	return names
}

// noCommand says that a command has none of this name.
func noCommand(cmd *cli.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands {
		names = append(names, c.Names()...)
	}
	instead := near(name, names)
	if instead == "" {
		instead = "; \"" + cmd.FullName() + " --help\" lists those that there are"
	}
	if cmd == cmd.Root() {
		return usageError("there is no command %q%s", name, instead)
	}
	return usageError("%s has no command %q%s", cmd.Name, name, instead)
}

// needsCommand is what a command does that only has others.
func needsCommand(_ context.Context, cmd *cli.Command) error {
	if name := cmd.Args().First(); name != "" {
		return noCommand(cmd, name)
	}
	return cli.ShowSubcommandHelp(cmd)
}

// withoutArguments refuses arguments.
func withoutArguments(action cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if cmd.Args().Present() {
			return usageError("%s takes no argument, but got %q", cmd.Name, cmd.Args().First())
		}
		return action(ctx, cmd)
	}
}

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:         "help",
		Aliases:      []string{"h"},
		Usage:        "tell what a command does, and its flags",
		ArgsUsage:    "[COMMAND…]",
		HideHelp:     true,
		OnUsageError: onUsageError,
		Action: func(_ context.Context, cmd *cli.Command) error {
			about := cmd.Root()
			for _, name := range cmd.Args().Slice() {
				sub := about.Command(name)
				if sub == nil {
					return noCommand(about, name)
				}
				about = sub
			}
			template := cli.CommandHelpTemplate
			switch {
			case about == cmd.Root():
				return cli.ShowRootCommandHelp(about)
			case len(about.VisibleCommands()) > 0:
				template = cli.SubcommandHelpTemplate
			}
			cli.HelpPrinter(cmd.Root().Writer, template, about)
			return nil
		},
	}
}
