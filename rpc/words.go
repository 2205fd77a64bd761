package rpc

import (
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/descartes-tasks/descartes/schema"
)

// word says what a member is, wherever one of its name occurs. The bounds are of
// characters, of the value, or of items, whatever the member is made of.
type word struct {
	description string
	least, most int // most 0: no bounds
}

func (w word) addTo(s *jsonschema.Schema) {
	s.Description = w.description
	if w.most == 0 {
		return
	}
	switch has := func(t string) bool { return s.Type == t || slices.Contains(s.Types, t) }; {
	case len(s.Enum) > 0:
	case has("string"):
		s.MinLength, s.MaxLength = &w.least, &w.most
	case has("integer"):
		s.Minimum, s.Maximum = new(float64(w.least)), new(float64(w.most))
	case has("array"):
		s.MinItems, s.MaxItems = &w.least, &w.most
	}
}

// words are the members of params and results, by name.
var words = map[string]word{
	// of a task
	"id":           {"id of the task: letters, digits and . _ : -", 1, schema.MaxIDLength},
	"title":        {"not only white space", 1, schema.MaxTitle},
	"description":  {"free text, at most 64 KiB", 0, schema.MaxDescription},
	"status":       {"default todo; in a filter: any of these", 0, 0},
	"priority":     {"low to critical; default medium", 0, 0},
	"complexity":   {"trivial to epic; default moderate", 0, 0},
	"assigned_to":  {"who works on it, null: nobody; in a filter: any of these", 1, schema.MaxAssignedTo},
	"dependencies": {"ids of the tasks that have to be done first", 0, schema.MaxDependencies},
	"metadata":     {"any JSON object, at most 64 KiB; in an update it is merged, null takes a member out (RFC 7396)", 0, 0},
	"created_at":   {"Unix milliseconds", 0, 0},
	"updated_at":   {"Unix milliseconds", 0, 0},
	"version":      {"of a task: the seq of the change that made this state", 0, 0},
	"ready":        {"todo, every dependency done, no lease", 0, 0},
	"leased_by":    {"who holds the claim, null: nobody", 0, 0},

	// of requests
	"filter":              {"every given member has to match; an event is delivered when the task matches before or after it", 0, 0},
	"priority_at_least":   {"this priority or a higher one", 0, 0},
	"ids":                 {"any of these tasks", 0, 0},
	"text":                {"every word of it begins a word of title or description, in any case", 0, 0},
	"change_types":        {"any of these kinds of change", 0, 0},
	"status_changes_only": {"leave out changes that keep the status", 0, 0},
	"order":               {"default created_at; - in front: descending; ties by id", 0, 0},
	"limit":               {"items of a page, default 100", 1, schema.MaxLimit},
	"page_token":          {"next_page_token of the page before", 0, 0},
	"fresh":               {"in a cluster: with all that was acknowledged anywhere before; default false", 0, 0},
	"expected_version":    {"refuse with version_conflict if the task is at another version", 0, 0},
	"operations":          {"made in this order, all or none", 1, schema.MaxOperations},
	"op":                  {"what to do; the other members are the params of that method", 0, 0},
	"since":               {"a cursor, or start: everything that is retained after it", 0, 0},
	"before":              {"a cursor, or end: what is retained up to it, newest first; not together with since", 0, 0},
	"snapshot":            {"first every task that matches, as it is now; not together with since", 0, 0},
	"debounce_ms":         {"milliseconds in which the changes of one task are folded into one event; 0: every change; default: the server's", 0, schema.MaxDebounceMS},
	"include_task":        {"false: leave the task out of events; default true", 0, 0},
	"batch":               {"several events in one notification " + schema.NotifyEvents, 0, 0},
	"max":                 {"events of a batch", 1, schema.MaxBatch},
	"wait_ms":             {"milliseconds to wait: in a claim for a task to become ready, in a batch for more events; default 0", 0, schema.MaxWaitMS},
	"lease_ms":            {"milliseconds until the claim ends unless it is renewed; default 60000, in a renewal as long as before", schema.MinLeaseMS, schema.MaxLeaseMS},
	"lease_token":         {"what task.claim gave; refuse with lease_lost if it is not the current one", 1, schema.MaxLeaseToken},
	"until_disconnect":    {"end the claim, too, when this connection closes or the daemon ends", 0, 0},
	"subscription":        {"id of a subscription of this connection; of task.flush, absent: all of them", 0, 0},

	// of results
	"expires_at":      {"Unix milliseconds at which the claim ends unless it is renewed", 0, 0},
	"next_page_token": {"null on the last page", 0, 0},
	"cursor":          {"place in the journal: as since it goes on from there", 0, 0},
	"next":            {"as since, or before where that was given, it goes on with the next page; null at the end", 0, 0},
	"oldest":          {"as since it gives all that is retained", 0, 0},
	"newest":          {"cursor of the newest event", 0, 0},
	"seq":             {"place in the journal, strictly increasing", 0, 0},
	"previous":        {"updated only: the old values of what changed", 0, 0},
	"coalesced":       {"changes that this event stands for", 0, 0},
	"left":            {"the task does not match the filter any more", 0, 0},
	"own":             {"this very connection made the change", 0, 0},
	"origin":          {"rpc; external: another process; lease: a claim that ran out", 0, 0},
	"actor":           {"name of the token that made the change", 0, 0},
	"tx_last":         {"task.apply only: the seq of its last change", 0, 0},
	"timestamp":       {"Unix milliseconds", 0, 0},
}
