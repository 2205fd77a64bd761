package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc"
	"github.com/descartes-tasks/descartes/storage"
)

// shutdownPatience is how long a stop waits for what is under way.
const shutdownPatience = 10 * time.Second

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:         "serve",
		Usage:        "run the daemon",
		Description:  "Prints a line that begins with \"ready\" once it answers. Every flag can be set as DESCARTES_NAME in the\nenvironment, and as \"name = value\" in a file that --config names; the command line wins, then the environment.",
		Flags:        serveFlags(),
		Before:       readConfig,
		OnUsageError: onUsageError,
		Action:       failing(serve),
	}
}

// serve runs the daemon until ctx ends.
func serve(ctx context.Context, cmd *cli.Command) (err error) {
	if cmd.Args().Present() {
		return usageError("serve takes no argument, but got %q", cmd.Args().First())
	}
	if err := checkFlags(cmd); err != nil {
		return err
	}
	log, err := newLogger(cmd.Root().ErrWriter, cmd.String("log-level"), cmd.String("log-format"))
	if err != nil {
		return err
	}
	db, err := storage.Open(ctx, storage.Config{
		Path: cmd.String("db"), RetainEvents: cmd.Int64("retain-events"), RetainFor: cmd.Duration("retain-for"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	metrics := rpc.NewMetrics()
	events, err := emitter.New(ctx, db, emitter.Config{Committed: metrics.Committed, Delivered: metrics.Delivered})
	if err != nil {
		return err
	}
	defer events.Close()
	listeners, err := listen(cmd.String("listen"), cmd.String("socket"))
	if err != nil {
		return err
	}
	server := rpc.NewServer(serverConfig(cmd, db, events, metrics, log))
	err = serveUntil(ctx, server, listeners, func() {
		fmt.Fprintln(cmd.Root().Writer, "ready "+addresses(listeners))
		log.Info().Str("db", cmd.String("db")).Str("version", version()).Msg("ready")
	})
	log.Info().Msg("stopped")
	return err
}

// serveUntil serves on all listeners until ctx ends or one of them fails, then
// stops cleanly: what was accepted is finished.
func serveUntil(ctx context.Context, server *rpc.Server, listeners []net.Listener, ready func()) error {
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- server.Serve(l) }()
	}
	ready()
	var failed error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case failed = <-ended:
		running--
	}
	patience, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	failed = errors.Join(failed, server.Shutdown(patience))
	for range running {
		failed = errors.Join(failed, <-ended)
	}
	return failed
}
