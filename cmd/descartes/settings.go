package main

import (
	"net"
	"time"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc"
)

// serveFlags are the settings of the daemon: each is a flag, a variable of the
// environment and a line of the config file.
func serveFlags() []cli.Flag {
	limits := rpc.DefaultLimits()
	text := func(name, value, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Value: value, Usage: usage, Sources: environment(name)}
	}
	number := func(name string, value int64, usage string) cli.Flag {
		return &cli.Int64Flag{Name: name, Value: value, Usage: usage, Sources: environment(name)}
	}
	duration := func(name string, value time.Duration, usage string) cli.Flag {
		return &cli.DurationFlag{Name: name, Value: value, Usage: usage, Sources: environment(name)}
	}
	list := func(name, usage string) cli.Flag {
		return &cli.StringSliceFlag{Name: name, Usage: usage, Sources: environment(name)}
	}
	return []cli.Flag{
		text("config", "", "read flags from `FILE`"),
		text("listen", "127.0.0.1:7420", "listen on `ADDRESS`; one that other machines can reach needs a token"),
		text("db", "descartes.db", "keep tasks in `FILE`"),
		text("socket", "", "listen on the Unix socket `PATH`, too"),
		text("tls-cert", "", "speak TLS with the certificate (and its chain) in `FILE`, read again when it changes"),
		text("tls-key", "", "the key of --tls-cert, in `FILE`"),
		duration("debounce", 100*time.Millisecond, "default window in which the changes of one task are folded; 0s: none"),
		number("retain-events", 1_000_000, "keep at most this many events in the journal"),
		duration("retain-for", 168*time.Hour, "keep events for at most this long"),
		list("allow-host", "answer to this name, or address, in Host, too (repeatable)"),
		list("allow-origin", "let pages of this origin connect, too (repeatable)"),
		number("max-message", limits.MaxMessage, "bytes of one message in"),
		number("max-answer", limits.MaxAnswer, "bytes of one answer out"),
		number("max-connections", int64(limits.MaxConnections), "connections at a time"),
		number("max-subscriptions", int64(limits.MaxSubscriptions), "subscriptions of one connection"),
		number("max-in-flight", int64(limits.MaxInFlight), "unanswered requests of one connection"),
		number("max-batch", int64(limits.MaxBatch), "requests in one batch"),
		number("max-waiting", int64(limits.MaxWaiting), "claims of one connection that wait for a task"),
		text("cluster", "", "be one of several daemons that share a journal, on the NATS servers at `URL,URL`, as nats://HOST:4222 or tls://HOST:4222"),
		text("cluster-name", "descartes", "the cluster: its stream in NATS has the same name"),
		text("cluster-daemon", "", "what this daemon is called in the cluster; default: the name of the host"),
		number("cluster-replicas", 3, "NATS servers that hold a copy of the stream, if this daemon makes it: 1, 3 or 5"),
		text("cluster-creds", "", "come in to NATS with the credentials in `FILE`"),
		text("cluster-ca", "", "trust the certificates in `FILE` when NATS speaks TLS; default: those of the system"),
		text("cluster-cert", "", "show NATS the certificate in `FILE`"),
		text("cluster-key", "", "the key of --cluster-cert, in `FILE`"),
		number("cluster-snapshot-every", 10_000, "make a snapshot after this many messages of the log"),
		&cli.BoolFlag{Name: "cluster-rebuild", Usage: "begin with the newest snapshot; the file that is there is kept beside it", Sources: environment("cluster-rebuild")},
		text("log-level", "info", "debug, info, warn or error"),
		text("log-format", "auto", "console, json, or auto: console on a terminal"),
	}
}

func serverConfig(cmd *cli.Command, db keeper, events *emitter.Emitter, metrics *rpc.Metrics, log zerolog.Logger) rpc.Config {
	config := rpc.Config{
		Emitter: events, Metrics: metrics, Log: log, Version: version(),
		Debounce:       cmd.Duration("debounce"),
		AllowedHosts:   cmd.StringSlice("allow-host"),
		AllowedOrigins: cmd.StringSlice("allow-origin"),
		Limits: rpc.Limits{
			MaxMessage: cmd.Int64("max-message"), MaxAnswer: cmd.Int64("max-answer"),
			MaxConnections: int(cmd.Int64("max-connections")), MaxSubscriptions: int(cmd.Int64("max-subscriptions")),
			MaxInFlight: int(cmd.Int64("max-in-flight")), MaxBatch: int(cmd.Int64("max-batch")),
			MaxWaiting: int(cmd.Int64("max-waiting")),
		},
	}
	db.serves(&config)
	return config
}

// checkFlags refuses values that no part of the daemon could work with.
func checkFlags(cmd *cli.Command) error {
	for _, name := range []string{
		"retain-events", "max-message", "max-answer", "max-connections", "max-subscriptions", "max-in-flight", "max-batch",
		"max-waiting", "cluster-replicas", "cluster-snapshot-every",
	} {
		if cmd.Int64(name) < 1 {
			return usageError("--%s must be at least 1", name)
		}
	}
	if _, _, err := net.SplitHostPort(cmd.String("listen")); err != nil {
		return usageError("--listen must be HOST:PORT, not %q", cmd.String("listen"))
	}
	if cmd.Duration("retain-for") <= 0 {
		return usageError("--retain-for must be longer than 0s")
	}
	if d := cmd.Duration("debounce"); d < 0 || d > time.Minute {
		return usageError("--debounce must be 0s to 60s")
	}
	return checkCluster(cmd)
}
