package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// soakWork counts what was done.
type soakWork struct {
	writes, lost, outside, visits, events, reads, expired atomic.Int64
}

func (w *soakWork) report(s *soak) {
	s.t.Logf("%v: %d writes acknowledged, %d answers lost in %d kills, %d writes of another process, %d reads, "+
		"%d subscriptions that came and went with %d events, %d cursors that had expired",
		time.Since(s.began).Round(time.Second), w.writes.Load(), w.lost.Load(), s.kills, w.outside.Load(), w.reads.Load(),
		w.visits.Load(), w.events.Load(), w.expired.Load())
}

// soakActor does one thing again and again.
type soakActor struct {
	soak    *soak
	service *service
	name    int
	random  *rand.Rand
	titles  int // given so far
}

// run does it until ctx ends. A daemon that was killed is no reason to stop.
func (a *soakActor) run(ctx context.Context, do func(a *soakActor, ctx context.Context) error) {
	for ctx.Err() == nil {
		a.service.running()
		err := do(a, ctx)
		if lost, _ := kit.Unanswered(err); err != nil && !lost && ctx.Err() == nil {
			a.soak.t.Errorf("actor %d: %v", a.name, err)
			return
		}
	}
}

// session is a client for one stretch of work.
func (a *soakActor) session(ctx context.Context, do func(c *client.Client) error) error {
	c, err := client.Dial(ctx, a.service.url(), kit.Reconnecting())
	if err != nil {
		return err
	}
	return errors.Join(do(c), c.Close())
}

// paced does something again and again, at most so often, until ctx ends.
func paced(ctx context.Context, every time.Duration, do func() error) error {
	pace := time.NewTicker(every)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		if err := do(); err != nil {
			return err
		}
	}
}

// soakTasks is how many tasks a writer keeps.
const soakTasks = 50

// write creates, changes and deletes tasks, one by one and several at once. Those
// with a write that has no answer it leaves alone from then on.
func (a *soakActor) write(ctx context.Context) error {
	return a.session(ctx, func(c *client.Client) error {
		var own []string
		return paced(ctx, 10*time.Millisecond, func() error {
			a.service.running()
			err := a.writeOnce(context.WithoutCancel(ctx), c, &own)
			if _, lost := kit.Unanswered(err); lost {
				a.soak.work.lost.Add(1)
				own = nil
			}
			if again, _ := kit.Unanswered(err); again {
				return nil
			}
			return err
		})
	})
}

func (a *soakActor) writeOnce(ctx context.Context, c *client.Client, own *[]string) error {
	pick := a.random.IntN(10)
	switch {
	case len(*own) < 3 || pick < 3 && len(*own) < soakTasks:
		task, err := c.Create(ctx, a.draft())
		if err != nil {
			return err
		}
		*own = append(*own, task.ID)
		return a.acknowledged(task.Version, task.ID)
	case pick < 7:
		task, err := c.Update(ctx, a.patch((*own)[a.random.IntN(len(*own))]))
		if err != nil {
			return err
		}
		return a.acknowledged(task.Version, task.ID)
	case pick < 9:
		i := a.random.IntN(len(*own))
		deleted, err := c.Delete(ctx, schema.DeleteParams{ID: (*own)[i]})
		if err != nil {
			return err
		}
		*own = slices.Delete(*own, i, i+1)
		return a.acknowledged(deleted.Version, deleted.ID)
	}
	return a.exchange(ctx, c, own)
}

// exchange replaces the oldest task by a new one, and changes another, in one commit.
func (a *soakActor) exchange(ctx context.Context, c *client.Client, own *[]string) error {
	draft, gone, changed := a.draft(), (*own)[0], (*own)[1]
	update := a.patch(changed)
	applied, err := c.Apply(ctx,
		schema.Operation{Op: schema.OpCreate, Create: &draft},
		schema.Operation{Op: schema.OpUpdate, Update: &update},
		schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: gone}})
	if err != nil {
		return err
	}
	created := applied.Results[0].Task.ID
	*own = append((*own)[1:], created)
	seqs := kit.Versions(applied)
	return errors.Join(a.acknowledged(seqs[0], created), a.acknowledged(seqs[1], changed), a.acknowledged(seqs[2], gone))
}

func (a *soakActor) draft() schema.Draft {
	return schema.Draft{
		Title: a.title(), Description: &description,
		Priority: schema.Priorities()[a.random.IntN(4)], AssignedTo: new(soakName(a.name)),
	}
}

func (a *soakActor) patch(id string) schema.UpdateParams {
	return schema.UpdateParams{ID: id, Patch: schema.Patch{
		Title: schema.Some(a.title()), Status: schema.Some(schema.Statuses()[a.random.IntN(4)]),
	}}
}

// title is another one every time: a patch that changes nothing makes no event.
func (a *soakActor) title() string {
	a.titles++
	return fmt.Sprint("soak ", a.titles)
}

func soakName(i int) string { return fmt.Sprint("actor", i) }

// acknowledged tells the auditors of a write that was answered.
func (a *soakActor) acknowledged(seq int64, id string) error {
	a.soak.work.writes.Add(1)
	var errs []error
	for _, auditor := range a.soak.auditors {
		errs = append(errs, auditor.acknowledge(seq, id))
	}
	return errors.Join(errs...)
}

// writeOutside writes into the file as another process.
func (a *soakActor) writeOutside(ctx context.Context) error {
	db, err := sql.Open("sqlite", "file:"+a.service.db+"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	return paced(ctx, 50*time.Millisecond, func() (err error) {
		id := fmt.Sprint("outside", a.random.IntN(20))
		if a.random.IntN(8) == 0 {
			_, err = db.Exec(`DELETE FROM tasks WHERE id = ?`, id)
		} else {
			_, err = db.Exec(`INSERT INTO tasks (id, title) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET title = ?2`,
				id, a.title()+" from outside")
		}
		a.soak.work.outside.Add(1)
		return err
	})
}

