package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// What many clients are told of five tasks, while the daemon is killed again and
// again, is what they would be told if every operation happened at one moment.
//
// DESCARTES_LINEAR=SECONDS makes histories for that long (2), each of which is
// checked by itself.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	checkLinearizable(t, startService(t, database(t), "s"))
}

// Two daemons on one file are no different: a read of the one sees what was
// answered by the other.
func TestTwoDaemonsAreLinearizable(t *testing.T) {
	t.Parallel()
	db := database(t)
	checkLinearizable(t, startService(t, db, "a"), startService(t, db, "b"))
}

const (
	linearClients = 6
	linearKills   = 4   // of a history
	linearAnswers = 120 // between two kills, at most
)

func checkLinearizable(t *testing.T, services ...*service) {
	seed := uint64(fromEnvironment(t, "DESCARTES_SEED", time.Now().UnixNano()))
	t.Logf("DESCARTES_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	until := time.Now().Add(time.Duration(fromEnvironment(t, "DESCARTES_LINEAR", 2)) * time.Second)
	histories, operations, lost := 0, 0, 0
	var slowest time.Duration
	for ; histories == 0 || time.Now().Before(until); histories++ {
		h := newHistory(t, fmt.Sprintf("h%d", histories), random, services)
		recorded := h.record()
		began := time.Now()
		requireLinearizable(t, recorded)
		slowest = max(slowest, time.Since(began))
		for i := range recorded {
			if recorded[i].Output.(linearOutput).lost {
				lost++
			}
		}
		operations += len(recorded)
		if histories == 0 {
			requireForgeriesFound(t, recorded)
		}
	}
	t.Logf("%d histories with %d operations, %d of them without an answer; %d kills; the slowest check took %v",
		histories, operations, lost, histories*linearKills, slowest)
}

// requireLinearizable fails with a picture of what is wrong.
func requireLinearizable(t *testing.T, recorded []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(linearModel(), recorded, 2*time.Minute)
	if result == porcupine.Ok {
		return
	}
	picture := filepath.Join(t.ArtifactDir(), "history.html")
	if err := porcupine.VisualizePath(linearModel(), info, picture); err != nil {
		t.Error(err)
	}
	t.Fatalf("a history of %d operations is %s: see %s (keep it with go test -artifacts)", len(recorded), result, picture)
}

// requireForgeriesFound checks that the same history is refused with one lie in it:
// the last list shows a task as it was before, or a write was not made that others
// have seen.
func requireForgeriesFound(t *testing.T, recorded []porcupine.Operation) {
	t.Helper()
	last := slices.IndexFunc(recorded, func(o porcupine.Operation) bool { return o.Metadata == finalRead })
	forged := slices.Clone(recorded)
	output := forged[last].Output.(linearOutput)
	for task := range output.list {
		if output.list[task].title != "" {
			output.list[task].version--
			break
		}
	}
	forged[last].Output = output
	if porcupine.CheckOperations(linearModel(), forged) {
		t.Error("a version that nobody gave was not noticed")
	}
	made := slices.IndexFunc(recorded, func(o porcupine.Operation) bool { return len(o.Output.(linearOutput).versions) > 0 })
	if porcupine.CheckOperations(linearModel(), slices.Delete(slices.Clone(recorded), made, made+1)) {
		t.Error("a write that vanished was not noticed")
	}
}

// finalRead marks the read after everything else.
const finalRead = "final read"

// history is what clients asked for and were told.
type history struct {
	t        *testing.T
	name     string
	random   *rand.Rand
	services []*service
	began    time.Time
	answers  tally

	mu         sync.Mutex
	operations []porcupine.Operation
}

func newHistory(t *testing.T, name string, random *rand.Rand, services []*service) *history {
	return &history{t: t, name: name, random: random, services: services, began: time.Now()}
}

// record lets clients work and kills daemons.
func (h *history) record() []porcupine.Operation {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	var working sync.WaitGroup
	h.t.Cleanup(func() { stop(); working.Wait() })
	for i := range linearClients {
		s := h.services[i%len(h.services)]
		l := &linearClient{
			history: h, service: s, c: s.dial(), number: i, random: rand.New(rand.NewPCG(h.random.Uint64(), 0)),
		}
		working.Go(func() {
			defer l.c.Close()
			l.work(ctx)
		})
	}
	for range linearKills {
		h.answers.await(h.t, 1+h.random.IntN(linearAnswers))
		h.services[h.random.IntN(len(h.services))].kill()
	}
	h.answers.await(h.t, linearAnswers)
	stop()
	working.Wait()
	last := &linearClient{history: h, service: h.services[0], c: h.services[0].dial(), number: linearClients}
	defer last.c.Close()
	last.do(linearInput{read: true, all: true}, finalRead)
	// Only now may a write without an answer be taken for one that was never made.
	end := int64(time.Since(h.began)) + 1
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: linearClients, Input: linearInput{over: true}, Call: end, Output: linearOutput{}, Return: end + 1,
	})
	return h.operations
}

