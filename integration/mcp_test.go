package integration

import (
	"context"
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// agent is a session of the SDK's client with a "descartes mcp" of its own.
type agent struct {
	*sdk.ClientSession
	t       *testing.T
	command *exec.Cmd
	updated chan string // resources that have changed
	acked   chan struct{}
}

func (d *daemon) agent(name string, flags ...string) *agent {
	d.t.Helper()
	a := &agent{
		t: d.t, command: exec.Command(binary, append([]string{"mcp", "--url", d.url}, flags...)...),
		updated: make(chan string, 1000), acked: make(chan struct{}, 100),
	}
	a.command.Stderr = testLog{d.t}
	c := sdk.NewClient(&sdk.Implementation{Name: name}, &sdk.ClientOptions{
		ResourceUpdatedHandler: func(_ context.Context, r *sdk.ResourceUpdatedNotificationRequest) { a.updated <- r.Params.URI },
	})
	c.AddReceivingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, r sdk.Request) (sdk.Result, error) {
			if method == "notifications/subscriptions/acknowledged" {
				a.acked <- struct{}{}
			}
			return next(ctx, method, r)
		}
	})
	var err error
	if a.ClientSession, err = c.Connect(d.t.Context(), &sdk.CommandTransport{Command: a.command}, nil); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { a.Close() })
	return a
}

// use calls a tool and reads its result into out.
func (a *agent) use(ctx context.Context, tool, arguments string, out any) error {
	result, err := a.CallTool(ctx, &sdk.CallToolParams{Name: tool, Arguments: json.RawMessage(arguments)})
	if err != nil {
		return err
	}
	if result.IsError {
		a.t.Errorf("%s %s: %s", tool, arguments, result.Content[0].(*sdk.TextContent).Text)
	}
	encoded, err := json.Marshal(result.StructuredContent)
	if err != nil {
		return err
	}
	return json.Unmarshal(encoded, out)
}

// must is use for calls that have to succeed.
func (a *agent) must(tool, arguments string, out any) {
	a.t.Helper()
	if err := a.use(a.t.Context(), tool, arguments, out); err != nil {
		a.t.Fatal(err)
	}
}

