package mcp_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/cmd/descartes/mcp"
	"github.com/descartes-tasks/descartes/schema"
)

type taskList struct {
	Tasks []struct {
		Ref string
		schema.Task
	}
	NextPageToken string `json:"next_page_token"`
}

type claimed struct {
	Claimed   bool
	Task      schema.Task
	ExpiresAt int64 `json:"expires_at"`
}

type changed struct {
	Task     schema.Task
	Held     bool
	WaitsFor []string `json:"waits_for"`
}

// resultOf gives what finish_task has kept.
func resultOf(t *testing.T, task *schema.Task) string {
	t.Helper()
	var metadata struct{ Result string }
	must(t, json.Unmarshal(task.Metadata, &metadata))
	return metadata.Result
}

// A plan is made in one commit, whatever the order of its tasks, and worked off in
// the order of its dependencies.
func TestPlanAndWork(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			d := startDaemon(t)
			a := newAgent(d, "worker", mcp.Options{}, protocol)
			var plan taskList
			says := a.ok("create_tasks", `{"tasks":[
				{"ref":"ship","title":"Ship it","dependencies":["test","write"],"priority":"critical"},
				{"ref":"test","title":"Test it","dependencies":["write"],"description":null},
				{"ref":"write","title":"Write it","metadata":{"files":["a.go",null]},"priority":null}]}`, &plan)
			ship, write := plan.Tasks[0], plan.Tasks[2]
			if want := "Created 3, of which 1 can be claimed now: " + write.ID + "."; says != want || ship.Ref != "ship" || ship.Ready {
				t.Fatalf("%s, %+v", says, plan)
			}
			events, err := d.dial().History(t.Context(), schema.HistoryParams{})
			must(t, err)
			if len(events.Events) != 3 || events.Events[0].TxLast != 3 || events.Events[0].TaskID != write.ID {
				t.Fatalf("the journal has %+v", events.Events)
			}
			var got changed
			a.ok("get_task", `{"id":"`+ship.ID+`"}`, &got)
			if slices.Sort(got.WaitsFor); len(got.WaitsFor) != 2 {
				t.Errorf("waits for %v", got.WaitsFor)
			}
			for _, want := range []string{"Write it", "Test it", "Ship it"} {
				var c claimed
				var got changed
				a.ok("claim_task", `{}`, &c)
				if !c.Claimed || c.Task.Title != want || *c.Task.LeasedBy != "worker" || *c.Task.AssignedTo != "worker" || c.ExpiresAt == 0 {
					t.Fatalf("claimed %+v, want %s", c, want)
				}
				a.ok("update_task", `{"id":"`+c.Task.ID+`","metadata":{"step":1}}`, &got)
				if !got.Held {
					t.Error("an update has ended the claim")
				}
				a.ok("finish_task", `{"id":"`+c.Task.ID+`","result":"as <planned>"}`, &got)
				if got.Held || got.Task.Status != schema.Done || resultOf(t, &got.Task) != "as <planned>" {
					t.Errorf("finished %+v", got)
				}
			}
			if says := a.ok("claim_task", `null`, nil); !strings.HasPrefix(says, "No task is ready that matches; you have claimed nothing.") {
				t.Error(says)
			}
		})
	}
}

func TestLists(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{Name: "Ada"})
	a.ok("create_tasks", `{"tasks":[{"id":"a","title":"low one","priority":"low"},{"id":"b","title":"high one","priority":"high"},{"id":"c","title":"later","dependencies":["a"]}]}`, nil)
	ids := func(tool, arguments string) string {
		t.Helper()
		var list taskList
		a.ok(tool, arguments, &list)
		var ids []string
		for _, task := range list.Tasks {
			ids = append(ids, task.ID)
		}
		return strings.Join(ids, " ")
	}
	for _, test := range []struct{ tool, arguments, want string }{
		{"list_ready_tasks", `{}`, "b a"},
		{"list_ready_tasks", `{"priority_at_least":"medium"}`, "b"},
		{"list_ready_tasks", `{"text":"low","limit":null}`, "a"},
		{"list_tasks", `{}`, "a b c"},
		{"list_tasks", `{"ready":false}`, "c"},
		{"list_tasks", `{"ids":["a","c"],"order":"-title"}`, "a c"},
		{"list_tasks", `{"assigned_to":["Ada"]}`, ""},
		{"list_tasks", `{"assigned_to":[null],"status":["todo"]}`, "a b c"},
	} {
		if got := ids(test.tool, test.arguments); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.tool, test.arguments, got, test.want)
		}
	}
	var page taskList
	says := a.ok("list_tasks", `{"limit":2}`, &page)
	if says != "2 tasks, and there are more: give next_page_token as page_token." || ids("list_tasks", `{"limit":2,"page_token":"`+page.NextPageToken+`"}`) != "c" {
		t.Error(says, page)
	}
	if says := a.ok("list_ready_tasks", `{"text":"nothing"}`, nil); !strings.HasPrefix(says, "No task is ready that matches.") {
		t.Error(says)
	}
	var got claimed
	a.ok("claim_task", `{"id":"a"}`, &got)
	if !got.Claimed || *got.Task.LeasedBy != "Ada" {
		t.Errorf("%+v", got)
	}
	for arguments, want := range map[string]string{
		`{"id":"a"}`: "You have claimed a already: do it, then call finish_task.",
		`{"id":"c"}`: "c is todo and waits for a. You have not claimed it. Call claim_task without id for another task.",
	} {
		if says := a.ok("claim_task", arguments, &got); says != want || got.Claimed {
			t.Error(says, got)
		}
	}
}

