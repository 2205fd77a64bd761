package cluster

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The files that docs/cluster.md tells people to use work together: certificates, servers
// that know daemons by them, and permissions, which are enough to found, write, make
// snapshots, shorten the log and join.
func TestFilesOfThePage(t *testing.T) {
	t.Parallel()
	certificates := filepath.Join(makeDocumented(t), "localhost") + "/"
	server := regexp.MustCompile(`(?ms)^(jetstream|cluster) \{.*?^\}\n|^(listen|http): [^\n]*\n`).ReplaceAllString(documented(t, "nats-server.conf"), "")
	server = strings.NewReplacer("/etc/nats/", certificates, "@a.example.com", "@localhost").Replace(server)
	settings := strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(documented(t, "descartes.env"), ""))
	for i, line := range settings {
		settings[i] = strings.ReplaceAll(line, "/etc/descartes/", certificates)
	}
	f := newFleet(t, fleetOptions{servers: 1, daemons: 2, nats: natsOptions{extra: server}, flags: []string{"--cluster-snapshot-every", "1"}})
	for _, m := range f.members {
		m.env = func() []string { return append(settings, clockVariable+"=0s") }
		_, port, _ := strings.Cut(m.links[0].address(), ":")
		m.flags = append(m.flags, "--cluster", "nats://localhost:"+port)
	}
	founder, other := f.members[0], f.members[1]
	links, flags := founder.links, founder.flags
	founder.links, founder.flags, founder.env = nil, nil, func() []string { return []string{clockVariable + "=0s"} }
	founder.begin()
	create(t, founder.Dial(), "from before")
	founder.stop()
	founder.links, founder.flags, founder.env = links, flags, other.env
	founder.begin()
	other.begin()
	other.await("took the snapshot")
	c := other.Dial()
	for range 3 {
		create(t, c, "in the cluster")
	}
	eventually(t, "a snapshot of the cluster", func() error { // beside the first one; then the log is shortened
		stats, err := c.Stats(t.Context())
		if err == nil && (stats.Cluster.Snapshot == nil || stats.Cluster.Snapshot.Position == 0) {
			err = errors.New("there is none")
		}
		return err
	})
	f.requireEqual()
	for _, line := range f.nats.all[0].log.all() {
		if strings.Contains(line, "Violation") {
			t.Error(line)
		}
	}
}

// documented reads a file of docs/running/cluster.
func documented(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs/running/cluster", name))
	must(t, err)
	return string(text)
}

// makeDocumented makes certificates as docs/cluster.md says, for this machine.
func makeDocumented(t *testing.T) (folder string) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	script, err := filepath.Abs("../../docs/running/cluster/certificates.sh")
	must(t, err)
	command := exec.Command("sh", script, "localhost")
	command.Dir = t.TempDir()
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return command.Dir
}
