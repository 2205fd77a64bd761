package integration

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// record is what is kept of an event of the journal, or of one that a subscriber
// saw: enough to compare them, little enough for a million.
type record struct {
	seq, txLast    int64
	changeType     schema.ChangeType
	taskID         string
	mark           string // see markOf; of the journal only
	previousStatus schema.Status
	newStatus      schema.Status
	sum            uint64 // of every member that does not depend on the subscriber
	task           uint64 // of the task alone
	before         uint64 // of what was before, which a fold has from its subscriber
	coalesced      int    // of a subscriber only
	left           bool   // of a subscriber only
}

func recordOf(e *schema.Event) record {
	sum, before, task := fnv.New64a(), fnv.New64a(), fnv.New64a()
	task.Write(e.Task)
	fmt.Fprint(sum, e.Seq, e.ChangeType, e.TaskID, e.NewStatus, e.Origin, e.Actor, e.TxLast, e.Timestamp, string(e.Task))
	fmt.Fprint(before, e.PreviousStatus, string(e.Previous))
	return record{
		seq: e.Seq, txLast: e.TxLast, changeType: e.ChangeType, taskID: e.TaskID,
		previousStatus: e.PreviousStatus, newStatus: e.NewStatus,
		sum: sum.Sum64(), task: task.Sum64(), before: before.Sum64(), coalesced: e.Coalesced, left: e.Left,
	}
}

// markOf gives the text by which the write that made an event is known: the title
// that it gave, or which task it deleted; "" for an event that did neither.
func markOf(e *schema.Event) string {
	switch {
	case e.ChangeType == schema.Deleted:
		return deletionOf(e.TaskID)
	case e.ChangeType == schema.Updated && !strings.Contains(string(e.Previous), `"title"`):
		return ""
	}
	return titleOf(e)
}

// titleOf gives the title after an event, "" if its task cannot be read.
func titleOf(e *schema.Event) string {
	var task struct{ Title string }
	if json.Unmarshal(e.Task, &task) != nil {
		return ""
	}
	return task.Title
}

func deletionOf(id string) string { return "delete " + id }

func isDeletion(mark string) bool { return strings.HasPrefix(mark, "delete ") }

// storedTask is a row of the table tasks.
type storedTask struct {
	version int64
	task    uint64 // see record
}

// file is what a database file holds.
type file struct {
	records []record // the journal
	last    int64    // the newest seq
	tasks   map[string]storedTask
	seqs    map[string][]int64 // mark -> the events that have it
}

// readFile reads a file that no daemon needs to have open, and checks what always
// holds: SQLite finds it intact, the journal is dense, each transaction is whole,
// and the tasks are those that the journal leads to.
func readFile(t *testing.T, path string) *file {
	t.Helper()
	f, err := loadFile(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	f.check(t)
	return f
}

func loadFile(path string) (*file, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(OFF)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	ctx := context.Background()
	var found string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&found); err != nil || found != "ok" {
		return nil, fmt.Errorf("integrity_check: %s, %w", found, err)
	}
	f := &file{tasks: make(map[string]storedTask), seqs: make(map[string][]int64)}
	if err := db.QueryRowContext(ctx, `SELECT last_seq FROM journal_state`).Scan(&f.last); err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT seq, task_id, change_type, task, coalesce(previous_status, ''),
		coalesce(new_status, ''), coalesce(previous, ''), origin, coalesce(tx_last, 0), timestamp FROM journal ORDER BY seq`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e schema.Event
		var task, previous []byte
		if err := rows.Scan(&e.Seq, &e.TaskID, &e.ChangeType, &task, &e.PreviousStatus, &e.NewStatus, &previous,
			&e.Origin, &e.TxLast, &e.Timestamp); err != nil {
			return nil, err
		}
		e.Task, e.Previous = task, previous
		r := recordOf(&e)
		if r.mark = markOf(&e); r.mark != "" {
			f.seqs[r.mark] = append(f.seqs[r.mark], r.seq)
		}
		f.records = append(f.records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return f, f.loadTasks(ctx, db)
}

func (f *file) loadTasks(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT id, version, document FROM tasks`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var e schema.Event
		var document []byte
		if err := rows.Scan(&id, &e.Seq, &document); err != nil {
			return err
		}
		e.Task = document
		f.tasks[id] = storedTask{version: e.Seq, task: recordOf(&e).task}
	}
	return rows.Err()
}

// check reports what does not hold in itself.
func (f *file) check(t *testing.T) {
	t.Helper()
	state := make(map[string]int64) // task -> its version, as the journal tells
	for i, r := range f.records {
		if want := f.records[0].seq + int64(i); r.seq != want {
			t.Fatalf("the journal has seq %d where %d comes next", r.seq, want)
		}
		if r.changeType == schema.Deleted {
			delete(state, r.taskID)
		} else {
			state[r.taskID] = r.seq
		}
		// The events of a transaction stand together, and the last one is tx_last.
		if r.txLast != 0 && r.txLast != r.seq && (i+1 == len(f.records) || f.records[i+1].txLast != r.txLast) {
			t.Errorf("the transaction of event %d, which ends at %d, is not whole", r.seq, r.txLast)
		}
	}
	if n := len(f.records); n > 0 && f.records[n-1].seq != f.last {
		t.Errorf("the journal ends at %d, not at its last_seq %d", f.records[n-1].seq, f.last)
	}
	if f.oldest() > 1 {
		return // the tasks come from events that are not there any more
	}
	if len(state) != len(f.tasks) {
		t.Errorf("there are %d tasks, and %d by the journal", len(f.tasks), len(state))
	}
	for id, version := range state {
		if f.tasks[id] != (storedTask{version: version, task: f.at(version).task}) {
			t.Errorf("task %s at version %d is not what the journal has as its state %d", id, f.tasks[id].version, version)
		}
	}
}

// oldest is the first retained seq.
func (f *file) oldest() int64 {
	if len(f.records) == 0 {
		return 1
	}
	return f.records[0].seq
}

// at gives the event with a seq, nil if there is none.
func (f *file) at(seq int64) *record {
	if i := seq - f.oldest(); i >= 0 && i < int64(len(f.records)) {
		return &f.records[i]
	}
	return nil
}
