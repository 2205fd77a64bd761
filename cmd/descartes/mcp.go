package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/cmd/descartes/mcp"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func mcpCommand() *cli.Command {
	return &cli.Command{
		Name:  "mcp",
		Usage: "let an agent that speaks the Model Context Protocol work on the tasks",
		Description: "Speaks MCP on standard input and output: it is started by the agent's host, with the command descartes and the\n" +
			"argument mcp. What the session has claimed is renewed while it lives and released when it ends. docs/mcp.md has more.",
		Flags: append(clientFlags(),
			&cli.StringFlag{Name: "assigned-to", Aliases: []string{"name"}, Usage: "claim as `NAME`", DefaultText: "what the agent calls itself", Sources: environment("assigned-to")},
			&cli.DurationFlag{Name: "lease", Value: schema.DefaultLeaseMS * time.Millisecond, Usage: "after this long without a renewal a claim ends; it is renewed when a third of it is over", Sources: environment("lease")},
		),
		OnUsageError: onUsageError,
		Action:       failing(serveMCP),
	}
}

// serveMCP serves one agent until it is gone, or ctx ends.
func serveMCP(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usageError("mcp takes no argument, but got %q", cmd.Args().First())
	}
	lease := cmd.Duration("lease")
	if lease < schema.MinLeaseMS*time.Millisecond || lease > schema.MaxLeaseMS*time.Millisecond {
		return usageError("--lease must be 1s to 24h, not %s", lease)
	}
	root := cmd.Root()
	warn := func(text string) { fmt.Fprintf(root.ErrWriter, "descartes: %s\n", strings.Map(printable, text)) }
	if terminal, ok := root.Reader.(*os.File); ok && isTerminal(terminal) {
		warn("waiting for messages of the Model Context Protocol; an agent's host is meant to start this: see docs/mcp.md")
	}
	err := mcp.Serve(ctx, stdio(root.Reader, root.Writer), mcp.Options{
		Dial: func(ctx context.Context) (*client.Client, error) {
			return dialDaemon(ctx, cmd, client.Options{
				Reconnect:    true,
				Disconnected: func(err error) { warn(fmt.Sprintf("%v; connecting again", err)) },
				Reconnected:  func() { warn("connected again") },
			})
		},
		Name: cmd.String("assigned-to"), Lease: lease, Version: version(), Warn: warn,
	})
	if err != nil && ctx.Err() == nil {
		return dialError(cmd, err)
	}
	return nil // the agent is gone, or this was interrupted
}

// stdio is a transport over two streams, of which only the first one is closed.
func stdio(in io.Reader, out io.Writer) sdk.Transport {
	closer, ok := in.(io.ReadCloser)
	if !ok {
		closer = io.NopCloser(in)
	}
	return &sdk.IOTransport{Reader: closer, Writer: notClosed{out}}
}

// notClosed is a stream that outlives what writes to it.
type notClosed struct{ io.Writer }

// Close does nothing.
func (notClosed) Close() error { return nil }
