package rpc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// A page is what encoding/json would make of it, in one piece of memory that nobody
// keeps.
func TestListResult(t *testing.T) {
	document := json.RawMessage(`{"id":"a","title":"<&>` + strings.Repeat("x", 1000) + `"}`)
	for _, page := range []schema.ListResult{
		{Tasks: []json.RawMessage{}, Cursor: "e-0"},
		{Tasks: []json.RawMessage{document}, Cursor: "e-1", NextPageToken: new(strings.Repeat("W", 300))},
		{Tasks: []json.RawMessage{document, document, document}, Cursor: "e-2"},
	} {
		want, err := schema.Encode(page)
		if got := listResult(&page); err != nil || string(got) != string(want) {
			t.Errorf("got  %s\nwant %s, %v", got, want, err)
		}
		if !withRaceDetector && testing.AllocsPerRun(10, func() { listResult(&page) }) != 1 {
			t.Errorf("more than one allocation for %d tasks", len(page.Tasks))
		}
	}
}

// BenchmarkListResult: a page of 100 tasks of 600 bytes.
func BenchmarkListResult(b *testing.B) {
	page := schema.ListResult{NextPageToken: new(strings.Repeat("t", 100)), Cursor: "97hhfvgps8p6-300000"}
	for range 100 {
		page.Tasks = append(page.Tasks, json.RawMessage(`"`+strings.Repeat("x", 600)+`"`))
	}
	b.ReportAllocs()
	for b.Loop() {
		listResult(&page)
	}
}
