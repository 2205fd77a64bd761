package mcp_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/cmd/descartes/mcp"
	"github.com/descartes-tasks/descartes/schema"
)

// content reads a resource into out.
func (a *agent) content(uri string, out any) {
	a.t.Helper()
	result, err := a.ReadResource(a.t.Context(), &sdk.ReadResourceParams{URI: uri})
	must(a.t, err)
	if c := result.Contents[0]; len(result.Contents) != 1 || c.URI != uri || c.MIMEType != "application/json" {
		a.t.Fatalf("%+v", c)
	}
	must(a.t, json.Unmarshal([]byte(result.Contents[0].Text), out))
}

// notFound reads a resource that is not there.
func (a *agent) notFound(uri string) {
	a.t.Helper()
	_, err := a.ReadResource(a.t.Context(), &sdk.ReadResourceParams{URI: uri})
	if wire, ok := errors.AsType[*jsonrpc.Error](err); !ok || wire.Code != jsonrpc.CodeInvalidParams {
		a.t.Errorf("%s: %v", uri, err)
	}
}

// awaitUpdates waits until each of the resources was notified.
func (a *agent) awaitUpdates(uris ...string) {
	a.t.Helper()
	missing := make(map[string]bool)
	for _, uri := range uris {
		missing[uri] = true
	}
	for len(missing) > 0 {
		uri := await(a.t, a.updated)
		if !strings.HasPrefix(uri, "descartes://task") {
			a.t.Fatalf("notified of %s", uri)
		}
		delete(missing, uri)
	}
}

func TestResources(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			d := startDaemon(t)
			a, person := newAgent(d, "worker", mcp.Options{}, protocol), d.dial()
			resources, err := a.ListResources(t.Context(), nil)
			must(t, err)
			templates, err := a.ListResourceTemplates(t.Context(), nil)
			must(t, err)
			if len(resources.Resources) != 2 || len(templates.ResourceTemplates) != 1 {
				t.Errorf("%+v, %+v", resources, templates)
			}
			plan(a, "a:1")
			const task, all, ready = "descartes://task/a:1", "descartes://tasks", "descartes://tasks/ready"
			for _, uri := range []string{task, all, ready} {
				a.watch(uri)
			}
			var got schema.Task
			if a.content(task, &got); got.Title != "do a:1" {
				t.Errorf("%+v", got)
			}
			_, err = person.Update(t.Context(), schema.UpdateParams{ID: "a:1", Patch: schema.Patch{Status: schema.Some(schema.Blocked)}})
			must(t, err)
			a.awaitUpdates(task, all, ready)
			var list taskList
			if a.content(ready, &list); len(list.Tasks) != 0 {
				t.Errorf("ready are %+v", list)
			}
			if a.content(all, &list); len(list.Tasks) != 1 || list.Tasks[0].Status != schema.Blocked {
				t.Errorf("all are %+v", list)
			}
			must(t, a.Unsubscribe(t.Context(), &sdk.UnsubscribeParams{URI: all}))
			_, err = person.Delete(t.Context(), schema.DeleteParams{ID: "a:1"})
			must(t, err)
			a.awaitUpdates(task)
			a.notFound(task)
			for _, uri := range []string{"descartes://task/", "descartes://task/a%3A1", "descartes://task/a/b", "descartes://board", "file:///etc/passwd"} {
				a.notFound(uri)
			}
		})
	}
}

// What is nowhere cannot be watched.
func TestSubscribeToNothing(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{}, protocols[0])
	for _, uri := range []string{"descartes://task/a", "descartes://board"} {
		err := a.Subscribe(t.Context(), &sdk.SubscribeParams{URI: uri})
		if wire, ok := errors.AsType[*jsonrpc.Error](err); !ok || wire.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// Where a subscription cannot be continued, since the journal is another one, all that
// is watched may have changed.
func TestAnotherDatabase(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{})
	plan(a, "a")
	a.watch("descartes://task/a")
	d.stop()
	d.path += ".other"
	d.start()
	a.awaitUpdates("descartes://task/a")
	a.notFound("descartes://task/a")
	plan(a, "a")
	a.awaitUpdates("descartes://task/a")
}

// A busy daemon does not drown an agent, which is told of the last change all the same.
func TestManyChangesFewNotifications(t *testing.T) {
	d := startDaemon(t)
	a, person := newAgent(d, "worker", mcp.Options{}), d.dial()
	plan(a, "a")
	a.watch("descartes://tasks")
	a.watch("descartes://task/a")
	const changes = 300
	for range changes {
		_, err := person.Create(t.Context(), schema.Draft{Title: "one of many"})
		must(t, err)
	}
	_, err := person.Update(t.Context(), schema.UpdateParams{ID: "a", Patch: schema.Patch{Title: schema.Some("the last")}})
	must(t, err)
	var many int
	for uri := range a.updated {
		many++
		if uri == "descartes://task/a" {
			break
		}
	}
	if many > changes/3 {
		t.Errorf("%d notifications for %d changes", many, changes)
	}
}
