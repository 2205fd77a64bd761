package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// createTasks makes tasks from their JSON.
func createTasks(t *testing.T, url string, drafts ...string) {
	t.Helper()
	for _, draft := range drafts {
		if r := descartes(t, "call", "--url", url, "task.create", draft); r.code != 0 {
			t.Fatalf("create %s: %+v", draft, r)
		}
	}
}

// getTask gives a task as it is.
func getTask(t *testing.T, url, id string) *schema.Task {
	t.Helper()
	r := descartes(t, "call", "--url", url, "task.get", `{"id":"`+id+`"}`)
	task, err := schema.ParseTask([]byte(r.out))
	if err != nil {
		t.Fatalf("get %s: %+v: %v", id, r, err)
	}
	return task
}

// claimTask claims with the command.
func claimTask(t *testing.T, url string, flags ...string) (claimed struct {
	Task       schema.Task `json:"task"`
	LeaseToken string      `json:"lease_token"`
	ExpiresAt  int64       `json:"expires_at"`
},
) {
	t.Helper()
	r := descartes(t, append([]string{"claim", "--url", url, "--assigned-to", "me"}, flags...)...)
	if err := json.Unmarshal([]byte(r.out), &claimed); err != nil || r.code != 0 || r.errors != "" || strings.Count(r.out, "\n") != 1 {
		t.Fatalf("claim: %+v: %v", r, err)
	}
	return claimed
}

func TestClaim(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"low","title":"t","priority":"low"}`, `{"id":"a","title":"t"}`, `{"id":"b","title":"t"}`,
		`{"id":"waits","title":"t","priority":"critical","dependencies":["low"]}`)
	first := claimTask(t, url, "--lease", "1h")
	left := time.Until(time.UnixMilli(first.ExpiresAt))
	if first.Task.ID != "a" || first.Task.Status != schema.InProgress || first.LeaseToken == "" || left < 30*time.Minute || left > time.Hour {
		t.Errorf("claimed %+v", first)
	}
	if low := claimTask(t, url, "--id", "low"); low.Task.ID != "low" {
		t.Errorf("claimed %s, want low", low.Task.ID)
	}
	if b := claimTask(t, url, "--filter", `{"text":"t"}`); b.Task.ID != "b" {
		t.Errorf("claimed %s, want b", b.Task.ID)
	}
	for _, wait := range []string{"0s", "10ms"} {
		if r := descartes(t, "claim", "--url", url, "--assigned-to", "me", "--wait", wait); r != (result{exitNothing, "", ""}) {
			t.Errorf("with nothing ready: %+v", r)
		}
	}
	if r := descartes(t, "claim", "--url", url, "--assigned-to", "me", "--id", "nobody"); r.code != 1 || !strings.HasPrefix(r.errors, "error -32001 ") {
		t.Errorf("%+v", r)
	}
}

// A claim that waits gets the task that becomes ready.
func TestClaimWaits(t *testing.T) {
	url := tempDaemon(t).urls[0]
	claimed := make(chan result, 1)
	go func() { claimed <- descartes(t, "claim", "--url", url, "--assigned-to", "me", "--wait", "10m") }()
	createTasks(t, url, `{"id":"a","title":"<&>"}`)
	if r := <-claimed; r.code != 0 || !strings.HasPrefix(r.out, `{"task":{"id":"a","title":"<&>",`) {
		t.Errorf("%+v", r)
	}
}

// A wait is made of requests that wait for at most a minute each.
func TestLongWaits(t *testing.T) {
	for _, test := range []struct {
		wait time.Duration
		want []int64
		got  bool
	}{
		{0, []int64{0}, false},
		{time.Second, []int64{1000}, false},
		{time.Minute, []int64{60_000}, false},
		{150 * time.Second, []int64{60_000, 60_000, 30_000}, false},
		{time.Hour, []int64{60_000, 60_000, 60_000, 60_000}, true},
		{-1, []int64{60_000, 60_000, 60_000, 60_000}, true},
	} {
		var asked []int64
		claimed, err := awaitClaim(schema.ClaimParams{}, test.wait, func(p schema.ClaimParams) (*schema.ClaimResult, error) {
			if asked = append(asked, *p.WaitMS); len(asked) == 4 {
				return new(schema.ClaimResult), nil
			}
			return nil, nil
		})
		if err != nil || (claimed != nil) != test.got || !slices.Equal(asked, test.want) {
			t.Errorf("%s: asked %v, want %v; %v", test.wait, asked, test.want, claimed)
		}
	}
}

func TestRenewAndRelease(t *testing.T) {
	url := tempDaemon(t).urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`)
	t.Setenv("DESCARTES_URL", url)
	c := claimTask(t, url)
	var renewed schema.RenewResult
	if r := descartes(t, "renew", "--lease", "1h", "a", c.LeaseToken); json.Unmarshal([]byte(r.out), &renewed) != nil || renewed.ExpiresAt <= c.ExpiresAt {
		t.Errorf("renew: %+v", r)
	}
	released := descartes(t, "release", "a", c.LeaseToken)
	if task, err := schema.ParseTask([]byte(released.out)); err != nil || task.Status != schema.Todo || task.AssignedTo != nil || !task.Ready {
		t.Errorf("release: %+v", released)
	}
	for _, command := range []string{"renew", "release"} {
		if r := descartes(t, command, "a", c.LeaseToken); r.code != 1 || r.out != "" || !strings.HasPrefix(r.errors, "error -32011 lease_lost: ") {
			t.Errorf("%s after the release: %+v", command, r)
		}
	}
	// What a command under "work" does.
	t.Setenv(taskVariable, "a")
	t.Setenv(leaseVariable, claimTask(t, url).LeaseToken)
	if r := descartes(t, "renew"); r.code != 0 {
		t.Errorf("renew by the environment: %+v", r)
	}
	if r := descartes(t, "release", "--status", "Done"); r.code != 0 || getTask(t, url, "a").Status != schema.Done {
		t.Errorf("release by the environment: %+v", r)
	}
}

