package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v3"
)

// release and revision are set by the linker (-X main.release=…) in released binaries.
var release, revision string

// version gives the release, else what the module system knows of this build.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// commit gives the revision that the binary was built from, "" if it is not known.
func commit() string {
	if revision != "" {
		return revision
	}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:         "version",
		Usage:        "tell which descartes this is",
		OnUsageError: onUsageError,
		Flags:        []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as JSON"}},
		Action: withoutArguments(failing(func(_ context.Context, cmd *cli.Command) error {
			about := struct {
				Version string `json:"version"`
				Commit  string `json:"commit,omitempty"`
				Go      string `json:"go"`
			}{version(), commit(), runtime.Version()}
			if cmd.Bool("json") {
				return json.NewEncoder(cmd.Root().Writer).Encode(about)
			}
			built := about.Go
			if about.Commit != "" {
				built = "commit " + about.Commit + ", " + built
			}
			_, err := fmt.Fprintf(cmd.Root().Writer, "descartes %s (%s)\n", about.Version, built)
			return err
		})),
	}
}
