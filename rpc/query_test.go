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
		{Tasks: []json.RawMessage{document}, Cursor: "e-1", NextPageToken: new("WzFd")},
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
