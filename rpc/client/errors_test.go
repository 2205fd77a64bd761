package client

import (
	"fmt"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// What is in doubt is told from what was not made: who looks at both sends no write twice
// without knowing.
func TestErrorsInDoubt(t *testing.T) {
	for _, test := range []struct {
		err                error
		inDoubt, temporary bool
	}{
		{schema.OutcomeUnknown(), true, true},
		{fmt.Errorf("create: %w", schema.OutcomeUnknown()), true, true},
		{fmt.Errorf("%w: going away", ErrDisconnected), true, true},
		{schema.ShuttingDown(), false, true},
		{schema.StorageUnavailable("the disk is full"), false, true},
		{ErrUnreachable, false, true},
		{schema.LeaseLost("a"), false, false},
		{nil, false, false},
	} {
		if inDoubt, temporary := IsInDoubt(test.err), IsTemporary(test.err); inDoubt != test.inDoubt || temporary != test.temporary {
			t.Errorf("%v: in doubt %v, temporary %v", test.err, inDoubt, temporary)
		}
	}
}
