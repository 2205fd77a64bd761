package storage_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// TestJournal runs the suite of emitter.Journal on real files. Other processes
// are played by connections of their own.
func TestJournal(t *testing.T) { journaltest.Run(t, harness()) }

func harness() journaltest.Harness {
	files := &files{paths: make(map[emitter.Journal]string)}
	return journaltest.Harness{
		Open: func(t journaltest.TB) emitter.Journal {
			directory, err := os.MkdirTemp("", "journaltest")
			if err != nil {
				t.Fatalf("%v", err)
			}
			t.Cleanup(func() { os.RemoveAll(directory) })
			return files.open(t, filepath.Join(directory, "descartes.db"))
		},
		Reopen: func(t journaltest.TB, j emitter.Journal) emitter.Journal {
			if err := j.(*storage.DB).Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			return files.open(t, files.path(j))
		},
		Prune: func(t journaltest.TB, j emitter.Journal, through int64) {
			execute(t, files.path(j), fmt.Sprint("DELETE FROM journal WHERE seq <= ", through))
		},
		Outside: func(t journaltest.TB, j emitter.Journal, operations ...schema.Operation) {
			var statements []string
			for _, op := range operations {
				statements = append(statements, plainSQL(op))
			}
			execute(t, files.path(j), statements...)
		},
	}
}

// files remembers where the journals of a test are.
type files struct {
	mu    sync.Mutex
	paths map[emitter.Journal]string
}

func (f *files) open(t journaltest.TB, path string) emitter.Journal {
	db, err := storage.Open(t.Context(), storage.Config{Path: path, RetainFor: 100 * 365 * 24 * time.Hour}) // the suite plays in 1970
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		report, err := storage.Check(context.Background(), path, nil)
		if err != nil || len(report.Findings) > 0 {
			t.Errorf("check: %+v, %v", report, err)
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths[db] = path
	return db
}

func (f *files) path(j emitter.Journal) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.paths[j]
}

// execute commits statements over a connection of its own.
func execute(t journaltest.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer db.Close()
	if _, err := db.Exec("BEGIN IMMEDIATE; " + strings.Join(statements, "; ") + "; COMMIT"); err != nil {
		t.Fatalf("%q: %v", statements, err)
	}
}

// plainSQL writes an operation as somebody does in the sqlite3 shell.
func plainSQL(op schema.Operation) string {
	switch op.Op {
	case schema.OpCreate:
		dependencies, _ := json.Marshal(op.Create.Dependencies)
		return fmt.Sprintf(`INSERT INTO tasks (id, title, dependencies) VALUES ('%s', '%s', '%s')`,
			op.Create.ID, op.Create.Title, dependencies)
	case schema.OpUpdate:
		return fmt.Sprintf(`UPDATE tasks SET status = '%s' WHERE id = '%s'`, op.Update.Status.Value, op.Update.ID)
	default:
		return fmt.Sprintf(`DELETE FROM tasks WHERE id = '%s'`, op.Delete.ID)
	}
}
