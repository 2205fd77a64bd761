package storage

import (
	"database/sql"
	"errors"
	"slices"

	"github.com/descartes-tasks/descartes/schema"
)

// depend checks the dependencies of a task, of which old is the state before (nil
// for a new one), and writes its edges. Only what the task did not depend on
// before must exist: what another process has deleted since may stay.
func (t *transaction) depend(task, old *schema.Task) error {
	if old != nil && slices.Equal(old.Dependencies, task.Dependencies) {
		return nil
	}
	for _, id := range task.Dependencies {
		if id == task.ID || old != nil && slices.Contains(old.Dependencies, id) {
			continue
		}
		if err := t.mustExist(id); err != nil {
			return err
		}
	}
	switch path, err := t.cycle(task); {
	case err != nil:
		return err
	case path != nil:
		return schema.DependencyCycle(path)
	}
	if old != nil {
		if err := t.exec(t.deleteEdges, task.ID); err != nil {
			return err
		}
	}
	delete(t.open, task.ID)
	for _, id := range task.Dependencies {
		if err := t.exec(t.insertEdge, task.ID, id); err != nil {
			return err
		}
	}
	return nil
}

// mustNotExist refuses to make a task that there is, and tells whether others wait for it.
func (t *transaction) mustNotExist(id string) (awaited bool, err error) {
	var present []byte
	err = t.presentOrAwaited.QueryRow(id).Scan(&present, &awaited)
	if err == nil && present != nil {
		err = schema.Exists(id, validText(present))
	}
	return awaited, err
}

// mustExist refuses to depend on a task that there is not.
func (t *transaction) mustExist(id string) error {
	var status string
	err := t.statusOf.QueryRow(id).Scan(&status)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.UnknownDependency(id)
	}
	return err
}

// cycle gives the shortest way from the task over its dependencies back to it,
// nil if there is none.
func (t *transaction) cycle(task *schema.Task) ([]string, error) {
	if slices.Contains(task.Dependencies, task.ID) {
		return []string{task.ID, task.ID}, nil
	}
	if len(task.Dependencies) == 0 {
		return nil, nil
	}
	// A task on which none depends cannot be on a cycle.
	dependents, err := texts(t.dependentsOf.Query(task.ID))
	if err != nil || len(dependents) == 0 {
		return nil, err
	}
	cameFrom := make(map[string]string)
	var reached []string
	reach := func(from string, ids []string) {
		for _, id := range ids {
			if _, known := cameFrom[id]; !known {
				cameFrom[id] = from
				reached = append(reached, id)
			}
		}
	}
	reach(task.ID, task.Dependencies)
	for i := 0; i < len(reached); i++ {
		if reached[i] == task.ID {
			return wayBack(cameFrom, task.ID), nil
		}
		ids, err := texts(t.dependenciesOf.Query(reached[i]))
		if err != nil {
			return nil, err
		}
		reach(reached[i], ids)
	}
	return nil, nil
}

// wayBack gives the way from id to itself.
func wayBack(cameFrom map[string]string, id string) []string {
	path := []string{id}
	for at := cameFrom[id]; at != id; at = cameFrom[at] {
		path = append(path, at)
	}
	path = append(path, id)
	slices.Reverse(path)
	return path
}

// texts reads a result of one column of text.
func texts(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
