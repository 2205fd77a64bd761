package integration

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// ready is never wrong: in a random run of creations, changes, deletions, claims,
// releases and leases that run out, through the daemon and by plain SQL of another
// process, every task's ready is at every commit what it is defined to be, and each turn
// is one event, in the commit of its cause and directly after it. What the daemon lists
// and what a subscriber has been told is the same.
//
// DESCARTES_READY_STEPS=N makes N steps (500, in CI 3000), DESCARTES_SEED=N repeats a run's choices.
func TestReadyIsNeverWrong(t *testing.T) {
	t.Parallel()
	r := newReadyRun(t)
	steps := int64(500)
	if os.Getenv("CI") == "true" {
		steps = 3000
	}
	steps = kit.FromEnvironment(t, "DESCARTES_READY_STEPS", steps)
	for i := range steps {
		r.step()
		r.read(journalEnd)
		if i%25 == 24 {
			r.requireSeen()
		}
		if t.Failed() {
			t.Fatalf("after step %d", i)
		}
	}
	r.requireSeen()
	r.stopAuditor()
	t.Logf("%d steps: %d events, %d turns of ready with a cause elsewhere, %d claims, %d leases ended, %d refused by the daemon and %d by the file, %d commits audited meanwhile",
		steps, r.last, r.flips, r.claims, r.ended, r.refused, r.aborted, r.audits)
}

// readyRun is a daemon, another process on its file, and what both have done.
type readyRun struct {
	t       *testing.T
	d       *daemon
	c       *client.Client
	leasing *client.Client // its connection ends now and then
	outside []*sql.DB      // as other processes have it, without and with recursive triggers
	reader  *sql.DB
	random  *rand.Rand
	held    []*client.Claimed

	world kit.Replay // the journal up to last
	last  int64
	cause schema.Event // the last event that was no turn of ready alone
	wrong map[string]bool
	told  *client.Subscription // of what is ready
	view  map[string]bool      // what it has been told

	stopAuditor                                    func()
	flips, claims, ended, refused, aborted, audits int
}

func newReadyRun(t *testing.T) *readyRun {
	seed := uint64(kit.FromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))
	t.Logf("DESCARTES_SEED=%d", seed)
	r := &readyRun{t: t, d: serve(t, database(t), "--log-level", "warn"), random: rand.New(rand.NewPCG(seed, 0))}
	r.c, r.leasing = r.d.dial(), r.d.dial()
	r.outside = []*sql.DB{openOutside(t, r.d.db), openOutside(t, r.d.db)}
	mustExec(t, r.outside[1], `PRAGMA recursive_triggers = 1`)
	r.reader = openOutside(t, r.d.db)
	r.world, r.wrong, r.view = make(kit.Replay), make(map[string]bool), make(map[string]bool)
	r.told = subscribe(t, r.c, schema.SubscribeParams{Filter: &schema.EventFilter{Filter: schema.Filter{Ready: new(true)}}})
	r.audit()
	return r
}

// wronglyReady counts the tasks whose ready is not what the file's own definition says.
const wronglyReady = `SELECT count(*) FROM tasks JOIN readiness USING (id) WHERE tasks.ready <> readiness.ready`

