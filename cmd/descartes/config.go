package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// environment names the variable of a flag: DESCARTES_ and its name.
func environment(flag string) cli.ValueSourceChain {
	return cli.EnvVars(variableOf(flag))
}

// variableOf gives the name of the variable that sets a flag.
func variableOf(flag string) string {
	return "DESCARTES_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// readConfig sets the flags that neither the command line nor the environment has
// set from the file that --config names: one "name = value" a line, # begins a
// comment, a name that is there several times is a list.
func readConfig(ctx context.Context, cmd *cli.Command) (context.Context, error) {
	path := cmd.String("config")
	if path == "" {
		return ctx, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return ctx, err
	}
	defer file.Close()
	var given []string // before this file
	for _, flag := range cmd.Flags {
		if flag.IsSet() {
			given = append(given, flag.Names()...)
		}
	}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !found || !slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return f.Names()[0] == name && name != "config" }) {
			return ctx, fmt.Errorf("%s line %d: %q is no setting; they are the flags of serve, as name = value", path, n, line)
		}
		if slices.Contains(given, name) {
			continue
		}
		if err := cmd.Set(name, value); err != nil {
			return ctx, fmt.Errorf("%s line %d: %s: %w", path, n, name, err)
		}
	}
	return ctx, lines.Err()
}
