package storage

import "github.com/descartes-tasks/descartes/schema"

// isReady tells whether a task whose edges are written can be taken up. It is the
// view readiness, for a row that is not written yet.
func (t *transaction) isReady(task *schema.Task) (bool, error) {
	if task.Status != schema.Todo || task.LeasedBy != nil {
		return false, nil
	}
	if len(task.Dependencies) == 0 {
		return true, nil
	}
	var blocked bool
	err := t.blocked.QueryRow(task.ID).Scan(&blocked)
	return !blocked, err
}

// turn flips ready of the tasks that depend on the given one, where it turned because
// that is open again (by is 1) or done now (-1). Each flip is an event of its
// own, directly after its cause, and nobody's own.
//
// A task.apply can finish hundreds of tasks for each of which thousands wait, that wait
// for hundreds each. So what a task waits for is counted when it is asked for the second
// time in a transaction, and kept in open.
func (t *transaction) turn(id string, by int) error {
	dependents, err := texts(t.waitFor.Query(id))
	if err != nil {
		return err
	}
	if t.open == nil {
		t.open = make(map[string]int, len(dependents))
	}
	for _, dependent := range dependents {
		others, err := t.waitsForOthers(dependent, id, by)
		if err == nil && !others {
			err = t.flip(dependent, by < 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// uncounted is in open for a task that was asked for once.
const uncounted = -1

// waitsForOthers tells whether a task waits for any but the given one, which has just
// turned.
func (t *transaction) waitsForOthers(task, id string, by int) (others bool, err error) {
	open, asked := t.open[task]
	switch {
	case !asked:
		t.open[task] = uncounted
		err = t.othersOpen.QueryRow(task, id).Scan(&others)
		return others, err
	case open == uncounted:
		err = t.countOpen.QueryRow(task).Scan(&open)
	default:
		open += by
	}
	t.open[task] = open
	return open > max(by, 0), err
}

// flip sets ready of a task that has, or has no longer, only dependencies that are
// done.
func (t *transaction) flip(id string, free bool) error {
	document, old, err := t.expect(id, nil)
	if err != nil {
		return err
	}
	task := *old
	task.Ready = free && task.Status == schema.Todo && task.LeasedBy == nil
	_, err = t.store(document, old, &task, 0)
	return err
}
