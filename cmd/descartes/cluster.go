package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func clusterCommand() *cli.Command {
	return &cli.Command{
		Name:  "cluster",
		Usage: "look at daemons that share their tasks",
		Description: "\"descartes serve --cluster\" on several machines makes one: each has all tasks in a file of its own, and the log\n" +
			"of what is changed is a stream in NATS JetStream.",
		OnUsageError: onUsageError,
		Action:       needsCommand,
		Commands: []*cli.Command{
			{
				Name: "status", Usage: "tell how the daemons, the log and its servers are",
				Description: "One daemon is asked, and tells what it knows: which daemons it has heard of within 10 minutes and where they are\n" +
					"in the log, which servers hold the log, and how old the newest snapshot is. In a pipe the first field of a line\n" +
					"says what it is about: cluster, stream, snapshot, daemon or server.",
				Flags: append(clientFlags(), jsonFlag()), OnUsageError: onUsageError, Action: withoutArguments(onDaemon(clusterStatus)),
			},
		},
	}
}

// clusterStatus prints the member cluster of server.stats.
func clusterStatus(ctx context.Context, cmd *cli.Command, c *client.Client) error {
	var stats struct {
		Cluster json.RawMessage `json:"cluster"`
	}
	if err := c.Call(ctx, schema.MethodStats, nil, &stats); err != nil {
		return err
	}
	if len(stats.Cluster) == 0 || string(stats.Cluster) == "null" {
		return fmt.Errorf("the daemon at %s is a single one: \"descartes serve --cluster nats://HOST:4222\" starts one of a cluster (docs/cluster.md)", c.URL())
	}
	if cmd.Bool("json") {
		return printJSON(cmd.Root().Writer, stats.Cluster)
	}
	var cluster schema.ClusterStats
	if err := json.Unmarshal(stats.Cluster, &cluster); err != nil {
		return fmt.Errorf("the daemon's cluster: %w", err)
	}
	return newClusterView(displayOf(cmd), cluster).print(cmd.Root().Writer)
}