func (h *history) id(task int) string { return fmt.Sprintf("%s-%d", h.name, task) }

// linearClient makes one operation after the other.
type linearClient struct {
	*history
	service *service
	c       *client.Client
	random  *rand.Rand
	number  int
	n       int
	known   [linearTasks]int64 // versions that it has seen
}

func (l *linearClient) work(ctx context.Context) {
	for ctx.Err() == nil {
		l.service.running()
		l.do(l.choose(), nil)
	}
}

func (l *linearClient) choose() linearInput {
	switch p := l.random.IntN(20); {
	case p < 5:
		return linearInput{read: true, task: l.random.IntN(linearTasks)}
	case p < 7:
		return linearInput{read: true, all: true}
	case p < 17:
		return linearInput{steps: []linearStep{l.chooseStep()}}
	}
	return linearInput{steps: []linearStep{l.chooseStep(), l.chooseStep(), l.chooseStep()}}
}

func (l *linearClient) chooseStep() linearStep {
	l.n++
	s := linearStep{op: schema.OpUpdate, task: l.random.IntN(linearTasks), title: fmt.Sprintf("c%d-%d", l.number, l.n)}
	s.expected = l.known[s.task]
	switch p := l.random.IntN(10); {
	case p < 3 || s.expected == 0:
		s.op, s.expected = schema.OpCreate, 0
	case p < 5:
		s.op, s.title = schema.OpDelete, ""
	}
	if s.op != schema.OpCreate && l.random.IntN(8) == 0 {
		s.expected = 0 // whatever it is now
	}
	return s
}

// do makes an operation and notes it, unless it says nothing: a read without an
// answer, and what was never sent.
func (l *linearClient) do(in linearInput, metadata any) {
	call := time.Since(l.began)
	out, err := l.perform(l.t.Context(), &in)
	returned := int64(time.Since(l.began))
	again, lost := unanswered(err)
	switch {
	case again && (!lost || in.read):
		return
	case again:
		out, returned = linearOutput{lost: true}, math.MaxInt64
	case err != nil:
		if l.t.Context().Err() == nil {
			l.t.Errorf("%s: %v", describeLinear(in, out), err)
		}
		return
	default:
		l.learn(&in, &out)
	}
	l.mu.Lock()
	l.operations = append(l.operations, porcupine.Operation{
		ClientId: l.number, Input: in, Call: int64(call), Output: out, Return: returned, Metadata: metadata,
	})
	l.mu.Unlock()
	l.answers.add()
}

// learn notes the versions that an answer shows. That which the refusal of a later
// step shows may never be.
func (l *linearClient) learn(in *linearInput, out *linearOutput) {
	switch {
	case in.all:
		for task, seen := range out.list {
			l.known[task] = seen.version
		}
	case in.read:
		l.known[in.task] = out.found.version
	case out.code == 0:
		for i, s := range in.steps {
			if l.known[s.task] = out.versions[i]; s.op == schema.OpDelete {
				l.known[s.task] = 0
			}
		}
	case out.index == 0:
		l.known[in.steps[0].task] = out.found.version
	}
}

