package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// 64 connections claim from 1,000 tasks of every priority: each task has one winner, and
// the journal alone shows that at each claim no task that was ready for it had a higher
// priority, or the same and was older. So it is with claims that wait while the tasks
// are created, and with tasks that become ready when others are done.
//
// DESCARTES_CLAIMS=N has N tasks instead.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		name string
		race claimRace
	}{
		{"tasks that are there", claimRace{}},
		{"tasks created meanwhile", claimRace{patient: true}},
		{"tasks that depend on others", claimRace{patient: true, chained: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.race.t, c.race.d = t, serve(t, database(t), "--log-level", "warn")
			c.race.tasks = int(kit.FromEnvironment(t, "DESCARTES_CLAIMS", 1000))
			c.race.run()
		})
	}
}

// claimers is how many connections claim at once.
const claimers = 64

// claimRace is many who claim from the same tasks.
type claimRace struct {
	t       *testing.T
	d       *daemon
	tasks   int
	patient bool // the claims wait, and the tasks come later
	chained bool // tasks depend on others, and who claims finishes

	filters map[string]schema.Filter // of who claims
	won     chan *client.Claimed
}

func (r *claimRace) run() {
	r.filters = make(map[string]schema.Filter)
	r.won = make(chan *client.Claimed, r.tasks)
	maker := r.d.dial()
	if !r.patient {
		r.create(maker)
	}
	ctx, stop := context.WithCancel(r.t.Context())
	var claiming sync.WaitGroup
	defer claiming.Wait()
	defer stop()
	began := time.Now()
	for i := range claimers {
		name, c := fmt.Sprintf("claimer%d", i), r.d.dial()
		if i%8 == 0 && i > 0 {
			r.filters[name] = schema.Filter{PriorityAtLeast: new(schema.High)}
		} else {
			r.filters[name] = schema.Filter{}
		}
		params := schema.ClaimParams{AssignedTo: name, Filter: new(r.filters[name])}
		if r.patient {
			params.WaitMS = new(int64(schema.MaxWaitMS))
		}
		claiming.Go(func() {
			if err := r.claim(ctx, c, params); err != nil && ctx.Err() == nil {
				r.t.Errorf("%s: %v", name, err)
			}
		})
	}
	if r.patient {
		r.create(maker)
	}
	r.requireOneWinnerEach()
	took := time.Since(began)
	stop()
	claiming.Wait()
	events := kit.Journal(r.t, maker, "")
	claims := r.requireOrder(events)
	r.t.Logf("%d claims by %d connections in %v; %d events", claims, claimers, took, len(events))
	if claims != r.tasks {
		r.t.Errorf("%d claims of %d tasks", claims, r.tasks)
	}
}

// create makes the tasks, some of them in each commit, of every priority. If they are
// chained, most depend on up to two of those before.
func (r *claimRace) create(c *client.Client) {
	const together = 20
	for first := 0; first < r.tasks; first += together {
		var operations []schema.Operation
		for i := first; i < min(first+together, r.tasks); i++ {
			draft := &schema.Draft{ID: fmt.Sprint("t", i), Title: "work", Priority: schema.Priorities()[i*7%11%4]}
			if r.chained && i%5 > 0 {
				draft.Dependencies = []string{fmt.Sprint("t", i-1)}
			}
			if r.chained && i%5 > 2 {
				draft.Dependencies = append(draft.Dependencies, fmt.Sprint("t", i*5%(i-1)))
			}
			operations = append(operations, schema.Operation{Op: schema.OpCreate, Create: draft})
		}
		if _, err := c.Apply(r.t.Context(), operations...); err != nil {
			r.t.Fatal(err)
		}
	}
}

// claim claims until nothing is ready, or for as long as there is something to wait for.
func (r *claimRace) claim(ctx context.Context, c *client.Client, params schema.ClaimParams) error {
	for {
		claimed, err := c.Claim(ctx, params)
		if claimed == nil || err != nil {
			return err
		}
		if holder := claimed.Task.LeasedBy; holder == nil || *holder != params.AssignedTo {
			return fmt.Errorf("a task of somebody else: %+v", claimed.Task)
		}
		if r.chained {
			if _, err := c.Update(ctx, schema.UpdateParams{
				ID: claimed.Task.ID, LeaseToken: &claimed.LeaseToken, Patch: schema.Patch{Status: schema.Some(schema.Done)},
			}); err != nil {
				return err
			}
		}
		r.won <- claimed
	}
}

// requireOneWinnerEach waits until every task is claimed, and checks that none is twice.
func (r *claimRace) requireOneWinnerEach() {
	r.t.Helper()
	winner := make(map[string]string)
	late := time.After(time.Minute)
	for len(winner) < r.tasks {
		select {
		case claimed := <-r.won:
			id := claimed.Task.ID
			if first, twice := winner[id]; twice {
				r.t.Fatalf("%s was given to %s and to %s", id, first, *claimed.Task.LeasedBy)
			}
			winner[id] = *claimed.Task.LeasedBy
		case <-late:
			r.t.Fatalf("after a minute %d of %d tasks are claimed", len(winner), r.tasks)
		}
	}
}

// requireOrder checks each claim of the journal against what was ready then.
func (r *claimRace) requireOrder(events []schema.Event) (claims int) {
	r.t.Helper()
	world := make(kit.Replay)
	for i := range events {
		e := &events[i]
		before, after := world.Take(r.t, e)
		if before.Holder() != "" || after.Holder() == "" {
			continue
		}
		claims++
		filter := r.filters[after.Holder()]
		if !before.Ready || !filter.Match(&before.Task) {
			r.t.Errorf("event %d: %s got %+v", e.Seq, after.Holder(), before.Task)
		}
		for _, other := range world {
			if other.Ready && filter.Match(&other.Task) && other.GoesBefore(before) {
				r.t.Fatalf("event %d: %s got %s (%s, created at %d as %d) and not %s (%s, created at %d as %d)", e.Seq, after.Holder(),
					before.ID, before.Priority, before.CreatedAt, before.Born, other.ID, other.Priority, other.CreatedAt, other.Born)
			}
		}
	}
	return claims
}
