package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

func clusterCommand() *cli.Command {
	return &cli.Command{
		Name:  "cluster",
		Usage: "look at daemons that share their tasks, or take a file out",
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
			{
				Name: "leave", Usage: "make the file one of a single daemon again",
				Description: "Every task and event in it stays. No daemon may have it open; the others of the cluster go on without. It gets a\n" +
					"new epoch: cursors from the cluster are told so (cursor_expired, epoch), and who follows the journal takes a new\n" +
					"snapshot. To let its daemon come back later: descartes serve --cluster … --cluster-rebuild.",
				Flags: []cli.Flag{dbFlag()}, OnUsageError: onUsageError, Action: withoutArguments(failing(leaveCluster)),
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

func leaveCluster(ctx context.Context, cmd *cli.Command) error {
	path := cmd.String("db")
	place, err := storage.PlaceOf(ctx, path)
	if err != nil {
		return databaseError(cmd, err)
	}
	if err := storage.Leave(ctx, path); err != nil {
		return databaseError(cmd, err)
	}
	_, err = fmt.Fprintf(cmd.Root().Writer, "%s: left the cluster %s after message %d; it has a new epoch, and is for a daemon without --cluster now\n",
		path, place.Cluster, place.Position)
	return err
}
