package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// told is a cluster of which these figures are known.
type told struct{ schema.ClusterStats }

func (told) Fresh(context.Context) error                          { return nil }
func (c told) Info() schema.ClusterInfo                           { return c.ClusterInfo }
func (c told) Stats(context.Context) (schema.ClusterStats, error) { return c.ClusterStats, nil }
func (told) Behind() error                                        { return nil }

// clusterDaemon is a server whose cluster has these figures.
func clusterDaemon(t *testing.T, figures string) (url string) {
	t.Helper()
	var cluster told
	if err := json.Unmarshal([]byte(figures), &cluster.ClusterStats); err != nil {
		t.Fatal(err)
	}
	return serveCluster(t, cluster)
}

// serveCluster is a server of that cluster.
func serveCluster(t *testing.T, cluster rpc.Cluster) (url string) {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Config{Path: filepath.Join(t.TempDir(), "tasks.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	events, err := emitter.New(t.Context(), db, emitter.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(events.Close)
	server := rpc.NewServer(rpc.Config{Emitter: events, Store: db, Tokens: db, Cluster: cluster})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return "ws://" + listener.Addr().String() + "/rpc"
}

// well is a cluster in which one daemon catches up, and one is away, as is one server.
const well = `{"name":"descartes","daemon":"a","connected":true,"current":true,"position":1203,"newest":1203,"lag":0,"unknown":2,` +
	`"stream":{"leader":"n2","servers":[{"name":"n1","current":true,"offline":false,"lag":0},{"name":"n2","current":true,"offline":false,"lag":0},` +
	`{"name":"n3","current":false,"offline":true,"lag":40}],"messages":1203,"bytes":4234567,"first":1,"last":1203},` +
	`"snapshot":{"position":1000,"at":1767225480000,"bytes":999},` +
	`"daemons":[{"name":"a","version":"v1","position":1203,"heard_at":1767225600000,"current":true},` +
	`{"name":"b","version":"v1","position":1100,"heard_at":1767225598000,"current":false},` +
	`{"name":"c","version":"v0.9","position":900,"heard_at":1767225540000,"current":true}]}`

func TestClusterStatus(t *testing.T) {
	url := clusterDaemon(t, well)
	if out := run1(t, "cluster", "status", "--json", "--url", url); out != well+"\n" {
		t.Errorf("%s", out)
	}
	pipe := run1(t, "cluster", "status", "--url", url)
	if want := strings.Join([]string{
		"cluster descartes a 1203 1203 2",
		"stream n2 1203 4234567 1 1203",
		"snapshot 1000 " + timeOf(1767225480000) + " 999",
		"daemon a v1 1203 0 " + timeOf(1767225600000) + " current",
		"daemon b v1 1100 103 " + timeOf(1767225598000) + " behind",
		"daemon c v0.9 900 303 " + timeOf(1767225540000) + " silent",
		"server n1 follower 0 current",
		"server n2 leader 0 current",
		"server n3 follower 40 offline\n",
	}, "\n"); strings.ReplaceAll(pipe, "\t", " ") != want {
		t.Errorf("in a pipe\n%s, want\n%s", pipe, want)
	}
	const people = `cluster   descartes
stream    1203 messages, 4.2 MB, 1 to 1203
snapshot  at message 1000, 2 min ago, 999 B
unknown   2 writes answered -32012 since a was started

DAEMON  VERSION  MESSAGE  BEHIND  HEARD      STATE
a       v1       1203     0       just now   current, asked
b       v1       1100     103     2 s ago    behind
c       v0.9     900      303     1 min ago  silent

SERVER  ROLE      BEHIND  STATE
n1      follower  0       current
n2      leader    0       current
n3      follower  40      offline
`
	colours := run1(t, "cluster", "status", "--url", url, "--color", "always")
	if plain := sgr.ReplaceAllString(colours, ""); plain != people || plain == colours {
		t.Errorf("for people\n%s, want\n%s", colours, people)
	}
}

// While no server leads the log that is said; one server alone has no leader to tell of.
func TestClusterStatusWithoutLeader(t *testing.T) {
	const words = "no server leads it now: nothing can be written"
	led := clusterDaemon(t, strings.Replace(well, `"leader":"n2"`, `"leader":""`, 1))
	alone := clusterDaemon(t, `{"name":"descartes","daemon":"a","connected":true,"current":true,"stream":{"leader":"","servers":[],"messages":0}}`)
	for url, want := range map[string]bool{led: true, alone: false} {
		if out := run1(t, "cluster", "status", "--url", url, "--color", "always"); strings.Contains(out, words) != want || !strings.Contains(out, "stream    ") {
			t.Errorf("%s", out)
		}
	}
}

// What cannot be told is said, and what is wrong with whoever is asked.
func TestClusterStatusOfTheLonely(t *testing.T) {
	url := clusterDaemon(t, `{"name":"descartes","daemon":"a","connected":false,"current":false,"position":7,"newest":9,"lag":2,"unknown":0,`+
		`"stream":null,"snapshot":null,"daemons":[{"name":"a","version":"v1","position":7,"heard_at":1767225600000,"current":false}]}`)
	const want = `cluster   descartes
stream    cannot be asked: no majority of its servers is there, or this daemon reaches none
snapshot  none yet

DAEMON  VERSION  MESSAGE  BEHIND  HEARD     STATE
a       v1       7        2       just now  disconnected, asked
`
	if out := sgr.ReplaceAllString(run1(t, "cluster", "status", "--url", url, "--color", "always"), ""); out != want {
		t.Errorf("%s, want\n%s", out, want)
	}
	single := tempDaemon(t).urls[0]
	for _, flag := range []string{"--json", "--color=auto"} {
		r := descartes(t, "cluster", "status", "--url", single, flag)
		if r.code != 1 || r.out != "" || !strings.Contains(r.errors, ` is a single one: "descartes serve --cluster nats://HOST:4222"`) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%s: %+v", flag, r)
		}
	}
}

// A file that left its cluster is a single daemon's with all that is in it, and cursors
// from before are told so.
func TestClusterLeave(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	leave := func() result { return descartes(t, "cluster", "leave", "--db", db) }
	if r := leave(); r.code != 1 || !strings.Contains(r.errors, "there is no database "+db) {
		t.Errorf("no file: %+v", r)
	}
	serve := func() *daemon {
		d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
		t.Setenv("DESCARTES_URL", d.urls[0])
		return d
	}
	d := serve()
	made(t, "One", "--id", "a")
	var info struct{ Cursor string }
	if err := json.Unmarshal([]byte(run1(t, "info", "--json")), &info); err != nil || info.Cursor == "" {
		t.Fatalf("%v: %+v", err, info)
	}
	if r := leave(); r.code != 1 || strings.Count(r.errors, "\n") != 1 || !strings.Contains(r.errors, "open") {
		t.Errorf("while it is served: %+v", r)
	}
	d.stop(0)
	if r := leave(); r.code != 1 || !strings.Contains(r.errors, "it belongs to no cluster") || r.out != "" {
		t.Errorf("of no cluster: %+v", r)
	}
	place, err := storage.PlaceOf(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.Enter(t.Context(), db, storage.Place{Cluster: "there", Epoch: place.Epoch, Position: 7, At: place.At}); err != nil {
		t.Fatal(err)
	}
	if r := inProcess(t, "serve", "--db", db, "--listen", "127.0.0.1:0"); r.code != 1 || !strings.Contains(r.errors, "descartes cluster leave") {
		t.Errorf("served without its cluster: %+v", r)
	}
	if r := leave(); r != (result{0, db + ": left the cluster there after message 7; it has a new epoch, and is for a daemon without --cluster now\n", ""}) {
		t.Errorf("%+v", r)
	}
	serve()
	if out := run1(t, "list"); !strings.HasPrefix(out, "a\t") {
		t.Errorf("there is %q", out)
	}
	if r := descartes(t, "history", "--since", info.Cursor); r.code != 1 || !strings.Contains(r.errors, "the database is another one or was restored") {
		t.Errorf("with a cursor of the cluster: %+v", r)
	}
}
