package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"
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
	doors, err := findDoors(cmd, log)
	if err != nil {
		return err
	}
	manager, metrics := newService(log), rpc.NewMetrics()
	manager.tell("STATUS=Opening the database") // which takes long when it has to be migrated
	db, err := openKeeper(ctx, cmd, storage.Config{
		Path: cmd.String("db"), RetainEvents: cmd.Int64("retain-events"), RetainFor: cmd.Duration("retain-for"), Watch: true, Now: now,
		Failed: func(what string, err error) {
			metrics.Failed(what, err)
			logFailure(log, what, err)
			manager.failed(what, err)
		},
	}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	public := doors.public()
	if err := checkAccess(ctx, public, db.DB, doors.secure, log); err != nil {
		return err
	}
	if err := warnOfProxy(ctx, cmd.StringSlice("allow-host"), db.DB, log); err != nil {
		return err
	}
	events, err := db.emit(ctx, emitter.Config{Now: now, Committed: metrics.Committed, Delivered: metrics.Delivered})
	if err != nil {
		return err
	}
	defer events.Close()
	listeners, err := doors.open(log)
	if err != nil {
		return err
	}
	warnOfDatabase(cmd.String("db"), log)
	config := serverConfig(cmd, db, events, metrics, log)
	config.AlwaysTokens = public != ""
	checkOpenFiles(config.Limits, log)
	server := rpc.NewServer(config)
	ctx, why := db.while(ctx)
	err = serveUntil(ctx, server, listeners, func() {
		fmt.Fprintln(cmd.Root().Writer, "ready "+addresses(listeners))
		log.Info().Str("db", cmd.String("db")).Str("version", version()).Msg("ready")
		manager.start(server.Probe, func() string {
			return addresses(listeners) + "; " + count(server.Connections(), "connection") + ", " +
				count(events.Stats().Subscriptions, "subscription")
		})
	}, manager.stopping)
	manager.end()
	log.Info().Msg("stopped")
	return errors.Join(err, why())
}

// warnOfDatabase warns of a file that the daemon did not make, and whose mode those
// beside it have, too.
func warnOfDatabase(path string, log zerolog.Logger) {
	if isOpenTo(path, 0o066) {
		log.Warn().Str("file", path).Msg("others on this machine can read or write the database: chmod go-rw it and the files beside it")
	}
}

// serveUntil serves on all listeners until ctx ends or one of them fails, then
// stops cleanly: what was accepted is finished.
func serveUntil(ctx context.Context, server *rpc.Server, listeners []net.Listener, ready, stopping func()) error {
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
	stopping()
	patience, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	failed = errors.Join(failed, server.Shutdown(patience))
	for range running {
		failed = errors.Join(failed, <-ended)
	}
	return failed
}
