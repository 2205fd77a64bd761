package storage

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/descartes-tasks/descartes/schema"
)

// Export writes the document of every task that filter matches to w, one a line,
// all of them as they are at one moment, while daemons go on writing, and tells how
// many there are. The oldest comes first (created_at, then id), but a task comes
// after those that it depends on: only where another process has made a cycle it
// cannot.
//
// Memory does not grow with the tasks, but with those at one time that came before
// their turn because an older task depends on them. Until Export ends the
// write-ahead log of the database cannot be emptied, and grows by what is written
// meanwhile.
func Export(ctx context.Context, path string, w io.Writer, filter *schema.Filter, progress Progress) (tasks int64, err error) {
	source, err := openSource(ctx, path)
	if err == nil {
		defer source.close()
		err = source.mustBeOurs(ctx)
	}
	x := &exporter{filter: filter, lines: bufio.NewWriterSize(w, 64<<10), early: make(map[string]bool)}
	if err == nil {
		defer x.close()
		err = prepare(ctx, source.conn, x.table())
	}
	if err == nil {
		err = x.run(ctx, progress)
	}
	if err != nil {
		return 0, fmt.Errorf("export %s: %w", path, plain(err))
	}
	return x.tasks, x.lines.Flush()
}

// ExportFile writes an export to the file target. It can be read by its owner only:
// it appears when everything is in it and on the disk, and an error leaves nothing
// behind. A file that is there is refused unless replace is set; the database
// itself, and what is beside it, always.
func ExportFile(ctx context.Context, path, target string, replace bool, filter *schema.Filter, progress Progress) (tasks int64, err error) {
	if err := checkTarget(path, target, replace); err != nil {
		return 0, err
	}
	file, err := os.CreateTemp(filepath.Dir(target), filepath.Base(target)+".*.part")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name()) // of no use after an error; gone after the rename
	defer file.Close()
	tasks, err = Export(ctx, path, file, filter, progress)
	for _, step := range []func() error{
		file.Sync, file.Close,
		func() error { return os.Rename(file.Name(), target) },
		func() error { return syncFolder(target) },
	} {
		if err == nil {
			err = step()
		}
	}
	return tasks, err
}

// exporter is an export under way.
type exporter struct {
	filter              *schema.Filter
	lines               *bufio.Writer
	tasks               int64           // written
	early               map[string]bool // of these, by id, those whose turn is still to come
	all, document, late *sql.Stmt
}

func (x *exporter) table() []statement {
	return []statement{
		{&x.all, `SELECT id, created_at, document, dependencies <> '[]', (SELECT count(*) FROM tasks)
			FROM tasks ORDER BY created_at, id`},
		{&x.document, `SELECT document FROM tasks WHERE id = ?`},
		// Whom a task depends on that comes after a place in the order.
		{&x.late, `SELECT id FROM dependencies JOIN tasks ON id = dependency
			WHERE task = ? AND (created_at, id) > (?, ?) ORDER BY created_at, id`},
	}
}

func (x *exporter) close() {
	for _, s := range x.table() {
		if *s.at != nil {
			(*s.at).Close()
		}
	}
}

func (x *exporter) run(ctx context.Context, progress Progress) error {
	rows, err := x.all.QueryContext(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	var done, total int64
	for rows.Next() {
		var at place
		var document []byte
		var depends bool
		if err := rows.Scan(&at.id, &at.key, &document, &depends, &total); err != nil {
			return err
		}
		progress.tell(done, total)
		done++
		if x.early[at.id] {
			delete(x.early, at.id)
			continue
		}
		if depends {
			if err := x.writeLate(ctx, at); err != nil {
				return err
			}
		}
		if err := x.write(document); err != nil {
			return err
		}
	}
	progress.tell(done, total)
	return rows.Err()
}

// writeLate writes what the task at a place depends on, directly or not, and whose
// turn would come after that place, each after what it depends on itself. A way
// through the dependencies can be as long as there are tasks: it is kept in a
// slice, not on the stack.
func (x *exporter) writeLate(ctx context.Context, at place) error {
	type step struct {
		id   string
		late []string // of those that it depends on, those still to be visited
	}
	late, err := texts(x.late.QueryContext(ctx, at.id, at.key, at.id))
	way := []step{{at.id, late}}
	for err == nil {
		last := &way[len(way)-1]
		switch {
		case len(last.late) > 0:
			id := last.late[0]
			last.late = last.late[1:]
			if x.early[id] {
				continue // or it is on the way: a cycle
			}
			x.early[id] = true
			late, err = texts(x.late.QueryContext(ctx, id, at.key, at.id))
			way = append(way, step{id, late})
		case len(way) == 1: // whose document the caller has
			return nil
		default:
			err = x.writeTask(ctx, last.id)
			way = way[:len(way)-1]
		}
	}
	return err
}

func (x *exporter) writeTask(ctx context.Context, id string) error {
	var document []byte
	if err := x.document.QueryRowContext(ctx, id).Scan(&document); err != nil {
		return err
	}
	return x.write(document)
}

func (x *exporter) write(document []byte) error {
	document = validText(document)
	if !x.filter.IsZero() {
		task, err := schema.ParseTask(document)
		if err != nil {
			return err
		}
		if !x.filter.Match(task) {
			return nil
		}
	}
	x.tasks++
	_, err := x.lines.Write(append(document, '\n'))
	return err
}