func TestHistory(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	a.ok("create_tasks", `{"tasks":[{"id":"a","title":"one"},{"id":"b","title":"two"}]}`, nil)
	a.ok("claim_task", `{"id":"b"}`, nil)
	a.ok("release_task", `{"id":"b"}`, nil)
	type past struct {
		Events []struct {
			TaskID    string        `json:"task_id"`
			Title     string        `json:"title"`
			NewStatus schema.Status `json:"new_status"`
			Previous  map[string]any
		}
		Next, Oldest string
	}
	var all, first, rest past
	if says := a.ok("task_history", `{"id":"b"}`, &all); says != "3 changes, oldest first." || all.Next != "" {
		t.Error(says, all)
	}
	if e := all.Events[1]; e.Title != "two" || e.NewStatus != schema.InProgress || e.Previous["status"] != "todo" {
		t.Errorf("%+v", e)
	}
	a.ok("task_history", `{"limit":3}`, &first)
	a.ok("task_history", `{"since":"`+first.Next+`"}`, &rest)
	if len(first.Events) != 3 || len(rest.Events) != 1 || rest.Events[0].NewStatus != schema.Todo {
		t.Errorf("%+v, then %+v", first, rest)
	}
	if a.ok("task_history", `{"since":"`+rest.Oldest+`"}`, &all); len(all.Events) != 4 {
		t.Errorf("%+v", all)
	}
	var last, earlier past
	if says := a.ok("task_history", `{"before":"end","limit":1}`, &last); says != "1 changes, newest first. There are more: give next as before." || last.Events[0].NewStatus != schema.Todo {
		t.Error(says, last)
	}
	if a.ok("task_history", `{"before":"`+last.Next+`","id":"b"}`, &earlier); len(earlier.Events) != 2 || earlier.Events[0].NewStatus != schema.InProgress || earlier.Next != "" {
		t.Errorf("%+v", earlier)
	}
}

// What a task is updated to, and what that does to a claim.
func TestUpdateAndRelease(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	a.ok("create_tasks", `{"tasks":[{"id":"a","title":"one","description":"text","assigned_to":"Ada","metadata":{"x":1,"y":2}}]}`, nil)
	var got changed
	a.ok("update_task", `{"id":"a","description":null,"assigned_to":null,"metadata":{"x":null},"priority":"high"}`, &got)
	if got.Task.Description != nil || got.Task.AssignedTo != nil || string(got.Task.Metadata) != `{"y":2}` || got.Task.Priority != schema.High || got.Held {
		t.Errorf("%+v", got.Task)
	}
	a.ok("claim_task", `{"id":"a"}`, nil)
	if says := a.ok("release_task", `{"id":"a","status":"blocked"}`, &got); says != "a is blocked." || got.Held || got.Task.LeasedBy != nil {
		t.Error(says, got)
	}
	a.ok("update_task", `{"id":"a","status":"todo"}`, &got)
	a.ok("claim_task", `{"id":"a"}`, nil)
	if a.ok("update_task", `{"id":"a","status":"blocked"}`, &got); got.Held || got.Task.LeasedBy != nil {
		t.Errorf("%+v", got)
	}
	if says := a.refused("release_task", `{"id":"a"}`); says != "This session has not claimed a, which is blocked and claimed by nobody; nothing was changed. If it can be worked on, set it to todo with update_task, then call claim_task with id a." {
		t.Error(says)
	}
	a.ok("update_task", `{"id":"a","status":"todo"}`, &got)
	a.ok("claim_task", `{"id":"a"}`, nil)
	if says := a.ok("delete_task", `{"id":"a"}`, nil); says != "a is deleted." {
		t.Error(says)
	}
	if says := a.refused("finish_task", `{"id":"a"}`); says != "there is no task a. It was deleted, or the id is wrong: list_tasks shows what there is." {
		t.Error(says)
	}
}
