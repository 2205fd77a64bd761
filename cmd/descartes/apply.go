package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "make many changes in one commit, all or none",
		ArgsUsage: "[FILE | -]",
		Description: "Reads 1 to 1000 operations, in their order, from FILE or standard input: one a line, or an array of them, as\n" +
			"{\"op\":\"create\",\"title\":\"…\"}, {\"op\":\"update\",\"id\":\"…\",\"status\":\"done\"}, {\"op\":\"delete\",\"id\":\"…\"}. A later one may\n" +
			"name a task that an earlier one creates. Prints the id of each task.",
		Flags:        append(clientFlags(), jsonFlag()),
		OnUsageError: onUsageError,
		Action:       failing(applyFile),
	}
}

func applyFile(ctx context.Context, cmd *cli.Command) error {
	name, err := fileArgument(cmd)
	if err != nil {
		return err
	}
	text, err := readInput(cmd, name)
	if err != nil {
		return err
	}
	operations, err := parseOperations(text)
	if err != nil {
		return err
	}
	return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
		results, err := apply(ctx, c, operations)
		if answer, ok := errors.AsType[*schema.Error](err); ok && answer.Data.Index != nil && !cmd.Bool("json") {
			return fmt.Errorf("operation %d: %s; nothing was changed", *answer.Data.Index+1, explain(answer))
		}
		if err != nil {
			return err
		}
		for i, result := range results {
			if err := printWritten(cmd, string(operations[i].Op)+"d", result); err != nil {
				return err
			}
		}
		return nil
	})(ctx, cmd)
}

// readInput reads the file of this name, or standard input.
func readInput(cmd *cli.Command, name string) ([]byte, error) {
	if name != "" && name != "-" {
		return os.ReadFile(name)
	}
	return io.ReadAll(cmd.Root().Reader)
}

// parseOperations reads operations, and refuses what no daemon would accept.
func parseOperations(text []byte) (schema.Operations, error) {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return nil, usageError("there is no operation: write them one a line, as in {\"op\":\"update\",\"id\":\"x\",\"status\":\"done\"}")
	case text[0] == '{':
		var list [][]byte
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				list = append(list, line)
			}
		}
		text = append(append([]byte("["), bytes.Join(list, []byte(","))...), ']')
	}
	if !json.Valid(text) {
		return nil, usageError("the operations are no JSON: write them one a line, or as one array")
	}
	var p schema.ApplyParams
	err := schema.Decode(append(append([]byte(`{"operations":`), text...), '}'), &p)
	if err == nil {
		err = p.Validate()
	}
	if wrong, ok := errors.AsType[*schema.Error](err); ok && wrong.Data.Index != nil {
		return nil, usageError("operation %d: %w", *wrong.Data.Index+1, err)
	}
	if err != nil {
		return nil, usageError("%w", err)
	}
	return p.Operations, nil
}
