package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/descartes-tasks/descartes/schema"
)

// store is what a file holds before a row: so many tasks, a quarter of each status, and
// so many events about them.
type store struct{ tasks, events int }

// stored gives a file that holds s, made at its first use; "" if there is to be nothing
// in it, or the daemon is somebody else's.
func (b *bench) stored(ctx context.Context, s store) (path string, err error) {
	if s.tasks == 0 || b.options.URL != "" {
		return "", nil
	}
	if path = b.stores[s]; path != "" {
		return path, nil
	}
	path = b.newFile()
	t, err := b.target(ctx, path)
	if err != nil {
		return "", err
	}
	if err := errors.Join(b.fill(ctx, t, s), t.close(ctx)); err != nil {
		return "", err
	}
	b.stores[s] = path
	return path, nil
}

// fill makes the tasks and events of s, with as many operations in a commit as may be.
func (b *bench) fill(ctx context.Context, t *target, s store) error {
	ids := t.ids
	defer func() { t.ids = ids }()
	if ids == "" {
		t.ids = IDPrefix // the updates have to know them
	}
	total := 0
	if s.tasks > 0 {
		total = max(s.tasks, s.events)
	}
	var operations []byte
	for done := 0; done < total; {
		operations = operations[:0]
		for range min(schema.MaxOperations, total-done) {
			if len(operations) > 0 {
				operations = append(operations, ',')
			}
			if done < s.tasks {
				status := schema.Statuses()[done%len(schema.Statuses())]
				operations = t.appendDraft(operations, "stored", fmt.Sprintf(`"op":"create","status":%q,`, status))
			} else {
				// Each round of updates gives another complexity to all tasks.
				complexity := []schema.Complexity{schema.Simple, schema.Complex}[done/s.tasks%2]
				operations = fmt.Appendf(operations, `{"op":"update","id":%q,"complexity":%q}`, t.id(int64(done%s.tasks)), complexity)
			}
			done++
		}
		if err := t.apply(ctx, operations); err != nil {
			return fmt.Errorf("store tasks: %w", err)
		}
		b.options.Progress("storing: "+b.row, int64(done), int64(total))
	}
	return nil
}
