package main

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/cmd/descartes/bench"
	"github.com/descartes-tasks/descartes/schema"
)

// candidate is what a word can become.
type candidate struct{ word, what string }

// typed is a command line up to the word that is to be completed.
type typed struct {
	command *cli.Command
	flags   map[string]string // what was given
	value   string            // the name of the flag whose value the word is, else ""
	words   int               // arguments before it
	ended   bool              // by --
}

// complete gives what the last of the words after "descartes" can become; nothing
// where the shell knows better, as for files.
func complete(ctx context.Context, root *cli.Command, words []string) []candidate {
	if len(words) == 0 {
		return nil
	}
	last := words[len(words)-1]
	at := lineOf(root, words[:len(words)-1])
	name, value, joined := strings.Cut(last, "=")
	var all []candidate
	switch {
	case at.ended:
	case at.value != "":
		all = at.values(ctx, at.value, last)
	case joined && strings.HasPrefix(name, "--"):
		for _, c := range at.values(ctx, name[2:], value) {
			all = append(all, candidate{name + "=" + c.word, c.what})
		}
	case strings.HasPrefix(last, "-"):
		all = at.flagNames()
	default:
		all = at.arguments(ctx, last)
	}
	return slices.DeleteFunc(all, func(c candidate) bool { return !strings.HasPrefix(c.word, last) })
}

// lineOf follows the words to a command.
func lineOf(root *cli.Command, words []string) typed {
	at := typed{command: root, flags: make(map[string]string)}
	for _, word := range words {
		switch name, value, joined := strings.Cut(strings.TrimLeft(word, "-"), "="); {
		case at.ended:
		case at.value != "":
			at.flags[at.value], at.value = strings.Trim(word, `"'`), ""
		case word == "--":
			at.ended = true
		case joined && strings.HasPrefix(word, "-"):
			at.flags[at.nameOf(name)] = strings.Trim(value, `"'`)
		case strings.HasPrefix(word, "-") && word != "-":
			at.value = at.takesValue(name)
		case at.words == 0 && at.command.Command(word) != nil:
			at.command = at.command.Command(word)
		default:
			at.words++
		}
	}
	return at
}

// allFlags are those of the command and those that every command has.
func (at *typed) allFlags() []cli.Flag {
	root := at.command.Root()
	if root == at.command {
		return root.Flags
	}
	return slices.Concat(at.command.Flags, root.Flags)
}

func (at *typed) flag(name string) cli.Flag {
	for _, f := range at.allFlags() {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// nameOf gives the first name of a flag.
func (at *typed) nameOf(name string) string {
	if f := at.flag(name); f != nil {
		return f.Names()[0]
	}
	return name
}

// takesValue gives the name of a flag whose value is the next word, else "".
func (at *typed) takesValue(name string) string {
	if f, ok := at.flag(name).(cli.DocGenerationFlag); ok && f.TakesValue() {
		return at.nameOf(name)
	}
	return ""
}

func (at *typed) flagNames() []candidate {
	all := []candidate{{"--help", "show help"}}
	for _, f := range at.allFlags() {
		doc, ok := f.(cli.DocGenerationFlag)
		if ok && len(f.Names()[0]) > 1 && f.Names()[0] != "help" {
			all = append(all, candidate{"--" + f.Names()[0], strings.ReplaceAll(doc.GetUsage(), "`", "")})
		}
	}
	return all
}

// values gives what a flag can be.
func (at *typed) values(ctx context.Context, name, last string) []candidate {
	name = at.nameOf(name)
	switch name {
	case "depends-on", "id":
		if name == "id" && at.command.Name != "claim" { // it is to be chosen
			return nil
		}
		return at.tasks(ctx, last)
	case "until":
		return append(choices(schema.Statuses()), candidate{"ready", ""})
	case "status":
		return choices(schema.Statuses())
	case "priority":
		return choices(schema.Priorities())
	case "complexity":
		return choices(schema.Complexities())
	case "order":
		return choices(schema.Orders())
	case "since":
		return choices([]string{schema.SinceStart})
	}
	return choices(enumerations[name])
}

// enumerations are the values of flags that the schema does not know.
var enumerations = map[string][]string{
	"color":       {"auto", "always", "never"},
	"scope":       {"read", "write"},
	"on-conflict": {"refuse", "skip", "replace"},
	"log-level":   {"debug", "info", "warn", "error"},
	"log-format":  {"auto", "console", "json"},
}

func choices[T ~string](values []T) []candidate {
	all := make([]candidate, len(values))
	for i, v := range values {
		all[i].word = string(v)
	}
	return all
}

// arguments gives what the next argument can be.
func (at *typed) arguments(ctx context.Context, last string) []candidate {
	switch name := at.command.Name; {
	case name == "help":
		return commandNames(at.command.Root().Commands)
	case name == "call" && at.words == 0:
		return choices(schema.Methods())
	case name == "bench":
		return scenarioNames()
	case len(at.command.VisibleCommands()) > 0 && at.words == 0:
		return commandNames(at.command.Commands)
	case at.command.ArgsUsage == "ID…" || at.words == 0 && slices.Contains([]string{"ID", "[ID]", "[ID…]"}, at.command.ArgsUsage):
		return at.tasks(ctx, last)
	}
	return nil
}

func scenarioNames() []candidate {
	all := choices([]string{"all", "growth"})
	for _, row := range bench.Scenarios() {
		all = append(all, candidate{row.Name, row.Usage})
	}
	return all
}

func commandNames(commands []*cli.Command) []candidate {
	var all []candidate
	for _, c := range commands {
		if !c.Hidden {
			all = append(all, candidate{c.Name, c.Usage})
		}
	}
	return all
}
