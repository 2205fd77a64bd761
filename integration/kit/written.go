package kit

import "testing"

// Written is a write of which the outcome is known.
type Written struct {
	Marks []string // one for each operation; see MarkOf
	Seqs  []int64  // of the events with these marks; nil: not known
	Made  bool
}

// Check compares a write with the file, and gives 1 for one that was made.
func (w *Written) Check(t *testing.T, f *File) int {
	t.Helper()
	for i, mark := range w.Marks {
		seqs := f.Seqs[mark]
		switch {
		case !w.Made && isDeletion(mark): // a later try may have been made
		case !w.Made && len(seqs) > 0:
			t.Errorf("%q was refused, and is in the journal at %v", mark, seqs)
		case w.Made && len(seqs) != 1:
			t.Errorf("%q was acknowledged, and is in the journal %d times, at %v", mark, len(seqs), seqs)
		case w.Made && w.Seqs != nil && seqs[0] != w.Seqs[i]:
			t.Errorf("%q was acknowledged as %d, and is in the journal at %d", mark, w.Seqs[i], seqs[0])
		case w.Made && len(w.Marks) > 1 && f.At(seqs[0]).TxLast != f.At(f.Seqs[w.Marks[0]][0]).TxLast:
			t.Errorf("%q is not in the transaction of %q", mark, w.Marks[0])
		}
	}
	if w.Made {
		return 1
	}
	return 0
}
