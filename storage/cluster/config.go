package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/descartes-tasks/descartes/storage"
)

// Config configures a Journal.
type Config struct {
	URLs     []string // of the NATS servers; at least one is required
	Name     string   // of the cluster, its stream and its subjects; default "descartes"
	Daemon   string   // this one's name, unique in the cluster; default the host's name
	Version  string   // of this binary, told to the others
	Replicas int      // servers that hold a copy of the stream, when this daemon makes it; default 3

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
	switch {
	case len(c.URLs) == 0:
		return c, fmt.Errorf("a cluster needs the URL of a NATS server")
	case !names.MatchString(c.Name):
		return c, fmt.Errorf("the name of a cluster must be 1 to 64 of A-Z a-z 0-9 _ -, not %q", c.Name)
	case !daemons.MatchString(c.Daemon):
		return c, fmt.Errorf("the name of a daemon must be 1 to 64 of A-Z a-z 0-9 . _ -, not %q", c.Daemon)
	}
	return c, nil
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
