package client_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is a real one that can be stopped and started again at its address.
type daemon struct {
	t       *testing.T
	path    string
	address string
	stop    func()
}

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, path: filepath.Join(t.TempDir(), "tasks.db"), address: "127.0.0.1:0"}
	d.start()
	t.Cleanup(func() { d.stop() })
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	address, stop, err := run(d.path, d.address)
	must(d.t, err)
	d.address = address
	d.stop = func() {
		d.stop = func() {}
		if err := stop(); err != nil {
			d.t.Error(err)
		}
	}
}

// run runs a daemon on a file and gives the address at which it listens.
func run(path, listen string) (address string, stop func() error, err error) {
	ctx := context.Background()
	db, err := storage.Open(ctx, storage.Config{Path: path})
	if err != nil {
		return "", nil, err
	}
	events, err := emitter.New(ctx, db, emitter.Config{})
	if err != nil {
		return "", nil, err
	}
	server := rpc.NewServer(rpc.Config{Emitter: events, Store: db, Version: "test"})
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return "", nil, err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return listener.Addr().String(), func() error {
		err := errors.Join(server.Shutdown(ctx), <-served)
		events.Close()
		return errors.Join(err, db.Close())
	}, nil
}

// runDaemon runs the daemon of an example, at url, until what it gives is called.
func runDaemon() (stop func()) {
	folder, err := os.MkdirTemp("", "descartes")
	if err != nil {
		panic(err)
	}
	address, end, err := run(filepath.Join(folder, "tasks.db"), "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	url = "ws://" + address + "/rpc"
	return func() {
		if err := errors.Join(end(), os.RemoveAll(folder)); err != nil {
			panic(err)
		}
	}
}

func (d *daemon) url() string { return "ws://" + d.address + "/rpc" }

func dial(t *testing.T, url string, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), url, o)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// quickly is a Backoff for tests.
func quickly(int) time.Duration { return time.Millisecond }

func create(t *testing.T, c *client.Client, title string) *schema.Task {
	t.Helper()
	task, err := c.Create(t.Context(), schema.Draft{Title: title})
	must(t, err)
	return task
}

// next gives the next event that is no bookmark.
func next(t *testing.T, s *client.Subscription) schema.Event {
	t.Helper()
	for {
		event := nextAny(t, s)
		if event.ChangeType != schema.Bookmark {
			return event
		}
	}
}

func nextAny(t *testing.T, s *client.Subscription) schema.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	event, err := s.Next(ctx)
	must(t, err)
	return event
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
