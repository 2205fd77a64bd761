package kit

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

// Record is what is kept of an event of the journal, or of one that a subscriber
// saw: enough to compare them, little enough for a million.
type Record struct {
	Seq, TxLast    int64
	ChangeType     schema.ChangeType
	TaskID         string
	Mark           string // see MarkOf; of the journal only
	PreviousStatus schema.Status
	NewStatus      schema.Status
	Sum            uint64 // of every member that does not depend on the subscriber
	Task           uint64 // of the task alone
	Before         uint64 // of what was before, which a fold has from its subscriber
	Coalesced      int    // of a subscriber only
	Left           bool   // of a subscriber only
}

// RecordOf gives that of an event.
func RecordOf(e *schema.Event) Record {
	sum, before, task := fnv.New64a(), fnv.New64a(), fnv.New64a()
	task.Write(e.Task)
	fmt.Fprint(sum, e.Seq, e.ChangeType, e.TaskID, e.NewStatus, e.Origin, e.Actor, e.TxLast, e.Timestamp, string(e.Task))
	fmt.Fprint(before, e.PreviousStatus, string(e.Previous))
	return Record{
		Seq: e.Seq, TxLast: e.TxLast, ChangeType: e.ChangeType, TaskID: e.TaskID,
		PreviousStatus: e.PreviousStatus, NewStatus: e.NewStatus,
		Sum: sum.Sum64(), Task: task.Sum64(), Before: before.Sum64(), Coalesced: e.Coalesced, Left: e.Left,
	}
}

// MarkOf gives the text by which the write that made an event is known: the title
// that it gave, or which task it deleted; "" for an event that did neither.
func MarkOf(e *schema.Event) string {
	switch {
	case e.ChangeType == schema.Deleted:
		return DeletionOf(e.TaskID)
	case e.ChangeType == schema.Updated && !strings.Contains(string(e.Previous), `"title"`):
		return ""
	}
	return TitleOf(e)
}

// TitleOf gives the title after an event, "" if its task cannot be read.
func TitleOf(e *schema.Event) string {
	var task struct{ Title string }
	if json.Unmarshal(e.Task, &task) != nil {
		return ""
	}
	return task.Title
}

// DeletionOf gives the mark of a deletion.
func DeletionOf(id string) string { return "delete " + id }

func isDeletion(mark string) bool { return strings.HasPrefix(mark, "delete ") }

// storedTask is a row of the table tasks.
type storedTask struct {
	version int64
	task    uint64 // see record
}

// File is what a database file holds.
type File struct {
	Records []Record // the journal
	Last    int64    // the newest seq
	Tasks   map[string]storedTask
	Seqs    map[string][]int64 // mark -> the events that have it
}

// ReadFile reads a file that no daemon needs to have open, and checks what always
// holds: SQLite finds it intact, the journal is dense, each transaction is whole,
// and the tasks are those that the journal leads to.
func ReadFile(t *testing.T, path string) *File {
	t.Helper()
	f, err := loadFile(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	f.check(t)
	return f
}

func loadFile(path string) (*File, error) {
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
	f := &File{Tasks: make(map[string]storedTask), Seqs: make(map[string][]int64)}
	if err := db.QueryRowContext(ctx, `SELECT last_seq FROM journal_state`).Scan(&f.Last); err != nil {
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
		r := RecordOf(&e)
		if r.Mark = MarkOf(&e); r.Mark != "" {
			f.Seqs[r.Mark] = append(f.Seqs[r.Mark], r.Seq)
		}
		f.Records = append(f.Records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return f, f.loadTasks(ctx, db)
}

func (f *File) loadTasks(ctx context.Context, db *sql.DB) error {
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
		f.Tasks[id] = storedTask{version: e.Seq, task: RecordOf(&e).Task}
	}
	return rows.Err()
}

// check reports what does not hold in itself.
func (f *File) check(t *testing.T) {
	t.Helper()
	state := make(map[string]int64) // task -> its version, as the journal tells
	for i, r := range f.Records {
		if want := f.Records[0].Seq + int64(i); r.Seq != want {
			t.Fatalf("the journal has seq %d where %d comes next", r.Seq, want)
		}
		if r.ChangeType == schema.Deleted {
			delete(state, r.TaskID)
		} else {
			state[r.TaskID] = r.Seq
		}
		// The events of a transaction stand together, and the last one is tx_last.
		if r.TxLast != 0 && r.TxLast != r.Seq && (i+1 == len(f.Records) || f.Records[i+1].TxLast != r.TxLast) {
			t.Errorf("the transaction of event %d, which ends at %d, is not whole", r.Seq, r.TxLast)
		}
	}
	if n := len(f.Records); n > 0 && f.Records[n-1].Seq != f.Last {
		t.Errorf("the journal ends at %d, not at its last_seq %d", f.Records[n-1].Seq, f.Last)
	}
	if f.Oldest() > 1 {
		return // the tasks come from events that are not there any more
	}
	if len(state) != len(f.Tasks) {
		t.Errorf("there are %d tasks, and %d by the journal", len(f.Tasks), len(state))
	}
	for id, version := range state {
		if f.Tasks[id] != (storedTask{version: version, task: f.At(version).Task}) {
			t.Errorf("task %s at version %d is not what the journal has as its state %d", id, f.Tasks[id].version, version)
		}
	}
}

// Oldest is the first retained seq.
func (f *File) Oldest() int64 {
	if len(f.Records) == 0 {
		return 1
	}
	return f.Records[0].Seq
}

// At gives the event with a seq, nil if there is none.
func (f *File) At(seq int64) *Record {
	if i := seq - f.Oldest(); i >= 0 && i < int64(len(f.Records)) {
		return &f.Records[i]
	}
	return nil
}
