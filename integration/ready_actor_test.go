package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

// readyIDs is how many ids the steps use: few, so that tasks come again under an id that
// others have depended on all the while.
const readyIDs = 20

// step does something, through the daemon or in the file.
func (r *readyRun) step() {
	r.t.Helper()
	if len(r.world) > 2*readyIDs { // the marks come first
		id := slices.Min(slices.Collect(maps.Keys(r.world)))
		r.settle(r.make(schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id}}))
		return
	}
	switch p := r.random.IntN(20); {
	case p < 5:
		r.settle(r.make(r.operation()))
	case p < 7:
		_, err := r.c.Apply(r.t.Context(), r.operations()...)
		r.settle(err)
	case p < 9:
		r.atOnce(r.operations())
	case p < 11:
		r.claim()
	case p < 14 && len(r.held) > 0:
		r.end()
	case p == 14 && r.random.IntN(3) == 0:
		r.leasing.Close()
		r.leasing = r.d.dial()
	default:
		r.inFile()
	}
}

// id gives one that a task has or not: often one that another depends on.
func (r *readyRun) id() string {
	id := fmt.Sprint("p", r.random.IntN(readyIDs))
	if task := r.world[id]; task != nil && len(task.Dependencies) > 0 && r.random.IntN(2) == 0 {
		return task.Dependencies[r.random.IntN(len(task.Dependencies))]
	}
	return id
}

func (r *readyRun) status() schema.Status {
	return schema.Statuses()[[]int{0, 0, 0, 0, 1, 2, 3, 3, 3}[r.random.IntN(9)]]
}

// dependencies gives up to three ids, of tasks that there are or not: of one below, but
// for some that lead to cycles, which another process can make.
func (r *readyRun) dependencies(of string) []string {
	ids := []string{}
	below, err := strconv.Atoi(of[1:])
	if err != nil {
		r.t.Fatal(err)
	}
	if r.random.IntN(10) == 0 {
		below = readyIDs
	}
	for range []int{0, 1, 1, 1, 2, 3}[r.random.IntN(6)] {
		if id := fmt.Sprint("p", r.random.IntN(below+1)); id != of && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// operation is one that a task.apply may have.
func (r *readyRun) operation() schema.Operation {
	id := r.id()
	switch p := r.random.IntN(16); {
	case r.gone(id) && p > 0 || p == 1:
		draft := &schema.Draft{ID: id, Title: "task", Status: r.status(), Dependencies: slices.DeleteFunc(r.dependencies(id), r.gone)}
		return schema.Operation{Op: schema.OpCreate, Create: draft}
	case p == 2:
		return schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: id}}
	case p < 10:
		return schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: id, Patch: schema.Patch{Status: schema.Some(r.status())}}}
	}
	return schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{
		ID: id, Patch: schema.Patch{Dependencies: schema.Some(slices.DeleteFunc(r.dependencies(id), r.gone))},
	}}
}

func (r *readyRun) gone(id string) bool { return r.world[id] == nil }

// settle takes how a write ended: it may have been refused for a reason that there is.
func (r *readyRun) settle(err error) {
	r.t.Helper()
	switch code := schema.CodeOf(err); {
	case err == nil:
	case code == schema.CodeTaskExists, code == schema.CodeTaskNotFound, code == schema.CodeDependencyInvalid, code == schema.CodeLeaseLost:
		r.refused++
	default:
		r.t.Error(err)
	}
}

// make makes one operation by its own method.
func (r *readyRun) make(o schema.Operation) (err error) {
	switch o.Op {
	case schema.OpCreate:
		_, err = r.c.Create(r.t.Context(), *o.Create)
	case schema.OpUpdate:
		_, err = r.c.Update(r.t.Context(), *o.Update)
	default:
		_, err = r.c.Delete(r.t.Context(), *o.Delete)
	}
	return err
}

// operations are a few of any kind, or many changes of status and some of dependencies.
func (r *readyRun) operations() (operations []schema.Operation) {
	if r.random.IntN(2) == 0 {
		for range 2 + r.random.IntN(3) {
			operations = append(operations, r.operation())
		}
		return operations
	}
	there := slices.Sorted(maps.Keys(r.world))
	for range r.random.IntN(1 + 2*len(there)) {
		o := schema.Operation{Op: schema.OpUpdate, Update: &schema.UpdateParams{ID: there[r.random.IntN(len(there))]}}
		o.Update.Status = schema.Some(r.status())
		if id := r.id(); r.random.IntN(4) == 0 && !r.gone(id) {
			o.Update.ID, o.Update.Dependencies = id, schema.Some(slices.DeleteFunc(r.dependencies(id), r.gone))
		}
		operations = append(operations, o)
	}
	return append(operations, r.operation())
}

