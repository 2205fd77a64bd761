package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/descartes-tasks/descartes/storage"
)

// Config configures a Journal.
type Config struct {
	URLs     []string // of the NATS servers; at least one is required
	Name     string   // of the cluster, its stream and its subjects; default "descartes"
	Daemon   string   // this one's name, unique in the cluster; default the host's name
	Version  string   // of this binary, told to the others
	Replicas int      // servers that hold a copy of the stream, when this daemon makes it: 1, 3 or 5; default 3

	Credentials string // file of a user's JWT and seed, as NATS' tools make it
	CA          string // file of PEM certificates that the servers' are checked against; default the system's
	Cert, Key   string // files of the certificate that this daemon shows, if the servers want one

	// SnapshotEvery is how many messages the log may be ahead of its newest snapshot;
	// default 10,000.
	SnapshotEvery int64
	// Rebuild begins with the newest snapshot although there is a file, which is kept
	// beside it.
	Rebuild bool

	Storage storage.Config   // of the file; Cluster and Incarnation are set by Open
	Now     func() time.Time // this machine's clock; default time.Now

	// Report, if set, is told what happened for the log: in words, with the error if it
	// is one. It must be quick and safe for concurrent use.
	Report func(what string, err error)
}

// names are what subjects, streams and buckets of NATS may be called.
var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// daemons are what a daemon may be called.
var daemons = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "descartes"
	}
	if c.Daemon == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("name this daemon: %w", err)
		}
		c.Daemon = host
	}
	if c.Replicas == 0 {
		c.Replicas = 3
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = 10_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Report == nil {
		c.Report = func(string, error) {}
	}
	return c, c.check()
}

// Validate tells what in c no cluster can work with, without looking at files or servers.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

func (c *Config) check() error {
	switch {
	case len(c.URLs) == 0:
		return fmt.Errorf("a cluster needs the URL of a NATS server")
	case !names.MatchString(c.Name):
		return fmt.Errorf("the name of a cluster must be 1 to 64 of A-Z a-z 0-9 _ -, not %q", c.Name)
	case !daemons.MatchString(c.Daemon):
		return fmt.Errorf("the name of a daemon must be 1 to 64 of A-Z a-z 0-9 . _ -, not %q", c.Daemon)
	case c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5:
		return fmt.Errorf("1, 3 or 5 servers hold a copy of the stream, not %d: of an even number no more may fail than of one less", c.Replicas)
	case (c.Cert == "") != (c.Key == ""):
		return fmt.Errorf("a certificate and its key must be given together")
	}
	for _, server := range c.URLs {
		if err := checkURL(server); err != nil {
			return err
		}
	}
	return nil
}

// checkURL refuses what is no URL of a NATS server. Its password is not told.
func checkURL(server string) error {
	server = strings.TrimSpace(server)
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("one of the URLs is none: a NATS server is nats://HOST:4222, or tls://HOST:4222")
	}
	if !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
		return fmt.Errorf("a NATS server is nats://HOST:4222, or tls://HOST:4222, not %s://%s", u.Scheme, u.Host)
	}
	return nil
}

// newIncarnation gives a number for this run of a daemon, 1 to 2^31-1.
func newIncarnation() uint32 {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return binary.LittleEndian.Uint32(random[:])>>1 | 1
}

// The subjects and names of a cluster in NATS.

func (c *Config) subject() string      { return "descartes." + c.Name + ".log" }
func (c *Config) peerSubject() string  { return "descartes." + c.Name + ".peer" }
func (c *Config) chainSubject() string { return "descartes." + c.Name + ".chain" }
func (c *Config) bucket() string       { return c.Name + "-snapshots" }
func (c *Config) storeStream() string  { return "OBJ_" + c.bucket() }