// visit subscribes in one of many ways, takes some events, and goes. Of each task
// the events are in order.
func (a *soakActor) visit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(100+a.random.IntN(2000))*time.Millisecond)
	defer cancel()
	err := a.session(ctx, func(c *client.Client) error {
		params := a.options()
		events, err := c.Subscribe(ctx, params)
		if err != nil {
			return err
		}
		a.soak.work.visits.Add(1)
		last := make(map[string]int64)
		for e, err := range events.Events(ctx) {
			if err != nil {
				return err
			}
			a.soak.work.events.Add(1)
			switch {
			case e.ChangeType == schema.Resync:
				clear(last)
			case e.TaskID != "" && e.Seq <= last[e.TaskID]:
				return fmt.Errorf("%+v: task %s at %d came after %d", params, e.TaskID, e.Seq, last[e.TaskID])
			case e.TaskID != "":
				last[e.TaskID] = e.Seq
			}
		}
		return nil
	})
	if schema.CodeOf(err) == schema.CodeCursorExpired {
		a.soak.work.expired.Add(1)
		return nil
	}
	if ctx.Err() != nil { // the visit is over
		return nil
	}
	return err
}

// options are those of any subscription.
func (a *soakActor) options() (p schema.SubscribeParams) {
	maybe := func() bool { return a.random.IntN(2) == 0 }
	p.DebounceMS = new(int64([]int{0, 20, 100, 500}[a.random.IntN(4)]))
	p.IncludeTask = new(maybe())
	switch a.random.IntN(3) {
	case 0:
		p.Snapshot = new(true)
	case 1:
		p.Since = new(schema.SinceStart)
	}
	if maybe() {
		p.Batch = &schema.Batch{Max: 1 + a.random.Int64N(100), WaitMS: a.random.Int64N(200)}
	}
	p.Filter = new(schema.EventFilter)
	if maybe() {
		p.Filter.Status = []schema.Status{schema.Todo, schema.Done}
	}
	if maybe() {
		p.Filter.AssignedTo = []*string{new(soakName(a.random.IntN(soakWriters))), nil}
	}
	if maybe() {
		p.Filter.Text = new("soak " + strconv.Itoa(a.random.IntN(10)))
	}
	p.Filter.StatusChangesOnly = a.random.IntN(4) == 0
	return p
}

// read asks for lists, tasks, the past and figures.
func (a *soakActor) read(ctx context.Context) error {
	return a.session(ctx, func(c *client.Client) error {
		return paced(ctx, 20*time.Millisecond, func() error {
			a.soak.work.reads.Add(1)
			a.service.running()
			err := a.readOnce(context.WithoutCancel(ctx), c)
			if again, _ := kit.Unanswered(err); again {
				return nil
			}
			return err
		})
	})
}

func (a *soakActor) readOnce(ctx context.Context, c *client.Client) error {
	switch a.random.IntN(5) {
	case 0:
		return a.list(ctx, c, nil)
	case 1:
		return a.list(ctx, c, &schema.Filter{Text: new("soak " + strconv.Itoa(a.random.IntN(1000)))})
	case 2:
		return a.history(ctx, c)
	case 3:
		_, err := c.Get(ctx, fmt.Sprint("outside", a.random.IntN(20)))
		if schema.CodeOf(err) == schema.CodeTaskNotFound {
			return nil
		}
		return err
	default:
		_, err := c.Stats(ctx)
		return err
	}
}

// list reads some pages.
func (a *soakActor) list(ctx context.Context, c *client.Client, filter *schema.Filter) error {
	orders := schema.Orders()
	params := schema.ListParams{Filter: filter, Order: &orders[a.random.IntN(len(orders))]}
	for range 3 {
		page, err := c.List(ctx, params)
		if err != nil || page.NextPageToken == nil {
			return err
		}
		params.PageToken = page.NextPageToken
	}
	return nil
}

// history reads from the oldest event on, which may be pruned meanwhile.
func (a *soakActor) history(ctx context.Context, c *client.Client) error {
	past, err := c.History(ctx, schema.HistoryParams{Limit: new(int64(1))})
	for i := 0; err == nil && i < 3; i++ {
		since := &past.Oldest
		if i > 0 {
			since = past.Next
		}
		if since == nil {
			return nil
		}
		past, err = c.History(ctx, schema.HistoryParams{Since: since})
	}
	if schema.CodeOf(err) == schema.CodeCursorExpired {
		a.soak.work.expired.Add(1)
		return nil
	}
	return err
}

// readSlowly takes fewer events than there are, without a gap, until those that it
// has not taken yet are pruned; then it begins anew.
func (a *soakActor) readSlowly(ctx context.Context) error {
	err := a.session(ctx, func(c *client.Client) error {
		events, err := c.Subscribe(ctx, schema.SubscribeParams{Since: new(schema.SinceStart), DebounceMS: new(int64(0))})
		if err != nil {
			return err
		}
		var last int64
		return paced(ctx, 10*time.Millisecond, func() error {
			e, err := events.Next(ctx)
			if err != nil || e.Seq == 0 {
				return err
			}
			if last != 0 && e.Seq != last+1 {
				return fmt.Errorf("the slow one has %d after %d", e.Seq, last)
			}
			last = e.Seq
			return nil
		})
	})
	if schema.CodeOf(err) == schema.CodeCursorExpired {
		a.soak.work.expired.Add(1)
		return nil
	}
	return err
}
