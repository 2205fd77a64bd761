package mcp_test

import (
	"context"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/cmd/descartes/mcp"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

func plan(a *agent, ids ...string) {
	a.t.Helper()
	for _, id := range ids {
		a.ok("create_tasks", `{"tasks":[{"id":"`+id+`","title":"do `+id+`"}]}`, nil)
	}
}

// nextStatus waits until a task changes its status.
func nextStatus(next func() schema.Event, id string) (schema.Status, schema.Origin) {
	for {
		if e := next(); e.TaskID == id && e.PreviousStatus != e.NewStatus {
			return e.NewStatus, e.Origin
		}
	}
}

// While the session lives its claims are renewed: somebody who waits for longer than
// the lease does not get the task. When it ends they are released at once.
func TestClaimsLiveWithTheSession(t *testing.T) {
	for name, end := range map[string]func(*agent){
		"the agent leaves":      func(a *agent) { a.end() },
		"Serve is told to stop": func(a *agent) { a.cancel(); a.end() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDaemon(t)
			a := newAgent(d, "worker", mcp.Options{Lease: 1500 * time.Millisecond})
			plan(a, "a", "b")
			a.ok("claim_task", `{"id":"a"}`, nil)
			a.ok("claim_task", `{"id":"b"}`, nil)
			next, other := d.events(), d.dial()
			got, err := other.Claim(t.Context(), schema.ClaimParams{AssignedTo: "other", WaitMS: new(int64(2500))})
			if err != nil || got != nil {
				t.Fatalf("somebody else got %+v, %v", got, err)
			}
			a.ok("renew_task", `{"id":"a","lease_seconds":3600}`, nil)
			end(a)
			for range 2 {
				if e := next(); e.NewStatus != schema.Todo || e.Origin != schema.OriginRPC {
					t.Errorf("the claim ended with %+v", e)
				}
			}
		})
	}
}

func TestRenew(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	plan(a, "a")
	a.ok("claim_task", `{}`, nil)
	var renewed struct {
		ExpiresAt int64 `json:"expires_at"`
	}
	if says := a.ok("renew_task", `{"id":"a","lease_seconds":86400}`, &renewed); says != "You still hold a." {
		t.Error(says)
	}
	if left := time.Until(time.UnixMilli(renewed.ExpiresAt)); left < 23*time.Hour {
		t.Errorf("%s are left", left)
	}
}

// A session that has lost a claim cannot change the task any more, says so, and
// keeps saying so until it claims the task again or overrules.
func TestLostClaim(t *testing.T) {
	d := startDaemon(t)
	a, person := newAgent(d, "worker", mcp.Options{}), d.dial()
	plan(a, "a")
	a.ok("claim_task", `{}`, nil)
	take := func() *client.Claimed { // by somebody else, after a person has overruled
		t.Helper()
		_, err := person.Update(t.Context(), schema.UpdateParams{ID: "a", Patch: schema.Patch{Status: schema.Some(schema.Todo)}})
		must(t, err)
		got, err := person.Claim(t.Context(), schema.ClaimParams{AssignedTo: "other"})
		must(t, err)
		return got
	}
	other := take()
	const lost = "Your claim of a is lost: its lease ran out, or somebody changed its status. Nothing was changed. "
	for _, call := range []struct{ tool, arguments string }{
		{"finish_task", `{"id":"a"}`},
		{"update_task", `{"id":"a","priority":"low"}`},
		{"update_task", `{"id":"a","status":"blocked"}`},
		{"renew_task", `{"id":"a"}`},
		{"release_task", `{"id":"a"}`},
	} {
		want := lost + "It is now in_progress, claimed by other. Stop the work on it and call claim_task for another task."
		if says := a.refused(call.tool, call.arguments); says != want {
			t.Errorf("%s: %s", call.tool, says)
		}
	}
	task, err := person.Release(t.Context(), schema.ReleaseParams{ID: "a", LeaseToken: other.LeaseToken})
	must(t, err)
	if task.Priority != schema.Medium {
		t.Errorf("a lost claim has changed %+v", task)
	}
	if says := a.refused("finish_task", `{"id":"a"}`); !strings.Contains(says, "It is now todo, claimed by nobody.") {
		t.Error(says)
	}
	a.ok("claim_task", `{"id":"a"}`, nil)
	a.ok("renew_task", `{"id":"a"}`, nil)
	take()
	a.refused("update_task", `{"id":"a","priority":"low"}`)
	var got changed
	if a.ok("update_task", `{"id":"a","status":"done","overrule":true}`, &got); got.Task.Status != schema.Done {
		t.Errorf("%+v", got)
	}
	if says := a.refused("finish_task", `{"id":"a"}`); says != "a is done already; there is nothing to do. Call claim_task for another task." {
		t.Error(says)
	}
}

