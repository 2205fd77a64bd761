package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// onDaemon makes an action of what a command does with a daemon.
func onDaemon(do func(ctx context.Context, cmd *cli.Command, c *client.Client) error) cli.ActionFunc {
	return failing(func(ctx context.Context, cmd *cli.Command) error {
		c, err := dial(ctx, cmd, client.Options{})
		if err != nil {
			return err
		}
		defer c.Close()
		return refusal(cmd, do(ctx, cmd, c))
	})
}

// refusal tells an error answer to people, and what to do; with --json to programs,
// as "descartes call" does.
func refusal(cmd *cli.Command, err error) error {
	answer, ok := errors.AsType[*schema.Error](err)
	if _, said := errors.AsType[*exitError](err); said || err == nil {
		return err
	}
	if !ok || cmd.Bool("json") {
		return answerError(cmd, err)
	}
	return errors.New(explain(answer))
}

// explain says what is wrong and what to do.
func explain(e *schema.Error) string {
	do := ""
	switch e.Code {
	case schema.CodeTaskNotFound:
		do = `; "descartes list" shows those that there are`
	case schema.CodeVersionConflict:
		do = fmt.Sprintf(`; "descartes get" shows it as it is now: if that is as you want it, repeat with --expected-version %d`, *e.Data.Actual)
	case schema.CodeTaskExists:
		do = `; choose another --id, or change it with "descartes update"`
	case schema.CodeDependencyInvalid:
		if len(e.Data.Dependents) > 0 {
			do = ": " + strings.Join(e.Data.Dependents, " ") + "; delete them, too, or change what they depend on (descartes update ID --depends-on …)"
		}
	case schema.CodeForbidden:
		do = `; "descartes token add NAME --scope write" makes a token that may write`
	case schema.CodeCursorExpired:
		return "the cursor cannot be continued" + cursorReason(e.Data.ReasonDetail) + "; --since start begins with the oldest event that there is"
	case schema.CodeInternal:
		do = "; the log of the daemon has the story"
	}
	return withoutIndex(e) + do
}

// withoutIndex gives the message of an error, without the operation of a task.apply
// that it is about: who has named tasks has named no operations.
func withoutIndex(e *schema.Error) string {
	if e.Data.Index == nil {
		return e.Message
	}
	return strings.TrimPrefix(e.Message, fmt.Sprintf("operation %d: ", *e.Data.Index))
}

// flagError names the flag of a command that an error is about.
func flagError(cmd *cli.Command, err error) error {
	wrong, ok := errors.AsType[*schema.Error](err)
	if !ok {
		return usageError("%w", err)
	}
	field := strings.TrimPrefix(wrong.Data.Field, "filter.")
	if rule := durationRules[field]; rule != "" {
		return usageError("%s", rule)
	}
	for _, flag := range cmd.Flags {
		if slices.Contains(append(flag.Names(), flagAliases[flag.Names()[0]]), strings.ReplaceAll(field, "_", "-")) {
			return usageError("--%s %s", flag.Names()[0], wrong.Data.Rule)
		}
	}
	return usageError("%w", err)
}

// durationRules are those of fields in milliseconds, which flags have as durations.
var durationRules = map[string]string{
	"lease_ms": "--lease must be 1s to 24h", "debounce_ms": "--debounce must be 0s to 1m",
}

// flagAliases are fields that have another name than their flags.
var flagAliases = map[string]string{"priority": "priority-at-least", "depends-on": "dependencies"}

// fileArgument gives the name of the file that the argument is, "" if there is none.
func fileArgument(cmd *cli.Command) (string, error) {
	name := cmd.Args().First()
	switch {
	case cmd.NArg() > 1:
		return "", usageError("%s takes the name of one file, but got %q", cmd.Name, cmd.Args().Slice())
	case cmd.NArg() == 1 && name == "":
		return "", usageError("%s takes the name of a file, but got an empty one", cmd.Name)
	}
	return name, nil
}

// apply makes operations in one commit and gives what each gave.
func apply(ctx context.Context, c *client.Client, operations []schema.Operation) ([]json.RawMessage, error) {
	params, err := schema.Encode(schema.ApplyParams{Operations: operations})
	if err == nil {
		err = fits(ctx, c, params)
	}
	if err != nil {
		return nil, err
	}
	var result schema.ApplyResult
	err = c.Call(ctx, schema.MethodApply, params, &result)
	return result.Results, err
}

// fits refuses params that are longer than a message that the daemon takes: it would
// close the connection, and nobody could say whether they had been accepted.
func fits(ctx context.Context, c *client.Client, params []byte) error {
	const (
		small  = 16 << 10 // not worth asking
		around = 100      // of the request
	)
	if len(params) < small {
		return nil
	}
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	if limit, told := info.Limits["message"]; told && int64(len(params)+around) > limit {
		return fmt.Errorf("this is %d bytes long, and the daemon takes %d in one message (--max-message): nothing was changed", len(params), limit)
	}
	return nil
}

// writeEach makes one operation for each task, all of them in one commit, and prints
// what became of them.
func writeEach(ctx context.Context, cmd *cli.Command, c *client.Client, verb string, ids []string, operation func(id string) schema.Operation) error {
	operations := make([]schema.Operation, len(ids))
	for i, id := range ids {
		operations[i] = operation(id)
	}
	results, err := apply(ctx, c, operations)
	if err != nil {
		return err
	}
	for _, result := range results {
		if err := printWritten(cmd, verb, result); err != nil {
			return err
		}
	}
	return nil
}

// namedTasks gives the ids of the tasks that the arguments name, each once.
func namedTasks(ctx context.Context, cmd *cli.Command, c *client.Client) ([]string, error) {
	named, err := resolve(ctx, c, cmd.Args().Slice())
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, id := range named {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) > schema.MaxOperations {
		return nil, usageError("%s takes at most %d tasks, but got %d", cmd.Name, schema.MaxOperations, len(ids))
	}
	return ids, nil
}

// needsTasks refuses a command line that names no task, or what cannot be one.
func needsTasks(cmd *cli.Command) error {
	if cmd.Args().Present() {
		return checkNames(cmd.Args().Slice())
	}
	return usageError(`say which tasks: descartes %s ID…; "descartes list" shows their ids`, cmd.Name)
}
