package schema

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		" -_.,!\t\u00a0\u2028":    "",
		"Fix the pump, no.7 (B2)": "fix|the|pump|no|7|b2",
		"don't e-mail_me":         "don|t|e|mail|me",
		"\u212aelvin":             "kelvin", // Kelvin sign
		"Cla\u017f\u017f":         "class",  // long s
		"ΣΊΣΥΦΟΣ σίσυφος":         "σίσυφοσ|σίσυφοσ",
		"STRASSE straße STRAẞE":   "strasse|straße|straße", // simple folding: ß is one letter
		"ISIK ışık":               "isik|ışık",             // the dotless i is another letter
		"İstanbul":                "istanbul",
		"ǅ Ǆ ǆ":                   "ǆ|ǆ|ǆ",
		"ÅNGSTRÖM \u212bngström":  "ångström|ångström", // Angstrom sign
		"µm μm":                   "µm|µm",             // micro sign, mu
		"e\u0301cole":             "e|cole",            // a combining mark is no letter
		"٣٤ 12½ Ⅷ":                "٣٤|12",             // digits of any script; a fraction or numeral is none
		"日本語 テスト":                 "日本語|テスト",
		"a\xffb":                  "a|b",
		"😀a😀":                     "a",
		"\U00010400 \U00010428":   "\U00010428|\U00010428", // Deseret
		"Ꭰ ꭰ":                     "ꭰ|ꭰ",                   // Cherokee
	} {
		if got := strings.Join(strings.Fields(JoinWords(text)), "|"); got != want {
			t.Errorf("%q joined: %q, want %q", text, got, want)
		}
		if got := strings.Join(slices.Collect(Words(text)), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// All letters that differ in case only have one folded form, and folding twice
// is folding once.
func TestFoldCase(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		folded := foldCase(r)
		if notInWord(r) {
			continue // a combining mark can be a case of a letter
		}
		if notInWord(folded) || foldCase(folded) != folded {
			t.Errorf("%U is folded to %U", r, folded)
		}
		if other := unicode.SimpleFold(r); !notInWord(other) && foldCase(other) != folded {
			t.Errorf("%U is folded to %U, and %U to %U", r, folded, other, foldCase(other))
		}
	}
}

func TestFilterText(t *testing.T) {
	task := Task{Title: "Replace the Ölpumpe in hall-3", Description: new("Urgent! ΣΊΣΥΦΟΣ\n42kg")}
	for text, want := range map[string]bool{
		"": true, " ,;": true, "replace": true, "REPL": true, "öl": true, "olpumpe": false, "pumpe": false,
		"3 hall": true, "urg repl": true, "urg nothing": false, "σίσυφοσ": true, "42": true, "2kg": false, "the the": true,
		"hall-3": true, "hall 5": false,
	} {
		if got := (&Filter{Text: &text}).Match(&task); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if text := "urgent"; (&Filter{Text: &text}).Match(&Task{Title: "x"}) {
		t.Error("a task without description matches")
	}
}

func TestFilterMatch(t *testing.T) {
	anna, high := "anna", High
	task := Task{ID: "a", Status: Todo, Priority: High, AssignedTo: &anna, Ready: true}
	nobody := Task{ID: "b", Status: Done, Priority: Low}
	for _, test := range []struct {
		filter        string
		first, second bool
	}{
		{`{}`, true, true},
		{`{"status":[]}`, false, false},
		{`{"status":["todo","blocked"]}`, true, false},
		{`{"priority_at_least":"low"}`, true, true},
		{`{"priority_at_least":"high"}`, true, false},
		{`{"priority_at_least":"critical"}`, false, false},
		{`{"assigned_to":["anna"]}`, true, false},
		{`{"assigned_to":[null]}`, false, true},
		{`{"assigned_to":["bob",null]}`, false, true},
		{`{"assigned_to":[]}`, false, false},
		{`{"ids":["b","c"]}`, false, true},
		{`{"ready":true}`, true, false},
		{`{"ready":false}`, false, true},
		{`{"status":["todo"],"ready":false}`, false, false},
	} {
		p, err := decoded[ListParams](`{"filter":` + test.filter + `}`)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{p.Filter.Match(&task), p.Filter.Match(&nobody)}; got != [2]bool{test.first, test.second} {
			t.Errorf("%s: %v", test.filter, got)
		}
		if p.Filter.IsZero() != (test.filter == "{}") {
			t.Errorf("%s: IsZero is %v", test.filter, p.Filter.IsZero())
		}
	}
	if (&Filter{PriorityAtLeast: &high}).IsZero() {
		t.Error("a filter by priority is no filter")
	}
}

func TestEventFilterWants(t *testing.T) {
	created := Event{ChangeType: Created, NewStatus: Todo}
	renamed := Event{ChangeType: Updated, PreviousStatus: Todo, NewStatus: Todo}
	moved := Event{ChangeType: Updated, PreviousStatus: Todo, NewStatus: Done}
	deleted := Event{ChangeType: Deleted, PreviousStatus: Done}
	for filter, want := range map[string][4]bool{
		`{}`:                           {true, true, true, true},
		`{"status_changes_only":true}`: {true, false, true, true},
		`{"change_types":["updated"]}`: {false, true, true, false},
		`{"change_types":[]}`:          {},
		`{"change_types":["updated","deleted"],"status_changes_only":true}`: {false, false, true, true},
	} {
		p, err := decoded[SubscribeParams](`{"filter":` + filter + `}`)
		if err != nil {
			t.Fatal(err)
		}
		f := p.Filter
		if got := [4]bool{f.Wants(&created), f.Wants(&renamed), f.Wants(&moved), f.Wants(&deleted)}; got != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
}

func TestFilterLimits(t *testing.T) {
	list := func(n int) string { return strings.TrimSuffix(strings.Repeat(`"a",`, n), ",") }
	for params, field := range map[string]string{
		`{"filter":{"ids":[` + list(1000) + `]}}`:                 "",
		`{"filter":{"ids":[` + list(1001) + `]}}`:                 "filter",
		`{"filter":{"assigned_to":[` + list(1001) + `]}}`:         "filter",
		`{"filter":{"text":"` + strings.Repeat("ä", 500) + `"}}`:  "",
		`{"filter":{"text":"` + strings.Repeat("ä", 500) + `a"}}`: "filter.text",
		`{"filter":{"priority_at_least":""}}`:                     "filter.priority_at_least",
		`{"filter":{"status":[""]}}`:                              "filter.status",
	} {
		_, err := decoded[ListParams](params)
		if e, ok := err.(*Error); ok != (field != "") || ok && e.Data.Field != field {
			t.Errorf("%.60s…: %v", params, err)
		}
	}
}
