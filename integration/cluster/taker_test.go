package cluster

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// taker claims tasks of other clients by filters, and finishes them or gives them back.
type taker struct {
	t      *testing.T
	name   string
	daemon kit.Daemon
	random *rand.Rand
	seqs   []int64 // of its acknowledged writes, in their order
}

func (k *taker) work(ctx context.Context) {
	c := k.daemon.Dial()
	defer c.Close()
	for ctx.Err() == nil {
		k.daemon.Running()
		if err := k.once(ctx, c); err != nil && ctx.Err() == nil && !k.expected(err) {
			k.t.Errorf("%s: %v", k.name, err)
			return
		}
		select { // there are writers, too
		case <-ctx.Done():
		case <-time.After(time.Duration(k.random.IntN(20)) * time.Millisecond):
		}
	}
}

// expected tells of an error that is no breach: no answer, or others were faster.
func (k *taker) expected(err error) bool {
	again, _ := kit.Unanswered(err)
	code := schema.CodeOf(err)
	return again || code == schema.CodeLeaseLost || code == schema.CodeTaskNotFound
}

func (k *taker) once(ctx context.Context, c *client.Client) error {
	filter := []schema.Filter{
		{}, {PriorityAtLeast: new(schema.Medium)}, {Text: new("w1")}, {Status: []schema.Status{schema.Todo}},
	}[k.random.IntN(4)]
	params := schema.ClaimParams{
		AssignedTo: k.name, Filter: &filter, LeaseMS: new(int64(schema.MinLeaseMS)), WaitMS: new(int64(200)),
	}
	claimed, err := c.Claim(ctx, params)
	if err != nil || claimed == nil {
		return err
	}
	if !filter.Match(&claimed.Task) && filter.Text == nil && filter.Status == nil {
		k.t.Errorf("%s asked for %+v and got %+v", k.name, filter, claimed.Task)
	}
	k.seqs = append(k.seqs, claimed.Task.Version)
	id, token := claimed.Task.ID, claimed.LeaseToken
	var task *schema.Task
	switch k.random.IntN(3) {
	case 0:
		task, err = c.Release(ctx, schema.ReleaseParams{ID: id, LeaseToken: token})
	case 1:
		task, err = c.Update(ctx, schema.UpdateParams{
			ID: id, LeaseToken: &token, Patch: schema.Patch{Status: schema.Some(schema.Done)},
		})
	default:
		return nil // forgotten
	}
	if err == nil {
		k.seqs = append(k.seqs, task.Version)
	}
	return err
}

// check checks that all it was told is in the journal, in its order, and gives how much
// that is.
func (k *taker) check(f *kit.File) int {
	k.t.Helper()
	last := int64(0)
	for _, seq := range k.seqs {
		if r := f.At(seq); r == nil || r.ChangeType != schema.Updated || seq <= last {
			k.t.Errorf("%s was told of event %d after %d, which is %+v", k.name, seq, last, r)
		}
		last = seq
	}
	return len(k.seqs)
}
