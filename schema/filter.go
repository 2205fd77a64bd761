package schema

import (
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Filter says which tasks somebody wants to see. Every given member must match;
// an empty list matches nothing. The zero value matches every task.
type Filter struct {
	Status          []Status  `json:"status,omitzero"`
	PriorityAtLeast *Priority `json:"priority_at_least,omitempty"`
	AssignedTo      []*string `json:"assigned_to,omitzero"` // null: nobody
	IDs             []string  `json:"ids,omitzero"`
	Ready           *bool     `json:"ready,omitempty"`
	Text            *string   `json:"text,omitempty"` // every word of it begins a word of title or description
}

// EventFilter says which events of the journal a subscription wants: those of
// tasks that match before or after the change.
type EventFilter struct {
	Filter
	ChangeTypes       []ChangeType `json:"change_types,omitzero"`
	StatusChangesOnly bool         `json:"status_changes_only,omitempty"` // a creation and a deletion are such
}

// MaxFilterItems bounds each list of a filter.
const MaxFilterItems = 1000

// Validate checks the values of f. The error is an [Error] with code
// [CodeInvalidParams] that names the member below "filter".
func (f *Filter) Validate() error {
	for _, s := range f.Status {
		if err := checkEnum("filter.status", s, Statuses()); err != nil {
			return err
		}
	}
	if f.PriorityAtLeast != nil {
		if err := checkEnum("filter.priority_at_least", *f.PriorityAtLeast, Priorities()); err != nil {
			return err
		}
	}
	if max(len(f.AssignedTo), len(f.IDs), len(f.Status)) > MaxFilterItems {
		return Invalid("filter", "must have at most 1000 items in a list")
	}
	if f.Text != nil && len(*f.Text) > 1000 {
		return Invalid("filter.text", "must be at most 1000 bytes")
	}
	return nil
}

// Validate checks the values of f, as [Filter.Validate] does.
func (f *EventFilter) Validate() error {
	for _, c := range f.ChangeTypes {
		if err := checkEnum("filter.change_types", c, []ChangeType{Created, Updated, Deleted}); err != nil {
			return err
		}
	}
	return f.Filter.Validate()
}

// IsZero tells whether f matches every task, so that none has to be looked into.
func (f *Filter) IsZero() bool {
	return f.Status == nil && f.PriorityAtLeast == nil && f.AssignedTo == nil && f.IDs == nil &&
		f.Ready == nil && f.Text == nil
}

// Match tells whether f matches t.
func (f *Filter) Match(t *Task) bool {
	return (f.Status == nil || slices.Contains(f.Status, t.Status)) &&
		(f.PriorityAtLeast == nil || t.Priority.Rank() >= f.PriorityAtLeast.Rank()) &&
		(f.AssignedTo == nil || slices.ContainsFunc(f.AssignedTo, func(n *string) bool { return equal(n, t.AssignedTo) })) &&
		(f.IDs == nil || slices.Contains(f.IDs, t.ID)) &&
		(f.Ready == nil || *f.Ready == t.Ready) &&
		(f.Text == nil || matchText(*f.Text, t))
}

// Wants tells whether f wants an event of this kind, whatever its task is.
func (f *EventFilter) Wants(e *Event) bool {
	return (f.ChangeTypes == nil || slices.Contains(f.ChangeTypes, e.ChangeType)) &&
		(!f.StatusChangesOnly || e.PreviousStatus != e.NewStatus)
}

func matchText(text string, t *Task) bool {
	for wanted := range Words(text) {
		if !beginsWord(wanted, t.Title) && (t.Description == nil || !beginsWord(wanted, *t.Description)) {
			return false
		}
	}
	return true
}

func beginsWord(prefix, text string) bool {
	for word := range Words(text) {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return false
}

// Words yields the words of text (runs of letters and digits) with the case of
// letters folded. The full-text index is made of the same words, so that a list
// and a subscription always agree about a filter.
func Words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsFuncSeq(text, notInWord) {
			if !yield(strings.Map(foldCase, word)) {
				return
			}
		}
	}
}

// JoinWords gives the words of text, with a space between them and perhaps one at the end.
func JoinWords(text string) string {
	joined := make([]byte, 0, len(text)+len(text)/4+1)
	inWord := false
	for _, r := range text {
		switch {
		case !notInWord(r):
			joined, inWord = utf8.AppendRune(joined, foldCase(r)), true
		case inWord:
			joined, inWord = append(joined, ' '), false
		}
	}
	return string(joined)
}

func notInWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// foldCase gives the same letter for all letters that differ only in case
// (Unicode simple case folding; besides, İ is i).
func foldCase(r rune) rune {
	if r < unicode.MaxASCII {
		return unicode.ToLower(r)
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		if unicode.IsLetter(other) { // a combining mark can be a case of a letter: U+0345 of iota
			least = min(least, other)
		}
	}
	return unicode.ToLower(least)
}