// With a token a claim is for the name of that.
func TestClaimWithToken(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	added := descartes(t, "token", "add", "robot", "--db", db, "--scope", "write")
	t.Setenv("DESCARTES_TOKEN", strings.TrimSpace(added.out))
	url := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0").urls[0]
	createTasks(t, url, `{"id":"a","title":"t"}`)
	if r := descartes(t, "claim", "--url", url); r.code != 0 || !strings.Contains(r.out, `"assigned_to":"robot"`) || !strings.Contains(r.out, `"leased_by":"robot"`) {
		t.Errorf("%+v", r)
	}
}

func TestClaimCommandLine(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"claim", "say who claims with --assigned-to NAME"},
		{"claim --assigned-to me a", "a task is named with --id"},
		{"claim --assigned-to me --wait -1s", "--wait must be at least 0s"},
		{"claim --assigned-to me --lease 10ms", "--lease must be 1s to 24h"},
		{"claim --assigned-to me --filter {", "--filter must be JSON"},
		{`claim --assigned-to me --filter {"stats":[]}`, "did you mean status?"},
		{`claim --assigned-to me --id a/b`, "id must be"},
		{"renew", "say which claim: descartes renew ID LEASE_TOKEN; DESCARTES_TASK_ID and DESCARTES_LEASE_TOKEN say it, too"},
		{"renew a", "lease_token must be"},
		{"renew a b --lease 10ms", "--lease must be 1s to 24h\n"},
		{"release a b c", "takes the id of a task and the lease_token"},
		{"release a b --status open", "--status must be one of todo, in_progress, blocked, done\n"},
		{"release a b --status in-progres", "--status must be one of todo, in_progress, blocked, done; did you mean in_progress?\n"},
		{"work --assigned-to me", "say what to run"},
		{"work true", "say who claims"},
		{"work --assigned-to me --wait -1s true", "--wait must be at least 0s"},
		{"work --assigned-to me --parallel 0 true", "--parallel must be at least 1"},
		{"work --assigned-to me --once --parallel 2 true", "leave out --parallel"},
		{"work --assigned-to me --grace -1s true", "--grace must be at least 0s"},
		{"work --assigned-to me --on-failure done true", "--on-failure must be todo or blocked"},
		{"work --assigned-to me -- no-such-command --flag", `there is no command "no-such-command"`},
	} {
		r := descartes(t, strings.Fields(test.args)...)
		if r.code != exitUsage || r.out != "" || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%q: %+v, want %q", test.args, r, test.says)
		}
	}
}