// What the renewal hears is what the next call says.
func TestRenewalFindsTheLoss(t *testing.T) {
	d := startDaemon(t)
	var said warnings
	lost := make(chan string, 1)
	a := newAgent(d, "worker", mcp.Options{Lease: time.Second, Warn: func(text string) { said.add(text); lost <- text }})
	plan(a, "a")
	a.ok("claim_task", `{}`, nil)
	_, err := d.dial().Delete(t.Context(), schema.DeleteParams{ID: "a"})
	must(t, err)
	if text := await(t, lost); text != "the claim of a is lost" {
		t.Error(text)
	}
	if says := a.refused("finish_task", `{"id":"a"}`); says != "Your claim of a is lost: the task was deleted. Stop the work on it and call claim_task for another task." {
		t.Error(says)
	}
}

// Nobody takes a task away from somebody else by mistake.
func TestOthersClaimsAreLeftAlone(t *testing.T) {
	d := startDaemon(t)
	a, b := newAgent(d, "a", mcp.Options{}), newAgent(d, "b", mcp.Options{})
	plan(a, "x")
	a.ok("claim_task", `{}`, nil)
	for _, call := range []struct{ tool, arguments, says string }{
		{"update_task", `{"id":"x","status":"done"}`, "x is claimed by a, and this would end that claim; nothing was changed. Leave it to them, or, if a person asked for it, call this again with overrule true."},
		{"delete_task", `{"id":"x"}`, "x is claimed by a, and this would end that claim; nothing was changed. Leave it to them, or, if a person asked for it, call this again with overrule true."},
		{"finish_task", `{"id":"x"}`, "x is claimed by a, not by this session; nothing was changed. Call claim_task for another task."},
		{"release_task", `{"id":"x"}`, "x is claimed by a, not by this session; nothing was changed. Call claim_task for another task."},
		{"update_task", `{"id":"x","status":"in_progress"}`, "status in_progress is set by claim_task, which also keeps others off the task; nothing was changed. Call claim_task with id x."},
	} {
		if says := b.refused(call.tool, call.arguments); says != call.says {
			t.Errorf("%s %s: %s", call.tool, call.arguments, says)
		}
	}
	var got changed
	if b.ok("update_task", `{"id":"x","priority":"high"}`, &got); *got.Task.LeasedBy != "a" || got.Held {
		t.Errorf("%+v", got)
	}
	if says := b.ok("claim_task", `{"id":"x"}`, nil); says != "x is in_progress, claimed by a. You have not claimed it. Call claim_task without id for another task." {
		t.Error(says)
	}
	b.ok("delete_task", `{"id":"x","overrule":true}`, nil)
	if says := a.refused("finish_task", `{"id":"x"}`); !strings.Contains(says, "the task was deleted") {
		t.Error(says)
	}
}

// A call that waits gets what becomes ready, and holds up nothing meanwhile.
func TestClaimWaits(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	answers := a.begin(t.Context(), "claim_task", `{"wait_seconds":50}`)
	plan(a, "a")
	got := await(t, answers)
	if got.err != nil || !strings.HasPrefix(textOf(got.result), "You have claimed a: do a.") {
		t.Errorf("%+v", got)
	}
}