// atOnce asks for operations in several transactions at the same time: most of them share
// a commit. Some are refused because of the last operation, when the others are made.
func (r *readyRun) atOnce(operations []schema.Operation) {
	r.t.Helper()
	ended, n := make(chan error), 0
	for together := range slices.Chunk(operations, 1+r.random.IntN(6)) {
		if n++; r.random.IntN(3) == 0 {
			together = append(slices.Clip(together), schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: "nothing"}})
		}
		go func() {
			_, err := r.c.Apply(r.t.Context(), together...)
			ended <- err
		}()
	}
	for range n {
		r.settle(<-ended)
	}
}

// claim claims, for a second or until a connection ends.
func (r *readyRun) claim() {
	r.t.Helper()
	c, params := r.c, schema.ClaimParams{AssignedTo: "worker", LeaseMS: new(int64(schema.MinLeaseMS))}
	if r.random.IntN(3) == 0 {
		c, params.UntilDisconnect = r.leasing, new(true)
	}
	claimed, err := c.Claim(r.t.Context(), params)
	if claimed != nil {
		r.claims++
		r.held = append(r.held, claimed)
	}
	r.settle(err)
}

// end ends a claim in one of the ways in which its holder can, unless it has ended.
func (r *readyRun) end() {
	r.t.Helper()
	i := r.random.IntN(len(r.held))
	h := r.held[i]
	r.held = slices.Delete(r.held, i, i+1)
	var err error
	if r.random.IntN(2) == 0 {
		_, err = r.c.Release(r.t.Context(), schema.ReleaseParams{ID: h.Task.ID, LeaseToken: h.LeaseToken, Status: new(r.status())})
	} else {
		_, err = r.c.Update(r.t.Context(), schema.UpdateParams{
			ID: h.Task.ID, LeaseToken: &h.LeaseToken, Patch: schema.Patch{Status: schema.Some(schema.Done)},
		})
	}
	r.settle(err)
}

// inFile makes a transaction of another process. Ready is right in it, too, after each
// statement. The file may refuse one, and some transactions are taken back.
func (r *readyRun) inFile() {
	r.t.Helper()
	tx, err := r.outside[r.random.IntN(len(r.outside))].BeginTx(r.t.Context(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer tx.Rollback()
	for range 1 + r.random.IntN(2) {
		statement := r.statement()
		if _, err := tx.Exec(statement); err != nil {
			if !strings.Contains(err.Error(), "constraint failed") {
				r.t.Errorf("%s: %v", statement, err)
			}
			r.aborted++
			return
		}
		var wrong int
		if err := tx.QueryRow(wronglyReady).Scan(&wrong); err != nil || wrong > 0 {
			r.t.Errorf("after %s ready is wrong %d times, %v", statement, wrong, err)
		}
	}
	if r.random.IntN(8) > 0 {
		if err := tx.Commit(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// statement is one of another process: on one task or on several, on what it may write
// and on what is the daemon's.
func (r *readyRun) statement() string {
	id := r.id()
	encoded, err := json.Marshal(r.dependencies(id))
	if err != nil {
		r.t.Fatal(err)
	}
	dependencies := string(encoded)
	some := fmt.Sprintf("id IN ('%s', '%s', '%s')", id, r.id(), r.id())
	return oneOf(r.random,
		fmt.Sprintf(`INSERT INTO tasks (id, title, status, dependencies) VALUES ('%s', 'outside', '%s', '%s')`, id, r.status(), dependencies),
		fmt.Sprintf(`INSERT INTO tasks (id, title, ready, leased_by) VALUES ('%s', 'outside', %d, 'nobody')`, id, r.random.IntN(2)),
		fmt.Sprintf(`INSERT OR REPLACE INTO tasks (id, title, status, dependencies) VALUES ('%s', 'replaced', '%s', '%s')`, id, r.status(), dependencies),
		fmt.Sprintf(`INSERT OR IGNORE INTO tasks (id, title, status) VALUES ('%s', 'ignored', '%s'), ('%s', 'second', 'todo')`, id, r.status(), r.id()),
		fmt.Sprintf(`INSERT INTO tasks (id, title) VALUES ('%s', 'new') ON CONFLICT (id) DO UPDATE SET status = '%s'`, id, r.status()),
		fmt.Sprintf(`UPDATE tasks SET status = '%s' WHERE %s`, r.status(), some),
		fmt.Sprintf(`UPDATE tasks SET dependencies = '%s' WHERE id = '%s'`, dependencies, id),
		fmt.Sprintf(`UPDATE tasks SET ready = 1 - ready, leased_by = 'nobody', version = 7 WHERE %s`, some),
		fmt.Sprintf(`UPDATE tasks SET ready = 1 - ready, title = 'changed' WHERE %s`, some),
		fmt.Sprintf(`DELETE FROM tasks WHERE %s`, some))
}

func oneOf(random *rand.Rand, choices ...string) string { return choices[random.IntN(len(choices))] }
