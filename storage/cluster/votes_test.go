package cluster

import (
	"slices"
	"testing"
)

// A daemon goes on if more than half have its journal, and asks again while those that
// were heard just now and did not know could make that so.
func TestVotes(t *testing.T) {
	for _, c := range []struct {
		others  string // what they have, a letter each; this one has a
		waiting int
		want    verdict
		differ  []string
	}{
		{"", 0, agreed, nil},
		{"", 2, agreed, nil},
		{"aa", 0, agreed, nil},
		{"ab", 0, outvoted, []string{"1"}},
		{"b", 0, refuted, []string{"0"}}, // of two, nobody knows who is right
		{"b", 1, open, []string{"0"}},    // the third is behind
		{"bb", 0, refuted, []string{"0", "1"}},
		{"bb", 1, refuted, []string{"0", "1"}}, // it could not change that
		{"bba", 1, open, []string{"0", "1"}},
		{"bc", 0, refuted, []string{"0", "1"}},
		{"aabb", 0, outvoted, []string{"2", "3"}},
	} {
		var votes []vote
		for i, chain := range c.others {
			votes = append(votes, vote{Name: string(rune('0' + i)), Chain: string(chain)})
		}
		if got, differ := count("a", votes, c.waiting); got != c.want || !slices.Equal(differ, c.differ) {
			t.Errorf("%q, %d are waited for: %v %v, want %v %v", c.others, c.waiting, got, differ, c.want, c.differ)
		}
	}
}
