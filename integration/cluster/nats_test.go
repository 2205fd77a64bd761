package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// natsServer is one of the servers that hold the log of record.
type natsServer struct {
	*process
	address string // of clients
	routes  string // of other servers
	reached []*link
	routed  []*link
}

// natsServers are a cluster of them. Each reaches another through a link of its own.
type natsServers struct {
	all    []*natsServer
	routes map[[2]int]*link // by who connects, and to whom
}

// natsOptions say how NATS servers are set up. The zero value is what they do by
// themselves.
type natsOptions struct {
	alwaysSync bool   // every message is on the disk before it is acknowledged
	extra      string // more of the configuration
}

// startNATS starts servers, and returns when they have found each other.
func startNATS(t *testing.T, n int, options natsOptions) *natsServers {
	t.Helper()
	s := &natsServers{routes: make(map[[2]int]*link)}
	nowhere := newLink(t, "nowhere") // what servers tell each other of where they are
	for i := range n {
		for j := range n {
			if i != j {
				s.routes[[2]int{i, j}] = newLink(t, fmt.Sprintf("n%d-n%d", i, j))
			}
		}
	}
	for i := range n {
		server := &natsServer{}
		config := s.config(t, i, n, nowhere, options)
		server.process = newProcess(t, fmt.Sprint("n", i), natsBinary, func() []string { return []string{"--config", config} })
		for at, l := range s.routes {
			if at[1] == i {
				server.routed = append(server.routed, l)
			}
		}
		s.all = append(s.all, server)
		server.begin()
	}
	for _, server := range s.all {
		server.awaitReady()
	}
	return s
}

func (s *natsServers) config(t *testing.T, i, n int, nowhere *link, options natsOptions) string {
	t.Helper()
	directory := t.TempDir()
	var text strings.Builder
	fmt.Fprintf(&text, "server_name: n%d\nlisten: \"127.0.0.1:-1\"\nlogtime_utc: true\n", i)
	sync := "2m"
	if options.alwaysSync {
		sync = "always"
	}
	fmt.Fprintf(&text, "jetstream { store_dir: %q, sync_interval: %q, max_memory_store: 64MB, max_file_store: 2GB }\n",
		filepath.Join(directory, "store"), sync)
	if n > 1 {
		fmt.Fprintf(&text, "cluster { name: test, listen: \"127.0.0.1:-1\", no_advertise: true, advertise: %q, routes: [\n", nowhere.address())
		for j := range n {
			if l := s.routes[[2]int{i, j}]; l != nil {
				fmt.Fprintf(&text, "  %q\n", "nats-route://"+l.address())
			}
		}
		text.WriteString("] }\n")
	}
	text.WriteString(options.extra)
	path := filepath.Join(directory, "nats.conf")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var listening = regexp.MustCompile(`Listening for (client|route) connections on (127\.0\.0\.1:\d+)`)

// begin starts the server, and has the links lead to it.
func (s *natsServer) begin() {
	s.t.Helper()
	s.start()
	s.address = listening.FindStringSubmatch(s.await("Listening for client connections"))[2]
	for _, l := range s.reached {
		l.lead(s.address)
	}
	if len(s.routed) > 0 {
		s.routes = listening.FindStringSubmatch(s.await("Listening for route connections"))[2]
		for _, l := range s.routed {
			l.lead(s.routes)
		}
	}
}

// awaitReady waits until the server takes part.
func (s *natsServer) awaitReady() {
	s.t.Helper()
	s.await("Server is ready")
}

// reach gives a new way to the server.
func (s *natsServer) reach(from string) *link {
	l := newLink(s.t, from+"-"+s.name)
	l.lead(s.address)
	s.reached = append(s.reached, l)
	return l
}
