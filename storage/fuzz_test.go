package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/descartes-tasks/descartes/schema"
)

// FuzzList lists with any filter and any page token, among tasks of which one has
// any texts. What the filter matches, by a plain reading of the contract, is on the
// pages, in order, and Filter.Match says the same of it.
func FuzzList(f *testing.F) {
	f.Add("Fix the bug", "in the kitchen", "ann", []byte(`{"text":"BUG kit"}`), uint8(0), uint8(1), "")
	f.Add("ÜBUNG straße", "ſ K İ", "", []byte(`{"text":"übung STRASSE s k i","ready":true}`), uint8(1), uint8(2), "bm90aGluZw")
	f.Add("a", "", "bob", []byte(`{"assigned_to":[null,"bob"],"priority_at_least":"high"}`), uint8(2), uint8(3), "dGl0bGUAYQA")
	f.Add("日本", "x\u0345 \u0301", "é", []byte(`{"status":["todo","done","todo"],"ids":["x","t1","t2","none"],"text":"日"}`), uint8(7), uint8(9), "")
	f.Add(`" OR "`, "NEAR(a b)", "*", []byte(`{"text":"\" AND col:a* ^b - c","ids":[]}`), uint8(5), uint8(0), "Y3JlYXRlZF9hdAB0MQAx")
	f.Add("Ιota", "ι ᾳ", "x", []byte(`{"text":"ΙO Ι","priority_at_least":"medium"}`), uint8(6), uint8(5), "")
	f.Add("1a2 b_c", "٣ Ⅷ ²", "x", []byte(`{"text":"1A ٣ c","status":[]}`), uint8(4), uint8(4), "")
	db := mustOpen(f, filepath.Join(f.TempDir(), "test.db"))
	fixed := listedTasks()
	do(f, db, fixed...)
	f.Fuzz(func(t *testing.T, title, description, name string, filter []byte, order, limit uint8, token string) {
		x := schema.UpdateParams{ID: "x", Patch: schema.Patch{
			Title: schema.Some(valid(title)), Description: schema.Some(valid(description)), AssignedTo: schema.Some(valid(name)),
			Priority: schema.Some(schema.Priorities()[len(title)%4]), Status: schema.Some(schema.Statuses()[len(name)%4]),
		}}
		orders := schema.Orders()
		params := schema.ListParams{Filter: new(schema.Filter), Order: &orders[int(order)%len(orders)], Limit: new(int64(limit%8) + 1)}
		given := append(append([]byte(`{"filter":`), filter...), '}')
		if x.Patch.Normalize() != nil || !json.Valid(given) || schema.Decode(given, &params) != nil || params.Normalize() != nil {
			return
		}
		do(t, db, schema.Operation{Op: schema.OpUpdate, Update: &x})
		if token != "" {
			params.PageToken = &token
			if _, err := db.List(t.Context(), params, 1<<20); err != nil && !errors.Is(err, schema.Invalid("", "")) {
				t.Fatalf("token %q: %v", token, err)
			}
			params.PageToken = nil
		}
		var want []*schema.Task
		for _, op := range fixed {
			one := task(t, db, op.Create.ID)
			if plainly := matchesPlainly(params.Filter, one); plainly != params.Filter.Match(one) {
				t.Fatalf("%s matches %s: %t", filter, one.AppendJSON(nil), !plainly)
			} else if plainly {
				want = append(want, one)
			}
		}
		if got, want := listed(t, db, params), documents(sorted(want, *params.Order)); !slices.Equal(got, want) {
			t.Fatalf("%s by %s gave\n%s\nwant\n%s", filter, *params.Order, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// valid makes of a text what can come out of a JSON string.
func valid(text string) string { return string([]rune(text)) }

// listedTasks makes tasks of every status and priority, of which x is to be changed.
func listedTasks() (operations []schema.Operation) {
	for i, id := range []string{"t1", "t2", "t3", "t4", "x"} {
		op := create(id)
		op.Create.Title = fmt.Sprint("the bug ", i%2, " of Ünal")
		op.Create.Status, op.Create.Priority = schema.Statuses()[i%4], schema.Priorities()[(3*i)%4]
		if i%2 == 0 {
			op.Create.AssignedTo = new("ann")
		}
		operations = append(operations, op)
	}
	return operations
}

// listed gives the documents of all pages.
func listed(t *testing.T, db *DB, params schema.ListParams) (all []string) {
	t.Helper()
	for {
		page, err := db.List(t.Context(), params, 1<<20)
		if err != nil || len(page.Tasks) > int(*params.Limit) || len(page.Tasks) == 0 && page.NextPageToken != nil {
			t.Fatalf("a page of %d tasks: %v", len(page.Tasks), err)
		}
		for _, document := range page.Tasks {
			all = append(all, string(document))
		}
		if params.PageToken = page.NextPageToken; params.PageToken == nil {
			return all
		}
	}
}

func documents(tasks []*schema.Task) (all []string) {
	for _, task := range tasks {
		all = append(all, string(task.AppendJSON(nil)))
	}
	return all
}

// matchesPlainly is the filter of the contract, section 4, word by word.
func matchesPlainly(f *schema.Filter, t *schema.Task) bool {
	if f.Status != nil && !slices.Contains(f.Status, t.Status) || f.IDs != nil && !slices.Contains(f.IDs, t.ID) {
		return false
	}
	priorities := []schema.Priority{"low", "medium", "high", "critical"}
	if f.PriorityAtLeast != nil && slices.Index(priorities, t.Priority) < slices.Index(priorities, *f.PriorityAtLeast) {
		return false
	}
	if f.Ready != nil && *f.Ready != (t.Status == schema.Todo) { // these depend on nothing
		return false
	}
	named := f.AssignedTo == nil
	for _, name := range f.AssignedTo {
		named = named || name == nil && t.AssignedTo == nil || name != nil && t.AssignedTo != nil && *name == *t.AssignedTo
	}
	if !named || f.Text == nil {
		return named
	}
	words := plainWords(t.Title)
	if t.Description != nil {
		words = append(words, plainWords(*t.Description)...)
	}
	for _, wanted := range plainWords(*f.Text) {
		begins := func(word []rune) bool {
			return len(word) >= len(wanted) && strings.EqualFold(string(word[:len(wanted)]), string(wanted))
		}
		if !slices.ContainsFunc(words, begins) {
			return false
		}
	}
	return true
}

// plainWords gives the runs of letters and digits; the Turkish İ is an i.
func plainWords(text string) (words [][]rune) {
	var word []rune
	for _, r := range text + " " {
		switch {
		case r == 'İ':
			word = append(word, 'i')
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			word = append(word, r)
		case len(word) > 0:
			words, word = append(words, word), nil
		}
	}
	return words
}
