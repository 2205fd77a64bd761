package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// waited is a cluster that counts the fresh reads, and lets them fail as it is told.
type waited struct {
	told
	reads atomic.Int64
	fails atomic.Bool
}

func (w *waited) Fresh(context.Context) error {
	w.reads.Add(1)
	if w.fails.Load() {
		return errors.New("no log")
	}
	return nil
}

// With --fresh everything that get and list read is fresh, also where the end of an id
// says which task is meant; without it nothing is.
func TestFresh(t *testing.T) {
	cluster := &waited{}
	t.Setenv("DESCARTES_URL", serveCluster(t, cluster))
	id := made(t, "One")
	for _, test := range []struct {
		args  string
		reads int64
	}{
		{"get " + id, 0},
		{"get --fresh " + id, 1},
		{"get --fresh " + id[len(id)-shortID:], 3}, // is it an id, which one ends so, and what it has
		{"get --fresh=false " + id, 0},
		{"list", 0},
		{"list --fresh One", 1},
	} {
		cluster.reads.Store(0)
		if out := run1(t, strings.Fields(test.args)...); cluster.reads.Load() != test.reads || !strings.Contains(out, id) {
			t.Errorf("%s: %d fresh reads, want %d: %s", test.args, cluster.reads.Load(), test.reads, out)
		}
	}
	cluster.fails.Store(true)
	for _, args := range []string{"get --fresh " + id, "list --fresh"} {
		r := descartes(t, strings.Fields(args)...)
		if r.code != 1 || r.out != "" || strings.Count(r.errors, "\n") != 1 || !strings.Contains(r.errors, schema.NotFresh().Message) {
			t.Errorf("%s: %+v", args, r)
		}
	}
	t.Setenv("DESCARTES_URL", tempDaemon(t).urls[0]) // a single daemon has everything
	id = made(t, "Two")
	if out := run1(t, "get", "--fresh", "--json", id); !strings.Contains(out, "Two") {
		t.Error(out)
	}
	if out := run1(t, "list", "--fresh"); !strings.Contains(out, "Two") {
		t.Error(out)
	}
}
