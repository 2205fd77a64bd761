package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// groupBytes bounds the JSON of the tasks that are made in one commit, beside
// schema.MaxOperations and half of what the daemon takes in one message.
const groupBytes = 512 << 10

// group is what is made in one commit.
type group struct {
	operations []schema.Operation
	lines      []int // of the input, one for each operation
	bytes      int
}

// createMany makes a task of each line of standard input. All lines are read before
// the first one is sent.
func createMany(ctx context.Context, cmd *cli.Command, defaults schema.Draft) error {
	if defaults.ID != "" {
		return usageError("--id is for one task; in many lines each can have its own: {\"id\":\"x\",\"title\":\"…\"}")
	}
	return onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
		var err error
		if defaults.Dependencies, err = resolve(ctx, c, defaults.Dependencies); err != nil {
			return err
		}
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		size := groupBytes
		if limit, told := info.Limits["message"]; told {
			size = int(min(groupBytes, limit/2))
		}
		groups, tasks, err := readGroups(cmd.Root().Reader, defaults, size)
		if err != nil {
			return err
		}
		return createGroups(ctx, cmd, c, groups, tasks)
	})(ctx, cmd)
}

func createGroups(ctx context.Context, cmd *cli.Command, c *client.Client, groups []group, tasks int) error {
	var bar *progress
	if len(groups) > 1 && !isTerminal(cmd.Root().Writer) { // where the lines show how far it is
		bar = newProgress(cmd.Root().ErrWriter, "creating")
		defer bar.close()
	}
	made := 0
	for _, g := range groups {
		results, err := apply(ctx, c, g.operations)
		if err != nil {
			bar.close()
			if cmd.Bool("json") {
				return err // as the daemon said it
			}
			return groupError(err, g, made)
		}
		for _, created := range results {
			if err := printWritten(cmd, "created", created); err != nil {
				return err
			}
		}
		made += len(results)
		bar.show(int64(made), int64(tasks))
	}
	return nil
}

// groupError tells which line was refused, and what is made nevertheless.
func groupError(err error, g group, made int) error {
	before := "; nothing was made"
	if made > 0 {
		before = fmt.Sprintf("; %s before it %s made", count(int64(made), "task"), wasWere(made))
	}
	answer, ok := errors.AsType[*schema.Error](err)
	switch {
	case client.IsInDoubt(err) && ok:
		return fmt.Errorf("lines %d to %d: %w", g.lines[0], g.lines[len(g.lines)-1], err)
	case ok && answer.Data.Index != nil && *answer.Data.Index < len(g.lines):
		return fmt.Errorf("line %d: %s%s", g.lines[*answer.Data.Index], withoutIndex(answer), before)
	case ok:
		return fmt.Errorf("%s%s", answer.Message, before)
	case made > 0:
		return fmt.Errorf("lines %d to %d: %w%s", g.lines[0], g.lines[len(g.lines)-1], err, before)
	}
	return err
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// readGroups reads a task from each line that is not empty, into groups of at most size
// bytes, or of one task.
func readGroups(r io.Reader, defaults schema.Draft, size int) (groups []group, tasks int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		draft, err := draftOf(line, defaults)
		if err != nil {
			return nil, 0, usageError("line %d: %w; nothing was made", n, err)
		}
		operation := schema.Operation{Op: schema.OpCreate, Create: draft}
		encoded, err := json.Marshal(operation)
		if err != nil {
			return nil, 0, err
		}
		tasks++
		last := len(groups) - 1
		if last < 0 || len(groups[last].operations) == schema.MaxOperations || groups[last].bytes+len(encoded) > size {
			groups, last = append(groups, group{}), last+1
		}
		g := &groups[last]
		g.operations, g.lines, g.bytes = append(g.operations, operation), append(g.lines, n), g.bytes+len(encoded)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, 0, usageError("a line is longer than 1 MiB; nothing was made")
	case err != nil:
		return nil, 0, err
	case tasks == 0:
		return nil, 0, usageError("standard input has no task: write one title a line, or one JSON object a line")
	}
	return groups, tasks, nil
}

// draftOf makes a draft of one line.
func draftOf(line []byte, defaults schema.Draft) (*schema.Draft, error) {
	draft := defaults
	switch {
	case line[0] == '[' && json.Valid(line) && bytes.Contains(line, []byte("{")):
		return nil, errors.New("it is a JSON array: write each object on a line of its own")
	case line[0] != '{':
		draft.Title = strings.ToValidUTF8(string(line), "\uFFFD")
	case !json.Valid(line):
		return nil, errors.New("it begins like a JSON object, but is none")
	default:
		if err := schema.Decode(line, &draft); err != nil {
			return nil, err
		}
	}
	check := draft // the daemon fills in the defaults
	return &draft, check.Normalize()
}
