package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

// jsonFlag is that of every command that prints what the daemon answered, also where
// nothing else is printed in a pipe: scripts need not know.
func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print what the daemon answered: JSON, one object a line"}
}

// printJSON prints JSON in one line as it came. On a terminal what could command it is
// escaped, which is the same JSON.
func printJSON(w io.Writer, raw []byte) error {
	line := append(bytes.Clone(raw), '\n')
	if isTerminal(w) {
		line = append(escaped(raw), '\n')
	}
	_, err := w.Write(line)
	return err
}

// escaped writes \uXXXX for the characters of strings that command a terminal. JSON
// has those below U+0020 escaped already; outside of strings they are white space.
func escaped(raw []byte) []byte {
	var text []byte
	for _, r := range string(raw) {
		if r < ' ' || !commands(r) {
			text = append(text, string(r)...)
		} else {
			text = fmt.Appendf(text, `\u%04x`, r)
		}
	}
	return text
}
