package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

func manCommand() *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page",
		Description: "It has every command and flag. To install it: descartes man > ~/.local/share/man/man1/descartes.1; to read it once:\n" +
			"descartes man | man -l -",
		OnUsageError: onUsageError,
		Action: withoutArguments(failing(func(_ context.Context, cmd *cli.Command) error {
			return writeManual(cmd.Root().Writer, cmd.Root())
		})),
	}
}

// exitCodes tells what each exit code says. docs/command.md has the same table.
var exitCodes = []struct {
	code int
	says string
}{
	{0, "done; of watch: --until or --count is reached, or it was interrupted and had neither"},
	{exitFailed, "refused, failed on the way, or (check) something is wrong: standard error says why, and what to do"},
	{exitUsage, "the command line, the environment or the input is wrong: nothing was tried"},
	{exitNothing, "of claim, and of work --once: no task was ready"},
	{exitTimeout, "of watch: --timeout ran out"},
	{exitInterrupted, "of watch: interrupted before --until or --count was reached"},
}

// manual writes roff with the macros of man(7).
type manual struct{ text strings.Builder }

// writeManual writes a page about a command and all that are below it. What the
// library's own generator gives goes through Markdown, which takes the _ and * of
// our texts for its own.
func writeManual(w io.Writer, root *cli.Command) error {
	m := new(manual)
	m.macro("TH", "DESCARTES", "1", "", "descartes "+root.Version, "User Commands")
	m.macro("SH", "NAME")
	m.line(root.Name + " - " + root.Usage)
	m.macro("SH", "SYNOPSIS")
	m.macro("B", root.Name)
	m.line("COMMAND [options] [arguments]")
	m.macro("SH", "DESCRIPTION")
	m.line("A daemon (descartes serve) keeps tasks in one SQLite file. The other commands talk to it, but for those on the file, " +
		"which work with and without it.")
	m.paragraph("On a terminal they print for people: tables, colours, short ids. In a pipe a line has fields with tabs between them, " +
		"the id first; what writes prints ids alone; with --json they print what the daemon answered.")
	m.paragraph("Ids that the daemon made may be given by their last eight digits or more.")
	m.macro("SH", "OPTIONS OF EVERY COMMAND")
	m.flags(root.Flags)
	m.macro("SH", "OPTIONS OF COMMANDS THAT TALK TO A DAEMON")
	m.flags(clientFlags())
	for _, category := range root.VisibleCategories() {
		m.macro("SH", strings.ToUpper(category.Name()))
		for _, command := range category.VisibleCommands() {
			m.command(command)
		}
	}
	m.macro("SH", "EXIT STATUS")
	for _, exit := range exitCodes {
		m.macro("TP")
		m.macro("B", fmt.Sprint(exit.code))
		m.line(exit.says)
	}
	m.macro("SH", "ENVIRONMENT")
	m.line("Flags that are set as DESCARTES_NAME, too, say so. Besides: NO_COLOR, not empty, turns colours off; BROWSER names what board opens the page with.")
	_, err := io.WriteString(w, m.text.String())
	return err
}

// command writes about a command, and those below it.
func (m *manual) command(c *cli.Command) {
	if c.Hidden || c.Name == "help" && c.Category == "" { // the library puts one below each
		return
	}
	m.macro("SS", strings.TrimSpace(c.FullName()+" "+c.ArgsUsage))
	usage := c.Usage
	if len(c.Aliases) > 0 {
		usage += "; also " + strings.Join(c.Aliases, ", ")
	}
	m.line(strings.ToUpper(usage[:1]) + usage[1:] + ".")
	if c.Description != "" {
		m.paragraph(c.Description)
	}
	m.flags(slices.DeleteFunc(slices.Clone(c.Flags), isConnection))
	for _, sub := range c.Commands {
		m.command(sub)
	}
}

func isConnection(f cli.Flag) bool {
	categorized, ok := f.(cli.CategorizableFlag)
	return ok && categorized.GetCategory() == connection
}

func (m *manual) flags(flags []cli.Flag) {
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if name := f.Names()[0]; !ok || name == "help" || name == "version" {
			continue
		}
		if !f.IsSet() {
			_ = f.PreParse() // finds the default; of a command that does not run nobody has
		}
		value, usage := "", doc.GetUsage()
		if before, rest, quoted := strings.Cut(usage, "`"); quoted {
			var after string
			value, after, _ = strings.Cut(rest, "`")
			usage = before + value + after
		} else if doc.TakesValue() {
			value = strings.ToUpper(doc.TypeName())
		}
		names := make([]string, len(f.Names()))
		for i, name := range f.Names() {
			names[i] = strings.Repeat("-", min(len(name), 2)) + name
		}
		m.macro("TP")
		m.macro("BI", strings.Join(names, ", ")+" ", value)
		if text := defaultOf(doc); text != "" {
			usage += " (default: " + text + ")"
		}
		if variables := doc.GetEnvVars(); len(variables) > 0 {
			usage += " [$" + variables[0] + "]"
		}
		m.line(usage)
	}
}

// defaultOf tells what a flag is that is not given, "" for nothing.
func defaultOf(f cli.DocGenerationFlag) string {
	text := f.GetDefaultText()
	if text == "" && f.TakesValue() {
		text = strings.Trim(f.GetValue(), `"`)
	}
	if slices.Contains([]string{"0", "0s", "[]"}, text) {
		return ""
	}
	return text
}

// macro writes a request with its arguments.
func (m *manual) macro(name string, arguments ...string) {
	m.text.WriteString("." + name)
	for _, a := range arguments {
		m.text.WriteString(` "` + strings.ReplaceAll(roff(a), `"`, `\(dq`) + `"`)
	}
	m.text.WriteByte('\n')
}

func (m *manual) paragraph(text string) {
	m.macro("PP")
	m.line(text)
}

// line writes text that is filled, but for lines that begin with a space, which stay as
// they are; no line of it can be taken for a request.
func (m *manual) line(text string) {
	filled := true
	for part := range strings.SplitSeq(text, "\n") {
		if fill := !strings.HasPrefix(part, " "); fill != filled {
			m.macro(map[bool]string{true: "fi", false: "nf"}[fill])
			filled = fill
		}
		if strings.HasPrefix(part, ".") || strings.HasPrefix(part, "'") {
			m.text.WriteString(`\&`)
		}
		m.text.WriteString(roff(part) + "\n")
	}
	if !filled {
		m.macro("fi")
	}
}

// roff escapes what roff would take for its own, or print as typography.
func roff(text string) string {
	var s strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			s.WriteString(`\e`)
		case escapes[r] != "":
			s.WriteString(escapes[r])
		case r > '~':
			fmt.Fprintf(&s, `\[u%04X]`, r)
		default:
			s.WriteRune(r)
		}
	}
	return s.String()
}

var escapes = map[rune]string{'-': `\-`, '\'': `\(aq`, '`': `\(ga`, '^': `\(ha`, '~': `\(ti`, '…': "..."}