// read reads a task as a resource.
func (a *agent) read(id string) (task schema.Task) {
	a.t.Helper()
	result, err := a.ReadResource(a.t.Context(), &sdk.ReadResourceParams{URI: "descartes://task/" + id})
	if err == nil {
		err = json.Unmarshal([]byte(result.Contents[0].Text), &task)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return task
}

type mcpClaim struct {
	Claimed bool
	Task    schema.Task
}

// work claims and finishes tasks until ctx ends, and notes whose each was.
func (a *agent) work(ctx context.Context, name string, did func(id, name string)) {
	for {
		var c mcpClaim
		if err := a.use(ctx, "claim_task", `{"wait_seconds":20}`, &c); err != nil || !c.Claimed {
			if ctx.Err() == nil {
				a.t.Errorf("%s has claimed nothing: %v", name, err)
			}
			return
		}
		var finished struct{ Task schema.Task }
		if err := a.use(context.WithoutCancel(ctx), "finish_task", `{"id":"`+c.Task.ID+`","result":"by `+name+`"}`, &finished); err != nil {
			a.t.Error(err)
		}
		did(c.Task.ID, name)
	}
}

// One agent plans five tasks, two others claim and finish them, a third one watches:
// what each of them saw is what the journal has.
func TestAgentsShareAPlan(t *testing.T) {
	d := serve(t, database(t))
	planner, watcher := d.agent("planner"), d.agent("watcher")
	var plan struct{ Tasks []schema.Task }
	planner.must("create_tasks", `{"tasks":[
		{"ref":"ship","title":"Ship","dependencies":["docs","test"]},
		{"ref":"test","title":"Test","dependencies":["write"]},
		{"ref":"docs","title":"Describe","dependencies":["write"]},
		{"ref":"write","title":"Write","dependencies":["design"]},
		{"ref":"design","title":"Design"}]}`, &plan)
	for _, task := range plan.Tasks {
		if err := watcher.Subscribe(t.Context(), &sdk.SubscribeParams{URI: "descartes://task/" + task.ID}); err != nil {
			t.Fatal(err)
		}
		<-watcher.acked
	}
	workers := make(map[string]string) // task -> worker
	var mu sync.Mutex
	var working sync.WaitGroup
	ctx, allDone := context.WithTimeout(t.Context(), time.Minute)
	defer allDone()
	for _, name := range []string{"Ada", "Bob"} {
		a := d.agent("worker", "--assigned-to", name)
		working.Go(func() {
			a.work(ctx, name, func(id, name string) {
				mu.Lock()
				defer mu.Unlock()
				if workers[id] = name; len(workers) == len(plan.Tasks) {
					allDone()
				}
			})
		})
	}
	watched := make(map[string]schema.Task)
	for len(watched) < len(plan.Tasks) {
		select {
		case uri := <-watcher.updated:
			if task := watcher.read(uri[len("descartes://task/"):]); task.Status == schema.Done {
				watched[task.ID] = task
			}
		case <-time.After(time.Minute):
			t.Fatalf("the watcher has seen only %v", watched)
		}
	}
	working.Wait()
	checkPlanInJournal(t, d.dial(), plan.Tasks, workers, watched)
}

// checkPlanInJournal compares what agents saw with the journal.
func checkPlanInJournal(t *testing.T, c *client.Client, plan []schema.Task, workers map[string]string, watched map[string]schema.Task) {
	t.Helper()
	journal, err := c.History(t.Context(), schema.HistoryParams{Limit: new(int64(1000))})
	if err != nil {
		t.Fatal(err)
	}
	statuses := make(map[string][]schema.Status)
	done := make(map[string]bool)
	for _, e := range journal.Events {
		var task schema.Task
		if err := json.Unmarshal(e.Task, &task); err != nil {
			t.Fatal(err)
		}
		if e.ChangeType == schema.Created && e.TxLast != int64(len(plan)) {
			t.Errorf("the plan was made in several commits: %+v", e)
		}
		if e.Origin != schema.OriginRPC {
			t.Errorf("a claim ran out: %+v", e)
		}
		if e.PreviousStatus == e.NewStatus {
			continue
		}
		statuses[task.ID] = append(statuses[task.ID], e.NewStatus)
		switch task.Status {
		case schema.InProgress:
			if *task.LeasedBy != workers[task.ID] || slices.ContainsFunc(task.Dependencies, func(id string) bool { return !done[id] }) {
				t.Errorf("%s was claimed by %s, not %s, or too early", task.ID, *task.LeasedBy, workers[task.ID])
			}
		case schema.Done:
			done[task.ID] = true
			if want := `{"result":"by ` + workers[task.ID] + `"}`; string(task.Metadata) != want || watched[task.ID].Version != e.Seq {
				t.Errorf("%s ended at %d as %s, want %s; the watcher saw %+v", task.ID, e.Seq, task.Metadata, want, watched[task.ID])
			}
		}
	}
	if len(done) != len(plan) {
		t.Errorf("done are %v", slices.Collect(maps.Keys(done)))
	}
	for id, s := range statuses {
		if !slices.Equal(s, []schema.Status{schema.Todo, schema.InProgress, schema.Done}) {
			t.Errorf("%s was %v", id, s)
		}
	}
}

// However a session ends, its claims end: at once, unless it is killed.
func TestAgentLeaves(t *testing.T) {
	signal := func(s syscall.Signal) func(*agent) error {
		return func(a *agent) error { return a.command.Process.Signal(s) }
	}
	for name, test := range map[string]struct {
		lease  string
		end    func(*agent) error
		origin schema.Origin
	}{
		"standard input is closed": {"60s", func(a *agent) error { return a.Close() }, schema.OriginRPC},
		"SIGTERM":                  {"60s", signal(syscall.SIGTERM), schema.OriginRPC},
		"SIGINT":                   {"60s", signal(syscall.SIGINT), schema.OriginRPC},
		"SIGKILL":                  {"2s", signal(syscall.SIGKILL), schema.OriginLease},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := serve(t, database(t))
			c := d.dial()
			task := create(t, c, "to be claimed")
			a := d.agent("worker", "--lease", test.lease)
			var got mcpClaim
			a.must("claim_task", `{}`, &got)
			if !got.Claimed || *got.Task.LeasedBy != "worker" {
				t.Fatalf("%+v", got)
			}
			events := subscribe(t, c, schema.SubscribeParams{})
			if err := test.end(a); err != nil {
				t.Fatal(err)
			}
			e := next(t, events)
			if e.TaskID != task.ID || e.NewStatus != schema.Todo || e.Origin != test.origin {
				t.Errorf("the claim ended with %+v", e)
			}
			err := a.Close()
			if code := a.command.ProcessState.ExitCode(); code != 0 && test.origin == schema.OriginRPC {
				t.Errorf("it exits with %d, %v", code, err)
			}
		})
	}
}
