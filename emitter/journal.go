package emitter

import (
	"context"
	"encoding/json"

	"github.com/descartes-tasks/descartes/schema"
)

// Journal is the durable, ordered log of changes together with the tasks that
// they make. emitter/journaltest is the suite that every Journal must pass.
//
// All methods are safe for concurrent use, but Apply is called by one goroutine
// at a time: the order of its calls is the order of the journal.
type Journal interface {
	// Apply makes the changes in their order as one durable commit and returns one
	// schema.Outcome for each. A change that a rule refuses fails alone, with a
	// *schema.Error, and leaves nothing behind; the others are made. When Apply
	// itself returns an error, no change was made, unless it has the code
	// schema.CodeOutcomeUnknown; the error is a *schema.Error if the caller of the
	// write may read it.
	//
	// schema.CodeOutcomeUnknown, of Apply or of one outcome, says that the changes may
	// have been made, or may be made at any later time, also after changes that were
	// applied since. If they are, Moved tells of it, and Events and Leases have what
	// they made, as if somebody else had made them.
	//
	// The time of a change in the journal may be later than its At, never earlier.
	//
	// The events are those of the changes, in journal order, complete but for what
	// belongs to one subscription. Where other writers have committed before this
	// commit their events are not among them: the Seq of the first event then is not
	// the one after the last that the caller has seen, and it reads what is between
	// with Events.
	Apply(ctx context.Context, changes []schema.Change) ([]schema.Outcome, []schema.Event, error)

	// Events returns events with after < Seq <= through in journal order: at least
	// one if there is any, at most limit, fewer when they are large. The error is
	// schema.ErrCompacted if the event that follows after was pruned away.
	Events(ctx context.Context, after, through int64, limit int) ([]schema.Event, error)

	// TasksAt returns tasks as they were at the journal place at, ordered by id, only
	// those with an id above after: at most limit, and none exactly when there are
	// no more. at need not be the newest place: what has changed since is seen as it
	// was. The error is schema.ErrCompacted if the journal after at has been
	// pruned.
	TasksAt(ctx context.Context, at int64, after string, limit int) ([]json.RawMessage, error)

	// Leases returns the leases that began or were renewed after the one with the Num
	// after, in the order of their Nums, and have not ended since; one that another
	// writer has ended may be among them, Orphaned. Num is given in commit order, and
	// never twice.
	Leases(ctx context.Context, after int64) ([]schema.Lease, error)

	// Bounds asks for the present ends of the journal.
	Bounds(ctx context.Context) (schema.Bounds, error)

	// Moved delivers a token after somebody else may have committed events or leases
	// (another process, another machine), or a change was made whose outcome was not
	// known. Tokens are not counted: one may stand for many commits, and there may be
	// nothing new.
	Moved() <-chan struct{}
}