// audit looks at the file all the time, as it is after whatever commit was the last.
func (r *readyRun) audit() {
	db := openOutside(r.t, r.d.db)
	ctx, stop := context.WithCancel(r.t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		err := paced(ctx, 4*time.Millisecond, func() error {
			var wrong int
			if err := db.QueryRowContext(ctx, wronglyReady).Scan(&wrong); err != nil {
				return err
			}
			if r.audits++; wrong > 0 {
				return fmt.Errorf("after a commit ready is wrong %d times", wrong)
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			r.t.Error(err)
		}
	}()
	r.stopAuditor = func() { stop(); <-over }
	r.t.Cleanup(r.stopAuditor)
}

// journalEnd is a place that the journal never reaches.
const journalEnd = math.MaxInt64

// read takes the events of the journal up to a place. At the end of it, read also compares
// the tasks of that moment with what the journal leads to.
func (r *readyRun) read(through int64) {
	r.t.Helper()
	tx, err := r.reader.BeginTx(r.t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		r.t.Fatal(err)
	}
	defer tx.Rollback()
	rows, err := tx.Query(`SELECT seq, task_id, change_type, task, coalesce(previous, ''), origin, coalesce(tx_last, 0), timestamp
		FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq`, r.last, through)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var e schema.Event
		var task, previous []byte
		if err := rows.Scan(&e.Seq, &e.TaskID, &e.ChangeType, &task, &previous, &e.Origin, &e.TxLast, &e.Timestamp); err != nil {
			r.t.Fatal(err)
		}
		e.Task, e.Previous = task, previous
		r.take(&e)
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	if through == journalEnd {
		r.requireTable(tx)
	}
}

// take takes an event. One that leaves ready wrong anywhere is followed by one for each
// task that it is wrong of, which changes nothing else and is of the same moment.
func (r *readyRun) take(e *schema.Event) {
	r.t.Helper()
	_, after := r.world.Take(r.t, e)
	turn := string(e.Previous) == `{"ready":true}` || string(e.Previous) == `{"ready":false}`
	switch {
	case turn && !r.wrong[e.TaskID]:
		r.t.Errorf("event %d turns ready of %s for no reason: %s", e.Seq, e.TaskID, e.Task)
	case turn && e.Origin != schema.OriginExternal && (e.Timestamp != r.cause.Timestamp || e.TxLast != 0 && e.TxLast != r.cause.TxLast),
		turn && e.Origin != r.cause.Origin:
		r.t.Errorf("event %d turns ready, and is not of the change that is its cause, event %d", e.Seq, r.cause.Seq)
	case turn:
		r.flips++
	case len(r.wrong) > 0:
		r.t.Errorf("event %d comes before ready of %v is right, which is wrong since event %d", e.Seq, r.wrong, r.cause.Seq)
	default:
		r.cause = *e
	}
	if r.last = e.Seq; e.Origin == schema.OriginLease && !turn {
		r.ended++
	}
	clear(r.wrong)
	for id, task := range r.world {
		if task.Ready != r.world.DefinedReady(&task.Task) {
			r.wrong[id] = true
		}
	}
	if after != nil && r.wrong[e.TaskID] {
		r.t.Errorf("event %d leaves its own ready wrong: %s", e.Seq, e.Task)
	}
}

// requireTable compares the table with what the journal leads to, and each ready with its
// definition: here is the end of a commit.
func (r *readyRun) requireTable(tx *sql.Tx) {
	r.t.Helper()
	if len(r.wrong) > 0 {
		r.t.Errorf("a commit ends with event %d, and ready of %v is wrong", r.last, r.wrong)
	}
	rows, err := tx.Query(`SELECT id, version, ready, leased_by, document FROM tasks`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var row schema.Task
		var document []byte
		if err := rows.Scan(&row.ID, &row.Version, &row.Ready, &row.LeasedBy, &document); err != nil {
			r.t.Fatal(err)
		}
		stored, err := schema.ParseTask(document)
		task := r.world[row.ID]
		if err != nil || task == nil || row.Version != task.Version || row.Ready != task.Ready || stored.Ready != task.Ready ||
			(row.LeasedBy == nil) != (task.LeasedBy == nil) {
			r.t.Errorf("the table has %+v, %s, the journal %+v", row, document, task)
		}
	}
	if err := rows.Err(); err != nil || n != len(r.world) {
		r.t.Errorf("%d tasks, want %d; %v", n, len(r.world), err)
	}
}

// requireSeen compares what a subscriber has been told, and what the daemon lists, with
// the journal, each at its own place.
func (r *readyRun) requireSeen() {
	r.t.Helper()
	mark := create(r.t, r.c, "mark")
	for seq := int64(0); seq < mark.Version; {
		e := next(r.t, r.told)
		if seq = e.Seq; e.Left || e.ChangeType == schema.Deleted {
			delete(r.view, e.TaskID)
		} else {
			r.view[e.TaskID] = true
		}
	}
	r.read(mark.Version)
	r.requireSame("a subscriber has", slices.Sorted(maps.Keys(r.view)))
	for _, filter := range []schema.Filter{{}, {Ready: new(true)}} {
		page, err := r.c.List(r.t.Context(), schema.ListParams{Filter: &filter, Limit: new(int64(schema.MaxLimit))})
		if err != nil {
			r.t.Fatal(err)
		}
		var ready []string
		for i := range page.Tasks {
			if page.Tasks[i].Ready {
				ready = append(ready, page.Tasks[i].ID)
			}
		}
		place, err := schema.ParseCursor("cursor", page.Cursor)
		if err != nil {
			r.t.Fatal(err)
		}
		r.read(place.Seq)
		slices.Sort(ready)
		r.requireSame("the list has", ready)
	}
}

// requireSame compares ids of ready tasks with what the definition says.
func (r *readyRun) requireSame(who string, ready []string) {
	r.t.Helper()
	var want []string
	for id, task := range r.world {
		if r.world.DefinedReady(&task.Task) {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	if !slices.Equal(ready, want) {
		r.t.Errorf("at %d %s as ready\n%v, want\n%v", r.last, who, ready, want)
	}
}
