package main

import (
	"io"
	"os"
	"runtime"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"github.com/urfave/cli/v3"
	"golang.org/x/term"
)

// display says how to write for whoever reads what a command prints. The zero value
// is a pipe: plain, and the same for ever.
type display struct {
	people bool // read by people: tables, short ids, times that are relative
	colour bool
	width  int // columns; 0: as many as it takes
}

// colorFlag is there for every command.
func colorFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "color", Value: "auto", Sources: environment("color"),
		Usage: "print for people, in colours, `WHEN` is auto (on a terminal), always (in a pipe, too) or never",
		Validator: func(when string) error {
			return oneOf("--color", when, "auto", "always", "never")
		},
	}
}

// displayOf says who reads what the command prints.
func displayOf(cmd *cli.Command) display {
	return displayFor(cmd.Root().Writer, cmd.String("color"))
}

// displayFor follows https://no-color.org: a NO_COLOR that is not empty turns colours
// off, but for --color always.
func displayFor(w io.Writer, when string) display {
	switch {
	case when == "always":
		s := display{people: true, colour: true}
		s.width, _ = widthOf(w)
		return s
	case !isTerminal(w):
		return display{}
	}
	s := display{people: true}
	s.width, _ = widthOf(w)
	s.colour = when != "never" && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" &&
		(runtime.GOOS != "windows" || os.Getenv("WT_SESSION") != "") // older consoles show the codes
	return s
}

func widthOf(w io.Writer) (int, bool) {
	file, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	return width, err == nil
}

// paint is how text looks: the parameters of an SGR sequence.
type paint string

// What each is for.
const (
	plain   paint = ""
	bold    paint = "1"
	faint   paint = "2"
	red     paint = "31"
	green   paint = "32"
	yellow  paint = "33"
	blue    paint = "34"
	magenta paint = "35"
)

// painted gives text in a colour, where there are colours.
func (s display) painted(p paint, text string) string {
	if !s.colour || p == plain || text == "" {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// printable keeps what a task says from ending the line, or from commanding the
// terminal.
func printable(r rune) rune {
	if commands(r) {
		return ' '
	}
	return r
}

// commands tells whether a terminal could take a character for a command, or show
// what comes after it in another order.
func commands(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// oneLine makes of text what can be a part of one line.
func oneLine(text string) string { return strings.Map(printable, text) }

// columns is how many columns of a terminal text takes: characters can take two, or,
// where they are put on the one before, none.
func columns(text string) int { return uniseg.StringWidth(text) }

// cut shortens text to so many columns, with an ellipsis where something is left out.
func cut(text string, width int) string {
	if width <= 0 || columns(text) <= width {
		return text
	}
	var kept strings.Builder
	left := width - 1 // of the ellipsis
	for state := -1; text != ""; {
		var cluster string
		var wide int
		cluster, text, wide, state = uniseg.FirstGraphemeClusterInString(text, state)
		if left -= wide; left < 0 {
			break
		}
		kept.WriteString(cluster)
	}
	return kept.String() + "…"
}

func oneOf(what, value string, allowed ...string) error {
	for _, word := range allowed {
		if value == word {
			return nil
		}
	}
	last := len(allowed) - 1
	return usageError("%s must be %s or %s, not %q", what, strings.Join(allowed[:last], ", "), allowed[last], value)
}
