package emitter_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// watch sees every group of changes that reaches a journal, and may refuse it.
type watch struct {
	mu     sync.Mutex
	groups [][]schema.Change
	before func(changes []schema.Change) error
}

// watchApply has to be called before anything is applied.
func watchApply(journal *faulty) *watch {
	w := new(watch)
	journal.BeforeApply = func(changes []schema.Change) error {
		w.mu.Lock()
		w.groups = append(w.groups, slices.Clone(changes))
		before := w.before
		w.mu.Unlock()
		if before == nil {
			return nil
		}
		return before(changes)
	}
	return w
}

func (w *watch) set(before func(changes []schema.Change) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = before
}

// reset forgets what was seen.
func (w *watch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.groups = nil
}

// count tells how many changes of a kind were seen.
func (w *watch) count(op schema.Op) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range slices.Concat(w.groups...) {
		if c.Operations[0].Op == op {
			n++
		}
	}
	return n
}

// sizes tells how many changes each group had.
func (w *watch) sizes() (sizes []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, group := range w.groups {
		sizes = append(sizes, len(group))
	}
	return sizes
}

// shown lists the groups that were seen, each as its operations.
func (w *watch) shown() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var groups []string
	for _, group := range w.groups {
		var ops []string
		for _, c := range group {
			ops = append(ops, strings.TrimSpace(string(c.Operations[0].Op)+" "+c.Operations[0].TaskID()))
		}
		groups = append(groups, strings.Join(ops, "+"))
	}
	return strings.Join(groups, ", ")
}

// refuse is a journal that cannot be written.
func refuse([]schema.Change) error { return schema.StorageUnavailable("the disk is full") }

func rpc(op schema.Operation) schema.Change {
	return schema.Change{Origin: schema.OriginRPC, Source: 7, Operations: []schema.Operation{normal(op)}}
}

func claim(p schema.ClaimParams) schema.Change {
	if p.AssignedTo == "" {
		p.AssignedTo = "worker"
	}
	return rpc(schema.Operation{Op: schema.OpClaim, Claim: &schema.Claim{ClaimParams: p}})
}

// claimOf is a claim of one task, for so many seconds.
func claimOf(id string, seconds int64) schema.Change {
	return claim(schema.ClaimParams{ID: &id, LeaseMS: new(seconds * 1000)})
}

// boundClaimOf is a claim that ends with the connection source.
func boundClaimOf(id string, seconds, source int64) schema.Change {
	c := claim(schema.ClaimParams{ID: &id, LeaseMS: new(seconds * 1000), UntilDisconnect: new(true)})
	c.Source = source
	return c
}

func renew(id, token string, seconds ...int64) schema.Change {
	p := &schema.RenewParams{ID: id, LeaseToken: token}
	if len(seconds) > 0 {
		p.LeaseMS = new(seconds[0] * 1000)
	}
	return rpc(schema.Operation{Op: schema.OpRenew, Renew: p})
}

func release(id, token string) schema.Change {
	return rpc(schema.Operation{Op: schema.OpRelease, Release: &schema.ReleaseParams{ID: id, LeaseToken: token}})
}

// token makes a claim, which has to find a task, and gives its lease token.
func (f *fixture) token(claim schema.Change) string {
	f.t.Helper()
	var result schema.ClaimResult
	if err := json.Unmarshal(f.must(claim).Results[0], &result); err != nil || result.LeaseToken == "" {
		f.t.Fatalf("claimed %+v, %v", result, err)
	}
	return result.LeaseToken
}

// patient submits claims that wait, one after the other.
func (f *fixture) patient(claims ...schema.Change) (writes []*emitter.Write) {
	for _, c := range claims {
		writes = append(writes, f.SubmitPatient(c))
		synctest.Wait()
	}
	return writes
}

// answers shows what each write was answered with: the id of a claimed task, null, a
// code, or that it waits.
func answers(writes ...*emitter.Write) string {
	synctest.Wait()
	var all []string
	for _, w := range writes {
		if !isDone(w) {
			all = append(all, "waits")
			continue
		}
		all = append(all, answer(w.Outcome()))
	}
	return strings.Join(all, " ")
}

func answer(o schema.Outcome) string {
	if o.Err != nil {
		return fmt.Sprint(int(schema.CodeOf(o.Err)))
	}
	var claimed struct {
		Task struct {
			ID string `json:"id"`
		} `json:"task"`
	}
	if err := json.Unmarshal(o.Results[0], &claimed); err != nil || claimed.Task.ID == "" {
		return string(o.Results[0])
	}
	return claimed.Task.ID
}

// expectAnswers compares what answers shows.
func (f *fixture) expectAnswers(want string, writes ...*emitter.Write) {
	f.t.Helper()
	if got := answers(writes...); got != want {
		f.t.Errorf("answered %q, want %q", got, want)
	}
}

// leased tells who has which task: "a:worker b:".
func (f *fixture) leased() string {
	f.t.Helper()
	synctest.Wait()
	newest, err := f.journal.Memory.Bounds(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	documents, err := f.journal.Memory.TasksAt(f.t.Context(), newest.Newest, "", 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	var all []string
	for _, document := range documents {
		task, err := schema.ParseTask(document)
		if err != nil {
			f.t.Fatal(err)
		}
		holder := ""
		if task.LeasedBy != nil {
			holder = *task.LeasedBy
		}
		all = append(all, task.ID+":"+holder)
	}
	return strings.Join(all, " ")
}

// expectLeased compares what leased shows.
func (f *fixture) expectLeased(want string) {
	f.t.Helper()
	if got := f.leased(); got != want {
		f.t.Errorf("at %v: leased %q, want %q", time.Now().UTC().Format("15:04:05.000"), got, want)
	}
}

// ends shows what expiries made of tasks, and when after start.
func (r *recorder) ends() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.events {
		if e.Origin == schema.OriginLease {
			at := time.Duration(e.Timestamp-r.start.UnixMilli()) * time.Millisecond
			all = append(all, fmt.Sprintf("%s@%v", e.TaskID, at))
		}
	}
	return strings.Join(all, " ")
}
