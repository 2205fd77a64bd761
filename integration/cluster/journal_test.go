package cluster

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/storage"
	"github.com/descartes-tasks/descartes/storage/cluster"
)

// The journal of a cluster passes the suite of every emitter.Journal, on a real server.
// Each journal that the suite asks for is a cluster of its own.
func TestJournal(t *testing.T) {
	t.Parallel()
	server := startNATS(t, 1, natsOptions{}).all[0]
	k := &clusters{url: "nats://" + server.address, configs: make(map[emitter.Journal]cluster.Config)}
	journaltest.Run(t, journaltest.Harness{
		Open: func(t journaltest.TB) emitter.Journal {
			directory, err := os.MkdirTemp("", "journaltest")
			if err != nil {
				t.Fatalf("%v", err)
			}
			t.Cleanup(func() { os.RemoveAll(directory) })
			return k.open(t, cluster.Config{
				URLs: []string{k.url}, Name: fmt.Sprint("c", k.count.Add(1)), Daemon: "d", Replicas: 1,
				// The suite plays in the past.
				Storage: storage.Config{Path: filepath.Join(directory, "descartes.db"), RetainFor: 100 * 365 * 24 * time.Hour},
			})
		},
		Reopen: func(t journaltest.TB, j emitter.Journal) emitter.Journal {
			if err := j.(*cluster.Journal).Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			return k.open(t, k.config(j))
		},
		Prune: func(t journaltest.TB, j emitter.Journal, through int64) {
			db, err := sql.Open("sqlite", k.config(j).Storage.Path+"?_pragma=busy_timeout(5000)")
			if err != nil {
				t.Fatalf("%v", err)
			}
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), "DELETE FROM journal WHERE seq <= ?", through); err != nil {
				t.Fatalf("%v", err)
			}
		},
	})
}

// clusters remembers where the journals of a test are.
type clusters struct {
	url     string
	count   atomic.Int64
	mu      sync.Mutex
	configs map[emitter.Journal]cluster.Config
}

func (k *clusters) open(t journaltest.TB, config cluster.Config) emitter.Journal {
	j, err := cluster.Open(t.Context(), config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := j.Err(); err != nil {
			t.Errorf("it has stopped: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		report, err := storage.Check(context.Background(), config.Storage.Path, nil)
		if err != nil || len(report.Findings) > 0 {
			t.Errorf("check: %+v, %v", report, err)
		}
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.configs[j] = config
	return j
}

func (k *clusters) config(j emitter.Journal) cluster.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.configs[j]
}
