package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/storage/cluster"
)

// What no cluster can work with is refused before anything is tried, in a line that says
// what to write instead; no password is in it.
func TestClusterRefusals(t *testing.T) {
	for name, test := range map[string]struct{ args, says string }{
		"not NATS":               {"--cluster http://ann:secret@a:4222", "nats://HOST:4222, or tls://HOST:4222, not http://a:4222"},
		"no host":                {"--cluster nats://ann:secret@:4222", "one of the URLs is none"},
		"no URL between commas":  {"--cluster nats://a:4222,,", "one of the URLs is none"},
		"cannot be read":         {"--cluster nats://ann:secret@a:port", "one of the URLs is none"},
		"two copies":             {"--cluster nats://a:4222 --cluster-replicas 2", "1, 3 or 5 servers hold a copy of the stream, not 2"},
		"no copy":                {"--cluster nats://a:4222 --cluster-replicas 0", "--cluster-replicas must be at least 1"},
		"no snapshots":           {"--cluster nats://a:4222 --cluster-snapshot-every 0", "--cluster-snapshot-every must be at least 1"},
		"name":                   {"--cluster nats://a:4222 --cluster-name a.b", `1 to 64 of A-Z a-z 0-9 _ -, not "a.b"`},
		"name of the daemon":     {"--cluster nats://a:4222 --cluster-daemon a/b", `1 to 64 of A-Z a-z 0-9 . _ -, not "a/b"`},
		"certificate, no key":    {"--cluster nats://a:4222 --cluster-cert none", "a certificate and its key must be given together"},
		"key, no certificate":    {"--cluster nats://a:4222 --cluster-key none", "a certificate and its key must be given together"},
		"no such certificate":    {"--cluster nats://a:4222 --cluster-cert none --cluster-key none", "--cluster-cert: open none: "},
		"no such credentials":    {"--cluster nats://a:4222 --cluster-creds none", "--cluster-creds: open none: "},
		"no such authority":      {"--cluster nats://a:4222 --cluster-ca none", "--cluster-ca: open none: "},
		"a name without cluster": {"--cluster-name a", "--cluster-name is of no use without --cluster"},
		"rebuild without it":     {"--cluster-rebuild", "--cluster-rebuild is of no use without --cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"serve", "--db", filepath.Join(t.TempDir(), "tasks.db"), "--listen", "127.0.0.1:0"}, strings.Fields(test.args)...)
			r := descartes(t, args...)
			if r.code != exitUsage || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 || r.out != "" || strings.Contains(r.errors, "secret") {
				t.Errorf("%+v, want %q", r, test.says)
			}
		})
	}
}

// Every flag of the cluster does the same on the command line, in the environment and in
// the config file.
func TestClusterSettings(t *testing.T) {
	settings := map[string]string{
		"cluster": "nats://a:4222,b:4222", "cluster-name": "blue", "cluster-daemon": "a.example", "cluster-replicas": "5",
		"cluster-creds": "creds", "cluster-ca": "ca", "cluster-cert": "cert", "cluster-key": "key", "cluster-snapshot-every": "7", "cluster-rebuild": "true",
	}
	for _, flag := range serveFlags() {
		if name := flag.Names()[0]; strings.HasPrefix(name, "cluster") && settings[name] == "" {
			t.Errorf("--%s is not tried", name)
		}
	}
	check := func(t *testing.T, args ...string) {
		t.Helper()
		command := serveCommand()
		command.Action = func(_ context.Context, cmd *cli.Command) error {
			c := clusterConfig(cmd)
			if !slices.Equal(c.URLs, []string{"nats://a:4222", "b:4222"}) || !c.Rebuild || c.Replicas != 5 || c.SnapshotEvery != 7 {
				t.Errorf("%+v", c)
			}
			if got := [...]string{c.Name, c.Daemon, c.Credentials, c.CA, c.Cert, c.Key}; got != [...]string{"blue", "a.example", "creds", "ca", "cert", "key"} {
				t.Errorf("%q", got)
			}
			return c.Validate()
		}
		if err := command.Run(t.Context(), append([]string{"serve"}, args...)); err != nil {
			t.Error(err)
		}
	}
	var args, lines []string
	for name, value := range settings {
		args, lines = append(args, "--"+name+"="+value), append(lines, name+" = "+value+"\n")
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("command line", func(t *testing.T) { check(t, args...) })
	t.Run("config file", func(t *testing.T) { check(t, "--config", config) })
	t.Run("environment", func(t *testing.T) {
		for name, value := range settings {
			t.Setenv(variableOf(name), value)
		}
		check(t)
	})
	if err := (cluster.Config{URLs: []string{"a"}}).Validate(); err != nil {
		t.Errorf("with the defaults: %v", err)
	}
}
