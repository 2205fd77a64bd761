package storage

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

const groupSize = 64

// typical makes a task of about 600 bytes.
func typical(n int) schema.Operation {
	op := create(fmt.Sprintf("0190c1de-7f5e-7abc-8def-%012x", n))
	op.Create.Description = new(strings.Repeat("word ", 40))
	op.Create.Metadata = []byte(`{"labels":["one","two"],"estimate":3.5,"customer":{"name":"somebody","id":12345}}`)
	return op
}

// BenchmarkApply measures groups of creations; an op is one creation.
// BenchmarkBare is what they would cost if they were two INSERT statements each.
func BenchmarkApply(b *testing.B) { benchmarkApply(b, groupSize) }

// BenchmarkApplyOne measures creations that come alone.
func BenchmarkApplyOne(b *testing.B) { benchmarkApply(b, 1) }

func benchmarkApply(b *testing.B, size int) {
	d, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for n := 0; b.Loop(); {
		changes := make([]schema.Change, size)
		for i := range changes {
			changes[i] = change(typical(n))
			changes[i].Operations[0].FreshID = true
			n++
		}
		if _, _, err := d.Apply(context.Background(), changes); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/write")
}

// BenchmarkApplyUpdate measures groups of updates of tasks that are there.
func BenchmarkApplyUpdate(b *testing.B) {
	d, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for n := range 1000 {
		if _, _, err := d.Apply(context.Background(), []schema.Change{change(typical(n))}); err != nil {
			b.Fatal(err)
		}
	}
	for n := 0; b.Loop(); {
		changes := make([]schema.Change, groupSize)
		for i := range changes {
			changes[i] = change(setStatus(typical(n%1000).Create.ID, schema.Statuses()[(n/1000+1)%4]))
			n++
		}
		if _, _, err := d.Apply(context.Background(), changes); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*groupSize), "ns/write")
}

func BenchmarkBare(b *testing.B) {
	db, err := sql.Open("sqlite", dsn(filepath.Join(b.TempDir(), "bare.db"),
		"journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(2000)"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`
		CREATE TABLE tasks (num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT, description TEXT, status TEXT,
			priority TEXT, complexity TEXT, assigned_to TEXT, dependencies TEXT, metadata TEXT, created_at INTEGER,
			updated_at INTEGER, version INTEGER, ready INTEGER, leased_by TEXT, document TEXT);
		CREATE TABLE journal (seq INTEGER PRIMARY KEY, task_id TEXT, change_type TEXT, task TEXT, new_status TEXT,
			origin TEXT, timestamp INTEGER)`); err != nil {
		b.Fatal(err)
	}
	insertTask, err := db.Prepare(`INSERT INTO tasks (` + taskColumns + `, id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	insertEvent, err := db.Prepare(`INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); {
		if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
			b.Fatal(err)
		}
		for range groupSize {
			task := typical(n).Create.Task(at)
			n++
			task.Version = int64(n)
			document := task.AppendJSON(nil)
			var row []any
			for _, value := range append(appendTask(nil, &task, document), task.CreatedAt) {
				row = append(row, value)
			}
			if _, err := insertTask.Exec(row...); err != nil {
				b.Fatal(err)
			}
			if _, err := insertEvent.Exec(n, task.ID, "created", string(document), "todo", "rpc", at); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := db.Exec("COMMIT"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*groupSize), "ns/write")
}
