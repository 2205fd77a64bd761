package storage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// Read backwards, a page at a time, the journal is what it is read forwards, of all tasks
// and of one, also where pages end early because the documents are large.
func TestHistoryBackwards(t *testing.T) {
	b := openTestBoard(t, Config{})
	b.create(5)
	for i := range 60 {
		p := schema.UpdateParams{ID: fmt.Sprintf("n%d", i%5)}
		p.Metadata = schema.Some(json.RawMessage(fmt.Sprintf(`{"n":"%d%s"}`, i, strings.Repeat("x", 60_000))))
		b.apply(schema.Operation{Op: schema.OpUpdate, Update: &p})
	}
	for _, id := range []string{"", "n2"} {
		for _, limit := range []int{1, 7, 1000} {
			forwards := pages(t, limit, 0, func(place int64) ([]schema.Event, bool, error) {
				return b.db.History(t.Context(), id, place, limit)
			}, 0)
			backwards := pages(t, limit, 65, func(place int64) ([]schema.Event, bool, error) {
				return b.db.HistoryBefore(t.Context(), id, place, limit)
			}, -1)
			slices.Reverse(backwards)
			if want := map[string]int{"": 65, "n2": 13}[id]; len(forwards) != want || !slices.Equal(forwards, backwards) {
				t.Errorf("of %q by %d: %v forwards, %v backwards", id, limit, forwards, backwards)
			}
		}
	}
}

// pages gives the seqs of all pages from a place on; the next page is from step after the
// last event.
func pages(t *testing.T, limit int, place int64, read func(int64) ([]schema.Event, bool, error), step int64) (seqs []int64) {
	t.Helper()
	for more := true; more; {
		var events []schema.Event
		var err error
		if events, more, err = read(place); err != nil || len(events) == 0 || len(events) > limit {
			t.Fatalf("from %d: %d events, %v", place, len(events), err)
		}
		for i := range events {
			seqs = append(seqs, events[i].Seq)
		}
		place = seqs[len(seqs)-1] + step
	}
	return seqs
}

// Neither way back reads more rows than the page has.
func TestHistoryBackwardsIsIndexed(t *testing.T) {
	b := openTestBoard(t, Config{})
	for query, want := range map[string]string{
		selectBefore:   "SEARCH journal USING INTEGER PRIMARY KEY (rowid<?)\n",
		selectBeforeOf: "SEARCH journal USING INDEX journal_task (task_id=? AND seq<?)\n",
	} {
		args := []any{"n1", 5, 10}[3-strings.Count(query, "?"):]
		if plan := b.plan(query, args...); plan != want {
			t.Errorf("%s: %s", query, plan)
		}
	}
}