func (l *linearClient) perform(ctx context.Context, in *linearInput) (out linearOutput, err error) {
	switch {
	case in.all:
		return l.list(ctx)
	case in.read:
		task, err := l.c.Get(ctx, l.id(in.task))
		if err == nil {
			out.found = shown{task.Title, task.Version}
		}
		return out, unlessRefused(err)
	case len(in.steps) > 1:
		err = l.apply(ctx, in.steps, &out)
	default:
		err = l.single(ctx, &in.steps[0], &out)
	}
	refusal, ok := errors.AsType[*schema.Error](err)
	if again, _ := unanswered(err); !ok || again {
		return out, err
	}
	out.code = refusal.Code
	if refusal.Data.Index != nil {
		out.index = *refusal.Data.Index
	}
	if refusal.Data.Task != nil {
		var task schema.Task
		if err := json.Unmarshal(refusal.Data.Task, &task); err != nil {
			return out, err
		}
		out.found = shown{task.Title, task.Version}
	}
	return out, unlessRefused(err)
}

// unlessRefused drops the errors that the model knows.
func unlessRefused(err error) error {
	switch schema.CodeOf(err) {
	case schema.CodeTaskNotFound, schema.CodeTaskExists, schema.CodeVersionConflict:
		return nil
	}
	return err
}

func (l *linearClient) list(ctx context.Context) (out linearOutput, err error) {
	ids := make([]string, linearTasks)
	for task := range ids {
		ids[task] = l.id(task)
	}
	page, err := l.c.List(ctx, schema.ListParams{Filter: &schema.Filter{IDs: ids}})
	if err != nil {
		return out, err
	}
	for i := range page.Tasks {
		out.list[slices.Index(ids, page.Tasks[i].ID)] = shown{page.Tasks[i].Title, page.Tasks[i].Version}
	}
	place, err := schema.ParseCursor("cursor", page.Cursor)
	out.place = place.Seq
	return out, err
}

func (l *linearClient) single(ctx context.Context, s *linearStep, out *linearOutput) error {
	o := l.operation(s)
	var task *schema.Task
	var err error
	switch o.Op {
	case schema.OpCreate:
		task, err = l.c.Create(ctx, *o.Create)
	case schema.OpUpdate:
		task, err = l.c.Update(ctx, *o.Update)
	default:
		var deleted *schema.DeleteResult
		if deleted, err = l.c.Delete(ctx, *o.Delete); err == nil {
			out.versions = []int64{deleted.Version}
		}
		return err
	}
	if err == nil {
		out.versions = []int64{task.Version}
	}
	return err
}

func (l *linearClient) apply(ctx context.Context, steps []linearStep, out *linearOutput) error {
	operations := make([]schema.Operation, len(steps))
	for i := range steps {
		operations[i] = l.operation(&steps[i])
	}
	applied, err := l.c.Apply(ctx, operations...)
	if err == nil {
		out.versions = versionsOf(applied)
	}
	return err
}

func (l *linearClient) operation(s *linearStep) schema.Operation {
	id := l.id(s.task)
	var expected *int64
	if s.expected != 0 {
		expected = &s.expected
	}
	switch s.op {
	case schema.OpCreate:
		return schema.Operation{Op: s.op, Create: &schema.Draft{ID: id, Title: s.title}}
	case schema.OpUpdate:
		return schema.Operation{Op: s.op, Update: &schema.UpdateParams{
			ID: id, Patch: schema.Patch{Title: schema.Some(s.title)}, ExpectedVersion: expected,
		}}
	}
	return schema.Operation{Op: s.op, Delete: &schema.DeleteParams{ID: id, ExpectedVersion: expected}}
}
