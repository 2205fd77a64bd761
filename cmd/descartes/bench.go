package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/cmd/descartes/bench"
	"github.com/descartes-tasks/descartes/rpc/client"
)

func benchCommand() *cli.Command {
	var rows strings.Builder
	for _, s := range bench.Scenarios() {
		fmt.Fprintf(&rows, "\n  %-10s%s", s.Name, s.Usage)
	}
	return &cli.Command{
		Name:      "bench",
		Usage:     "measure how fast the daemon is",
		ArgsUsage: "[ROW…]",
		Description: "Each row is measured on a new daemon with a temporary file, or on the one at --url, where it makes tasks whose ids\n" +
			"begin with \"" + bench.IDPrefix + "\" and deletes them in the end. The flags change the rows that are named; without any, some\n" +
			"are measured that take half a minute; \"all\" is all of docs/benchmarks.md, and \"growth\" how cost grows. Rows:" + rows.String(),
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "writers", Usage: "`N` connections that write, or list", DefaultText: "the row's"},
			&cli.IntFlag{Name: "in-flight", Usage: "`N` unanswered calls of each connection", DefaultText: "the row's"},
			&cli.IntFlag{Name: "subscribers", Usage: "`N` connections that get every change", DefaultText: "the row's"},
			&cli.IntFlag{Name: "tasks", Usage: "`N` tasks that are there before", DefaultText: "the row's"},
			&cli.IntFlag{Name: "events", Usage: "`N` events in the journal before", DefaultText: "the row's"},
			&cli.FloatFlag{Name: "rate", Usage: "`N` writes a second, on time; 0: as fast as they go", DefaultText: "the row's"},
			&cli.DurationFlag{Name: "duration", Usage: "measure each row for this long", DefaultText: "the row's"},
			&cli.IntFlag{Name: "repeat", Value: 1, Usage: "measure each row `N` times and tell the medians"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.StringFlag{Name: "url", Usage: "measure the daemon at `URL`, which has no tasks yet", DefaultText: "a new one"},
			&cli.BoolFlag{Name: "force", Usage: "measure the daemon at --url though it has tasks: it gets slow, and its journal long"},
			&cli.StringFlag{Name: "token", Usage: "authenticate with `TOKEN`", Sources: environment("token")},
			&cli.StringFlag{Name: "tls-ca", Usage: "trust the authorities in `FILE` (PEM) instead of the system's", Sources: environment("tls-ca")},
		},
		OnUsageError: onUsageError,
		Action:       failing(runBench),
	}
}

func runBench(ctx context.Context, cmd *cli.Command) error {
	plan, err := benchPlan(cmd)
	if err != nil {
		return err
	}
	secure, err := clientTLS(cmd.String("tls-ca"))
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if cmd.String("url") != "" {
		if err := mayMeasure(ctx, cmd); err != nil {
			return err
		}
	}
	bar := &benchProgress{w: cmd.Root().ErrWriter}
	rows, err := bench.Run(ctx, plan, bench.Options{
		Serve:    func(arguments ...string) *exec.Cmd { return serveProcess(program, arguments) },
		URL:      cmd.String("url"),
		Client:   client.Options{Token: cmd.String("token"), TLS: secure},
		Repeat:   cmd.Int("repeat"),
		Progress: bar.show,
	})
	bar.close()
	if ctx.Err() != nil {
		err = errors.New("bench: interrupted")
	}
	return errors.Join(err, printRows(cmd, rows))
}

// serveProcess makes the process of a daemon that the environment has no say in.
func serveProcess(program string, arguments []string) *exec.Cmd {
	command := exec.Command(program, append([]string{"serve"}, arguments...)...)
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		setting := slices.ContainsFunc(serveFlags(), func(f cli.Flag) bool { return variableOf(f.Names()[0]) == name })
		if !setting {
			command.Env = append(command.Env, variable)
		}
	}
	return command
}

// benchPlan gives the rows to be measured.
func benchPlan(cmd *cli.Command) ([]bench.Planned, error) {
	if cmd.Int("repeat") < 1 {
		return nil, usageError("--repeat must be at least 1")
	}
	var plan []bench.Planned
	for _, name := range cmd.Args().Slice() {
		scenario, ok := bench.Find(name)
		switch {
		case name == "all":
			plan = append(plan, bench.Full()...)
		case name == "growth":
			plan = append(plan, bench.Growth()...)
		case ok:
			plan = append(plan, bench.Planned{Scenario: scenario, Settings: scenario.Settings})
		default:
			return nil, usageError("there is no row %q: see descartes bench --help", name)
		}
	}
	if len(plan) == 0 {
		plan = bench.Short()
	}
	for i := range plan {
		if err := changeSettings(cmd, &plan[i].Settings); err != nil {
			return nil, err
		}
		if err := plan[i].Check(); err != nil {
			return nil, usageError("%w", err)
		}
	}
	return plan, nil
}

// changeSettings sets what the command line says.
func changeSettings(cmd *cli.Command, s *bench.Settings) error {
	for name, setting := range map[string]*int{
		"writers": &s.Writers, "in-flight": &s.InFlight, "subscribers": &s.Subscribers, "tasks": &s.Tasks, "events": &s.Events,
	} {
		if !cmd.IsSet(name) {
			continue
		}
		if *setting = cmd.Int(name); *setting < 0 {
			return usageError("--%s must be at least 0", name)
		}
	}
	if cmd.IsSet("rate") {
		if s.Rate = cmd.Float("rate"); s.Rate < 0 || s.Rate > 1e6 {
			return usageError("--rate must be 0 to 1000000")
		}
	}
	if cmd.IsSet("duration") {
		if s.Duration = cmd.Duration("duration"); s.Duration < 100*time.Millisecond {
			return usageError("--duration must be at least 100ms")
		}
	}
	return nil
}

// mayMeasure refuses to put a load on a daemon that somebody uses.
func mayMeasure(ctx context.Context, cmd *cli.Command) error {
	c, err := dial(ctx, cmd, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	stats, err := c.Stats(ctx)
	if err != nil {
		return answerError(cmd, err)
	}
	var tasks int64
	for _, n := range stats.Tasks {
		tasks += n
	}
	if tasks > 0 && !cmd.Bool("force") {
		return fmt.Errorf("the daemon at %s has %s: a benchmark slows it down and fills its journal; say --force if it shall", c.URL(), count(tasks, "task"))
	}
	return nil
}

// printRows prints a table, or JSON with what is needed to compare it.
func printRows(cmd *cli.Command, rows []bench.Row) error {
	if !cmd.Bool("json") {
		if len(rows) == 0 {
			return nil
		}
		return bench.WriteTable(cmd.Root().Writer, rows)
	}
	encoder := json.NewEncoder(cmd.Root().Writer)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(map[string]any{
		"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"cpus": runtime.NumCPU(), "repeat": cmd.Int("repeat"), "rows": rows,
	})
}

// benchProgress is a bar for one row after the other.
type benchProgress struct {
	w   io.Writer
	row string
	bar *progress
}

func (p *benchProgress) show(row string, done, total int64) {
	if row != p.row {
		p.close()
		name, _, _ := strings.Cut(row, ":") // all of it is too long for a line
		p.row, p.bar = row, newProgress(p.w, name)
	}
	p.bar.show(done, total)
}

func (p *benchProgress) close() { p.bar.close() }
