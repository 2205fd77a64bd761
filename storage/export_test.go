package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// createdAt makes a task of a given age.
func createdAt(at int64, id string, dependencies ...string) schema.Operation {
	op := create(id, dependencies...)
	op.Create.CreatedAt = &at
	return op
}

// exported gives the ids of an export in their order.
func exported(t tb, d *DB, filter schema.Filter) string {
	t.Helper()
	var out bytes.Buffer
	n, err := Export(context.Background(), d.config.Path, &out, &filter, nil)
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	var ids []string
	for line := range strings.Lines(out.String()) {
		task, err := schema.ParseTask([]byte(line))
		if err != nil {
			t.Fatalf("%v", err)
		}
		ids = append(ids, task.ID)
	}
	if int64(len(ids)) != n {
		t.Errorf("%d lines, but Export says %d", len(ids), n)
	}
	return strings.Join(ids, " ")
}

func TestExportOrder(t *testing.T) {
	d := newDB(t)
	do(t, d, createdAt(5, "e"), createdAt(3, "c"), createdAt(3, "b"), createdAt(9, "z"))
	same(t, "by age", exported(t, d, schema.Filter{}), "b c e z")
	do(t, d, createdAt(1, "a", "z"), createdAt(2, "y", "e", "a"), createdAt(8, "x", "c"))
	same(t, "after its dependencies", exported(t, d, schema.Filter{}), "z a e y b c x")
	same(t, "what matches", exported(t, d, schema.Filter{IDs: []string{"a", "e", "z"}}), "z a e")

	// A way through all tasks, the oldest first, and cycles that only another process can make.
	rewire := `UPDATE tasks SET dependencies = json_array('%s') WHERE id = '%s';`
	script := fmt.Sprintf(rewire+rewire+rewire, "a", "z", "x", "x2", "gone", "b")
	if err := outsiders(t)[0].run(d.config.Path, "INSERT INTO tasks (id, title) VALUES ('x2', 'x2');"+script); err != nil {
		t.Fatal(err)
	}
	same(t, "with a cycle", exported(t, d, schema.Filter{}), "z a e y b c x x2")
}

// A way through the dependencies can be as long as there are tasks.
func TestExportLongWay(t *testing.T) {
	oneGoroutine(t)
	d := newDB(t)
	const tasks = 2000
	want := make([]string, tasks)
	operations := make([]schema.Operation, tasks)
	for i := range tasks {
		want[i] = fmt.Sprintf("t%04d", i)
		if operations[i] = createdAt(int64(tasks-i), want[i]); i > 0 {
			operations[i] = createdAt(int64(tasks-i), want[i], want[i-1])
		}
	}
	do(t, d, operations...)
	same(t, "order", exported(t, d, schema.Filter{}), strings.Join(want, " "))
}

// hook is called before what is written.
type hook func()

func (h hook) Write(p []byte) (int, error) {
	h()
	return len(p), nil
}

// An export sees the file as it was when it began, whatever is written meanwhile.
func TestExportSeesOneMoment(t *testing.T) {
	d := newDB(t)
	var ids []string
	for i := range 300 { // several buffers full
		ids = append(ids, fmt.Sprintf("t%03d", i))
		op := createdAt(int64(i), ids[i])
		op.Create.Description = new(strings.Repeat("x", 1000))
		do(t, d, op)
	}
	times := 0
	n, err := Export(t.Context(), d.config.Path, hook(func() {
		do(t, d, setStatus(ids[299-times], schema.Done), createdAt(1000, fmt.Sprint("new", times)), remove(ids[100+times]))
		times++
	}), &schema.Filter{Status: []schema.Status{schema.Todo}}, nil)
	if err != nil || n != 300 || times < 3 {
		t.Errorf("%d tasks after %d interruptions, %v", n, times, err)
	}
}

func TestExportFile(t *testing.T) {
	d := newDB(t)
	do(t, d, create("a"), create("b"))
	folder := t.TempDir()
	target := filepath.Join(folder, "out.jsonl")
	export := func(path string, replace bool) error {
		n, err := ExportFile(t.Context(), d.config.Path, path, replace, new(schema.Filter), nil)
		if err == nil && n != 2 {
			t.Errorf("%d tasks", n)
		}
		return err
	}
	if err := export(target, false); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(target)
	want := string(mustGet(t, d, "a")) + "\n" + string(mustGet(t, d, "b")) + "\n"
	if err != nil || string(lines) != want {
		t.Errorf("%s, %v, want %s", lines, err, want)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := export(target, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a file that is there: %v", err)
	}
	if err := export(target, true); err != nil {
		t.Error(err)
	}
	for _, own := range []string{d.config.Path, d.config.Path + "-wal"} {
		if err := export(own, true); err == nil {
			t.Errorf("%s was overwritten", own)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ExportFile(canceled, d.config.Path, target+"2", false, new(schema.Filter), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if names, err := filepath.Glob(folder + "/*"); !slices.Equal(names, []string{target}) {
		t.Errorf("left behind: %q, %v", names, err)
	}
}

func mustGet(t *testing.T, d *DB, id string) []byte {
	t.Helper()
	document, err := d.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestExportRefusesOtherFiles(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte("not a database at all, but long enough to look at"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, folder, filepath.Join(folder, "none")} {
		if n, err := Export(t.Context(), path, new(bytes.Buffer), new(schema.Filter), nil); err == nil || n != 0 {
			t.Errorf("%s: %d, %v", path, n, err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "none")); err == nil {
		t.Error("a database was made")
	}
}
