package main

import (
	"regexp"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

var sgr = regexp.MustCompile(`\x1b\[[0-9;]*m`)

func TestCut(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"short", 5, "short"},
		{"longer", 5, "long…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"👩‍👩‍👧👩‍👩‍👧", 3, "👩‍👩‍👧…"},
		{"any", 0, "any"},
	} {
		if got := cut(test.text, test.width); got != test.want || test.width > 0 && columns(got) > test.width {
			t.Errorf("cut(%q, %d) = %q, want %q", test.text, test.width, got, test.want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for past, want := range map[time.Duration]string{
		-time.Hour: "just now", 59 * time.Second: "just now", time.Minute: "1 min ago", 119 * time.Minute: "1 h ago",
		47 * time.Hour: "1 d ago", 800 * 24 * time.Hour: "2 y ago",
	} {
		if got := ago(now, now.Add(-past).UnixMilli()); got != want {
			t.Errorf("%s: %s, want %s", past, got, want)
		}
	}
}

// Why everything comes anew is told in words.
func TestResyncLine(t *testing.T) {
	for reason, want := range map[string]string{
		schema.CursorEpoch:     "everything anew, as the database is another one or was restored",
		schema.CursorAhead:     "everything anew, as the database is an older copy",
		schema.CursorCompacted: "everything anew, as events after the cursor are no longer kept",
		"later":                "everything anew (later)",
	} {
		e := &schema.Event{ChangeType: schema.Resync, Reason: reason}
		if got := (display{}).event(e, "x"); got != "x  resync    "+want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
