package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// node is a task of the input, one that such a task depends on, or one of the
// database that is on the way from one to the other.
type node struct {
	id           string
	line         int64   // of the input; 0: the input does not have it
	offset       int64   // of its JSON in the input
	length       int     // of its JSON
	dependencies []*node // of the input, or of the database for a task that stays as it is

	looked  bool // whether present is known
	present bool // there is a task with this id in the database
	refused bool
	state   state
}

// state is how far the walk over the dependencies is with a node.
type state uint8

const (
	unseen state = iota
	underWay
	finished
)

// node gives the one node of an id.
func (im *importer) node(id string) *node {
	n := im.nodes[id]
	if n == nil {
		n = &node{id: id}
		im.nodes[id] = n
	}
	return n
}

// writes tells whether the import makes or replaces this task.
func (im *importer) writes(n *node) bool {
	return n.line != 0 && !n.refused && !(n.present && im.conflict == storage.ConflictSkip)
}

// order gives the tasks to hand to the database: each after those that it depends
// on, else as the input has them. What a rule forbids is refused. The database may
// change until it is written to: it checks the same again.
func (im *importer) order(ctx context.Context, db *storage.DB) ([]*node, error) {
	w := walk{importer: im, db: db, order: make([]*node, 0, len(im.tasks))}
	im.bar = newProgress(im.stderr, "checking")
	defer im.bar.close()
	for i, n := range im.tasks {
		im.bar.show(int64(i), 2*int64(len(im.tasks)))
		if err := w.look(ctx, n); err != nil {
			return nil, err
		}
	}
	for i, n := range im.tasks {
		im.bar.show(int64(len(im.tasks)+i), 2*int64(len(im.tasks)))
		if err := w.visit(ctx, n); err != nil {
			return nil, err
		}
	}
	return w.order, nil
}

// walk is the way of an import through the dependencies, depth first. It can be as
// long as the input: it is kept in a slice, not on the stack.
type walk struct {
	*importer
	db    *storage.DB
	way   []step  // each depends on the next
	order []*node // those that were left behind
}

type step struct {
	*node
	next int // of its dependencies
}

// look asks the database for a task.
func (w *walk) look(ctx context.Context, n *node) error {
	if n.looked {
		return nil
	}
	n.looked = true
	stored, err := w.stored(ctx, n)
	if schema.CodeOf(err) == schema.CodeTaskNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	n.present = true
	switch {
	case n.line == 0:
	case w.conflict == storage.ConflictRefuse:
		n.refused = true
		w.refuse(n.line, "id: there is already a task "+n.id)
	case w.conflict == storage.ConflictSkip:
		w.done.Kept++
	}
	if w.writes(n) {
		return nil
	}
	n.dependencies = nil
	for _, id := range stored {
		n.dependencies = append(n.dependencies, w.node(id))
	}
	return nil
}

// stored gives the ids that the task of the database depends on.
func (w *walk) stored(ctx context.Context, n *node) ([]string, error) {
	document, err := w.db.Get(ctx, n.id)
	if err != nil {
		return nil, err
	}
	task, err := schema.ParseTask(document)
	if err != nil {
		return nil, err
	}
	return task.Dependencies, nil
}

// visit puts a task into the order, after all that it depends on and that is not in
// the order yet.
func (w *walk) visit(ctx context.Context, n *node) error {
	if n.state == unseen {
		w.enter(n)
	}
	for len(w.way) > 0 {
		last := &w.way[len(w.way)-1]
		if last.next == len(last.dependencies) {
			if err := w.leave(ctx); err != nil {
				return err
			}
			continue
		}
		dependency := last.dependencies[last.next]
		last.next++
		if err := w.look(ctx, dependency); err != nil {
			return err
		}
		switch dependency.state {
		case unseen:
			w.enter(dependency)
		case underWay:
			w.refuseCycle(dependency)
		}
	}
	return nil
}

func (w *walk) enter(n *node) {
	n.state = underWay
	w.way = append(w.way, step{node: n})
}

// leave ends the visit of the last task on the way.
func (w *walk) leave(ctx context.Context) error {
	n := w.way[len(w.way)-1].node
	w.way = w.way[:len(w.way)-1]
	n.state = finished
	if !w.writes(n) {
		return nil
	}
	for i, dependency := range n.dependencies {
		if dependency.present || w.writes(dependency) {
			continue
		}
		if n.present { // whoever depends on a task that was deleted may go on doing so
			stored, err := w.stored(ctx, n)
			if err != nil {
				return err
			}
			if slices.Contains(stored, dependency.id) {
				continue
			}
		}
		w.refuseDependency(n, i)
		return nil
	}
	w.order = append(w.order, n)
	return nil
}

// refuseDependency refuses a task that depends on one that there is not, nor will
// be. Of an import that does not go on it is enough to tell what that one is
// refused for.
func (w *walk) refuseDependency(n *node, index int) {
	n.refused = true
	switch dependency := n.dependencies[index]; {
	case !dependency.refused:
		w.refuse(n.line, fmt.Sprintf("dependencies[%d]: there is no task %s to depend on", index, dependency.id))
	case w.keepGoing:
		w.refuse(n.line, fmt.Sprintf("dependencies[%d]: task %s is refused (line %d)", index, dependency.id, dependency.line))
	}
}

// refuseCycle refuses one task of a cycle, the last one on the way to dependency,
// which is on the way already: then the others cannot be imported either. A cycle
// that is all in the database is not the import's.
func (w *walk) refuseCycle(dependency *node) {
	start := slices.IndexFunc(w.way, func(s step) bool { return s.node == dependency })
	cycle := w.way[start:]
	for i := len(cycle) - 1; i >= 0; i-- {
		n := cycle[i].node
		if !w.writes(n) {
			continue
		}
		n.refused = true
		var ids []string
		for _, s := range slices.Concat(cycle[i:], cycle[:i+1]) {
			ids = append(ids, s.id)
		}
		if len(ids) > 10 {
			ids = slices.Replace(ids, 5, len(ids)-4, "…")
		}
		w.refuse(n.line, "dependencies: the task would depend on itself: "+strings.Join(ids, " -> "))
		return
	}
}