// A call that the agent has given up waits no longer, also at the daemon, where a
// connection may have 16 that do; a task that comes afterwards is nobody's.
func TestAbandonedClaim(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	next := d.events()
	c := d.dial()
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		answers := a.begin(ctx, "claim_task", `{"wait_seconds":50}`)
		waiting(t, c, 1)
		cancel()
		if got := await(t, answers); got.err == nil {
			t.Fatal("the call was not cancelled")
		}
		waiting(t, c, 0)
	}
	plan(a, "a")
	var got claimed
	if a.ok("claim_task", `{"wait_seconds":50}`, &got); !got.Claimed {
		t.Error("the task is not free")
	}
	for _, want := range []schema.Status{schema.Todo, schema.InProgress} {
		if status, origin := nextStatus(next, "a"); status != want || origin != schema.OriginRPC {
			t.Fatalf("%s by %s, want %s", status, origin, want)
		}
	}
}

// waiting returns when so many claims wait at the daemon.
func waiting(t *testing.T, c *client.Client, want int64) {
	t.Helper()
	for {
		stats, err := c.Stats(t.Context())
		must(t, err)
		if stats.WaitingClaims == want {
			return
		}
	}
}

// A call that waits does not keep a session from ending.
func TestStopWhileClaiming(t *testing.T) {
	a := newAgent(startDaemon(t), "worker", mcp.Options{})
	a.begin(t.Context(), "claim_task", `{"wait_seconds":50}`)
	a.cancel()
	a.end()
}

// The session sees that its claim is gone also by reading the task.
func TestReadingFindsTheLoss(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	plan(a, "a")
	a.ok("claim_task", `{}`, nil)
	if says := a.ok("get_task", `{"id":"a"}`, nil); says != "a is in_progress, claimed by this session." {
		t.Error(says)
	}
	_, err := d.dial().Update(t.Context(), schema.UpdateParams{ID: "a", Patch: schema.Patch{Status: schema.Some(schema.Blocked)}})
	must(t, err)
	if says := a.ok("get_task", `{"id":"a"}`, nil); says != "a is blocked." {
		t.Error(says)
	}
	if says := a.refused("update_task", `{"id":"a","title":"x"}`); !strings.HasPrefix(says, "Your claim of a is lost") {
		t.Error(says)
	}
}

// The daemon is stopped and started again beneath a session: calls wait for it, the
// claim holds, and nothing is lost.
func TestDaemonRestarts(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{Patience: time.Minute})
	plan(a, "a", "b")
	a.ok("claim_task", `{"id":"a"}`, nil)
	a.watch("descartes://task/a")
	d.stop()
	answers := a.begin(t.Context(), "get_task", `{"id":"a"}`)
	d.start()
	if got := await(t, answers); got.err != nil || textOf(got.result) != "a is in_progress, claimed by this session." {
		t.Fatalf("%+v", got)
	}
	a.ok("update_task", `{"id":"a","priority":"high"}`, nil)
	if uri := await(t, a.updated); uri != "descartes://task/a" {
		t.Error(uri)
	}
	a.ok("finish_task", `{"id":"a"}`, nil)
	a.ok("claim_task", `{"id":"b"}`, nil)
}

// A session without a daemon says what is missing, and works once there is one.
func TestDaemonIsAway(t *testing.T) {
	d := startDaemon(t)
	d.stop()
	var said warnings
	a := newAgent(d, "worker", mcp.Options{Patience: time.Millisecond, Warn: said.add})
	says := a.refused("list_tasks", `{}`)
	if !strings.HasPrefix(says, "The daemon is away: no daemon answers (dial tcp "+d.address+": ") ||
		!strings.HasSuffix(says, `It was tried for 1ms; nothing was changed. Every call tries again: call this once more in a moment, or ask a person to start "descartes serve".`) {
		t.Error(says)
	}
	if err := a.Subscribe(t.Context(), &sdk.SubscribeParams{URI: "descartes://tasks"}); err == nil && a.InitializeResult().ProtocolVersion < protocols[1] {
		t.Error("subscribed without a daemon")
	}
	d.start()
	a.ok("list_tasks", `{}`, nil)
	if text := said.String(); !strings.HasPrefix(text, "no daemon answers (dial tcp "+d.address+": ") {
		t.Error(text)
	}
}
