package storage

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkCycles looks for tasks that wait for each other. The daemon refuses to make
// such a cycle; another process may make one, with an event of origin external. So
// only the dependencies of tasks count of whose present life the journal knows
// everything, and in which nobody but daemons had a hand.
func (c *checker) checkCycles(ctx context.Context) error {
	g := graph{waitsFor: make(map[string][]string)}
	err := c.each(ctx, func(row *sql.Rows) error {
		var task, dependency string
		if err := row.Scan(&task, &dependency); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		g.waitsFor[task] = append(g.waitsFor[task], dependency)
		return nil
	}, `WITH ours (id) AS MATERIALIZED (SELECT id FROM tasks WHERE
			EXISTS (SELECT 1 FROM journal WHERE task_id = tasks.id AND change_type = 'created') AND
			NOT EXISTS (SELECT 1 FROM journal WHERE task_id = tasks.id AND origin = 'external'))
		SELECT task, dependency FROM dependencies
		-- The + keeps SQLite from trying every pair of ours in the index.
		WHERE task <> dependency AND +task IN ours AND +dependency IN ours ORDER BY task, dependency`)
	if err != nil {
		return err
	}
	for _, cycle := range g.cycles() {
		c.found("cycle", cycle[0], "waits for itself: %s", strings.Join(append(cycle, cycle[0]), " -> "))
	}
	return nil
}

// graph says which task waits for which.
type graph struct{ waitsFor map[string][]string }

// cycles gives cycles of the graph, none of which shares a task with another; there
// is none only if the graph has none. It walks depth first without recursion: a
// chain may be as long as there are tasks.
func (g graph) cycles() [][]string {
	var all [][]string
	depth := make(map[string]int) // place in the path, from 1; -1: seen to its end
	for _, start := range slices.Sorted(maps.Keys(g.waitsFor)) {
		var path []string
		next := []int{}
		enter := func(id string) {
			path, next = append(path, id), append(next, 0)
			depth[id] = len(path)
		}
		if depth[start] == 0 {
			enter(start)
		}
		for len(path) > 0 {
			top := len(path) - 1
			at := path[top]
			if next[top] == len(g.waitsFor[at]) {
				depth[at] = -1
				path, next = path[:top], next[:top]
				continue
			}
			to := g.waitsFor[at][next[top]]
			next[top]++
			switch d := depth[to]; {
			case d == 0:
				enter(to)
			case d > 0: // it is on the path
				all = append(all, slices.Clone(path[d-1:]))
				for _, id := range path[d-1:] {
					depth[id] = -1
				}
				path, next = path[:d-1], next[:d-1]
			}
		}
	}
	return all
}
