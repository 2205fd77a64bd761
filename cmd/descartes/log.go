package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// newLogger logs to w: for people on a terminal, as JSON otherwise.
func newLogger(w io.Writer, level, format string) (zerolog.Logger, error) {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil || parsed < zerolog.DebugLevel || parsed > zerolog.ErrorLevel {
		return zerolog.Nop(), usageError("--log-level must be debug, info, warn or error, not %q", level)
	}
	switch {
	case format != "auto" && format != "console" && format != "json":
		return zerolog.Nop(), usageError("--log-format must be auto, console or json, not %q", format)
	case format == "console" || format == "auto" && isTerminal(w):
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
	}
	return zerolog.New(w).Level(parsed).With().Timestamp().Logger(), nil
}

// logFailure logs that the database begins to fail in something, or with a nil
// error that it works again.
func logFailure(log zerolog.Logger, what string, err error) {
	if err == nil {
		log.Info().Str("what", what).Msg("the database works again")
		return
	}
	log.Error().Str("what", what).Err(err).Msg("the database fails")
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
