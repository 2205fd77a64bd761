package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func infoCommand() *cli.Command {
	return serverCommand("info", "tell what the daemon is: version, limits, newest cursor", schema.MethodInfo, printMembers)
}

func statsCommand() *cli.Command {
	return serverCommand("stats", "tell how the daemon is doing: tasks, journal, connections, claims", schema.MethodStats, printMembers)
}

func discoverCommand() *cli.Command {
	return serverCommand("discover", "print the OpenRPC document: every method, for programs", schema.MethodDiscover, printResult)
}

func pingCommand() *cli.Command {
	return &cli.Command{
		Name: "ping", Usage: "tell whether the daemon answers, and how fast", OnUsageError: onUsageError,
		Flags: append(clientFlags(), jsonFlag()), Action: withoutArguments(onDaemon(ping)),
	}
}

// serverCommand asks a daemon about itself.
func serverCommand(name, usage, method string, show func(*cli.Command, json.RawMessage) error) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Flags: append(clientFlags(), jsonFlag()), OnUsageError: onUsageError,
		Action: withoutArguments(onDaemon(func(ctx context.Context, cmd *cli.Command, c *client.Client) error {
			var result json.RawMessage
			if err := c.Call(ctx, method, nil, &result); err != nil {
				return err
			}
			if cmd.Bool("json") {
				return printJSON(cmd.Root().Writer, result)
			}
			return show(cmd, result)
		})),
	}
}

func ping(ctx context.Context, cmd *cli.Command, c *client.Client) error {
	begun := time.Now()
	var pong json.RawMessage
	if err := c.Call(ctx, schema.MethodPing, nil, &pong); err != nil {
		return err
	}
	took := time.Since(begun)
	if cmd.Bool("json") {
		return printJSON(cmd.Root().Writer, pong)
	}
	_, err := fmt.Fprintf(cmd.Root().Writer, "%s answers in %s\n", c.URL(), took.Round(10*time.Microsecond))
	return err
}

// printMembers prints an object as a table of names and values; those of an object
// inside have its name in front.
func printMembers(cmd *cli.Command, result json.RawMessage) error {
	s := displayOf(cmd)
	s.width = 0 // a value is not cut
	t := newTable(cmd.Root().Writer, s, "NAME", "VALUE")
	addMembers(t, "", result)
	return t.flush()
}

func addMembers(t *table, prefix string, object []byte) {
	for m := range schema.Members(object) {
		name := prefix + string(m.Name)
		if m.Value[0] == '{' {
			addMembers(t, name+".", m.Value)
			continue
		}
		t.add(cell{name, faint}, cell{strings.Trim(string(m.Value), `"`), plain})
	}
}
