package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc"
	"github.com/descartes-tasks/descartes/storage"
	"github.com/descartes-tasks/descartes/storage/cluster"
)

// aheadPatience is how long a daemon of a cluster lets a cursor wait that another
// daemon, which is a little further, has given.
const aheadPatience = 5 * time.Second

// logSkew is how far the clocks of the NATS servers may be apart: the leader of the log
// tells the time of a cluster, and another one may be the next.
const logSkew = 5 * time.Second

// keeper is where the daemon keeps its tasks: in a file of its own, or in one that
// follows the log of a cluster.
type keeper struct {
	*storage.DB
	cluster *cluster.Journal // nil: one daemon
}

func openKeeper(ctx context.Context, cmd *cli.Command, config storage.Config, log zerolog.Logger) (keeper, error) {
	if cmd.String("cluster") == "" {
		db, err := storage.Open(ctx, config)
		return keeper{DB: db}, err
	}
	settings := clusterConfig(cmd)
	settings.Storage = config
	settings.Report = func(what string, err error) {
		if err != nil {
			log.Warn().Err(err).Msg("cluster: " + what)
			return
		}
		log.Info().Msg("cluster: " + what)
	}
	journal, err := cluster.Open(ctx, settings)
	if err != nil {
		return keeper{}, err
	}
	return keeper{DB: journal.DB, cluster: journal}, nil
}

// clusterConfig is what the flags say of the cluster.
func clusterConfig(cmd *cli.Command) cluster.Config {
	return cluster.Config{
		URLs: strings.Split(cmd.String("cluster"), ","), Name: cmd.String("cluster-name"), Daemon: cmd.String("cluster-daemon"),
		Version: version(), Replicas: int(cmd.Int64("cluster-replicas")), SnapshotEvery: cmd.Int64("cluster-snapshot-every"),
		Credentials: cmd.String("cluster-creds"), CA: cmd.String("cluster-ca"),
		Cert: cmd.String("cluster-cert"), Key: cmd.String("cluster-key"),
		Rebuild: cmd.Bool("cluster-rebuild"), Now: now,
	}
}

// checkCluster refuses what no cluster could work with, before anything is tried: later a
// server that cannot be reached is waited for.
func checkCluster(cmd *cli.Command) error {
	if cmd.String("cluster") == "" {
		for _, flag := range cmd.Flags {
			if name := flag.Names()[0]; strings.HasPrefix(name, "cluster-") && flag.IsSet() {
				return usageError("--%s is of no use without --cluster", name)
			}
		}
		return nil
	}
	if err := clusterConfig(cmd).Validate(); err != nil {
		return usageError("--cluster: %w", err)
	}
	for _, name := range []string{"cluster-creds", "cluster-ca", "cluster-cert", "cluster-key"} {
		if path := cmd.String(name); path != "" {
			file, err := os.Open(path)
			if err != nil {
				return usageError("--%s: %w", name, err)
			}
			_ = file.Close()
		}
	}
	return nil
}

// Close closes the file, and leaves the log before.
func (k keeper) Close() error {
	if k.cluster != nil {
		return k.cluster.Close()
	}
	return k.DB.Close()
}

// emit starts the emitter over the journal.
func (k keeper) emit(ctx context.Context, config emitter.Config) (*emitter.Emitter, error) {
	if k.cluster == nil {
		return emitter.New(ctx, k.DB, config)
	}
	config.Now, config.AheadPatience, config.Skew = k.cluster.Now, aheadPatience, logSkew
	return emitter.New(ctx, k.cluster, config)
}

// serves sets what the server has to know.
func (k keeper) serves(config *rpc.Config) {
	config.Store, config.Tokens = k.DB, k.DB
	if k.cluster != nil {
		config.Cluster, config.Incarnation = k.cluster, k.cluster.Incarnation()
	}
}

// while gives a context that ends when the daemon must not go on, and what tells why
// that was, if it was.
func (k keeper) while(ctx context.Context) (context.Context, func() error) {
	if k.cluster == nil {
		return ctx, func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-k.cluster.Done():
		case <-ctx.Done():
		}
	}()
	return ctx, k.cluster.Err
}
