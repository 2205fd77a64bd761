package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// description makes a task of about 600 bytes.
var description = strings.Repeat("lorem ipsum ", 28)

// crowdSize is the size of TestLoad.
type crowdSize struct {
	idle    int // connections that only wait, with one subscription each
	groups  int // of busy connections: each sees what its group does
	members int // of a group
	rounds  int // of each member: create, get, update
}

// loadSize is the full size where there is time for it: with DESCARTES_LOAD=full.
func loadSize() crowdSize {
	switch {
	case fullLoad():
		return crowdSize{idle: 5000, groups: 100, members: 10, rounds: 10}
	case os.Getenv("CI") == "true":
		return crowdSize{idle: 2000, groups: 40, members: 10, rounds: 10}
	default:
		return crowdSize{idle: 500, groups: 10, members: 10, rounds: 10}
	}
}

// Thousands of connections wait while a thousand more write and are told of it: each
// event arrives where it should, once and in order, an idle connection costs little,
// and when all are gone nothing is left of them.
func TestLoad(t *testing.T) {
	size := loadSize()
	needFiles(t, uint64(size.idle+size.groups*size.members+500))
	d := serve(t, database(t), "--log-level", "warn")
	g := d.gauge("")
	warm(t, d)
	before := g.settled()
	t.Logf("before: %v", before)

	wake := "wake"
	began := time.Now()
	idle := d.crowd(size.idle, func(_ int, p *peer) error {
		return p.subscribe(schema.SubscribeParams{Filter: &schema.EventFilter{Filter: schema.Filter{IDs: []string{wake}}}})
	})
	t.Logf("%d idle connections made in %v", size.idle, time.Since(began))
	waiting := g.settled()
	t.Logf("idle: %v", waiting)
	reportIdle(t, before, waiting, int64(size.idle))

	woken := make(chan error, len(idle))
	for _, p := range idle {
		go func() {
			e, err := p.event()
			if err == nil && e.TaskID != wake {
				err = fmt.Errorf("an idle connection was told of %+v", e)
			}
			woken <- err
		}()
	}
	busy := size.work(t, d)
	peak := g.read()
	t.Logf("busy: %v", peak)
	if _, err := busy[0].task(schema.MethodCreate, schema.Draft{ID: wake, Title: wake}); err != nil {
		t.Fatal(err)
	}
	for range idle {
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
	everybody := append(idle, busy...)
	parallel(t, len(everybody), 64, func(i int) error { return everybody[i].goodbye() })
	t.Logf("after:  %v", g.back(before, peak.goroutines))
}

// work connects the busy ones and lets them work, all at once, until each has all
// events of its group.
func (size crowdSize) work(t *testing.T, d *daemon) []*peer {
	t.Helper()
	group := func(i int) string { return fmt.Sprint("group", i/size.members) }
	busy := d.crowd(size.groups*size.members, func(i int, p *peer) error {
		return p.subscribe(schema.SubscribeParams{
			Filter: &schema.EventFilter{Filter: schema.Filter{AssignedTo: []*string{new(group(i))}}},
		})
	})
	began := time.Now()
	made, seen := make([][]int64, len(busy)), make([][]int64, len(busy))
	parallel(t, len(busy), len(busy), func(i int) (err error) {
		if made[i], err = busy[i].write(group(i), size.rounds); err != nil {
			return err
		}
		for range size.members * size.rounds * 2 {
			e, err := busy[i].event()
			if err != nil {
				return fmt.Errorf("%s after %d events: %w", group(i), len(seen[i]), err)
			}
			seen[i] = append(seen[i], e.Seq)
		}
		return nil
	})
	took := time.Since(began)
	for i := range busy {
		first := i / size.members * size.members
		want := slices.Concat(made[first : first+size.members]...)
		if slices.Sort(want); !slices.Equal(seen[i], want) {
			t.Fatalf("connection %d of %s saw\n%v, want\n%v", i, group(i), seen[i], want)
		}
	}
	requests, events := len(busy)*size.rounds*3, len(busy)*size.members*size.rounds*2
	t.Logf("%d busy connections: %d requests and %d events in %v, none lost, none twice", len(busy), requests, events, took)
	return busy
}

// write makes tasks, reads and changes them, and gives the seqs of its changes.
func (p *peer) write(group string, rounds int) (made []int64, err error) {
	for range rounds {
		task, err := p.task(schema.MethodCreate, schema.Draft{Title: "work", AssignedTo: &group, Description: &description})
		if err != nil {
			return nil, err
		}
		made = append(made, task.Version)
		if _, err = p.task(schema.MethodGet, schema.GetParams{ID: task.ID}); err != nil {
			return nil, err
		}
		task, err = p.task(schema.MethodUpdate, schema.UpdateParams{
			ID: task.ID, Patch: schema.Patch{Status: schema.Some(schema.Done)}, ExpectedVersion: &task.Version,
		})
		if err != nil {
			return nil, err
		}
		made = append(made, task.Version)
	}
	return made, nil
}

// task calls a method whose result is a task.
func (p *peer) task(method string, params any) (*schema.Task, error) {
	document, err := p.call(method, params)
	if err != nil {
		return nil, err
	}
	return schema.ParseTask(document)
}

// idleBytes is the most that an idle connection with its subscription may cost.
const idleBytes = 64 << 10

func reportIdle(t *testing.T, before, idle figures, n int64) {
	t.Helper()
	heap, stacks := (idle.heap-before.heap)/n, (idle.stacks-before.stacks)/n
	t.Logf("an idle connection with a subscription costs %d bytes: %d of heap and %d of stacks; %d resident; %.1f goroutines, %.1f files",
		heap+stacks, heap, stacks, (idle.resident-before.resident)/n,
		float64(idle.goroutines-before.goroutines)/float64(n), float64(idle.files-before.files)/float64(n))
	if heap+stacks > idleBytes {
		t.Errorf("an idle connection costs %d bytes, more than %d", heap+stacks, idleBytes)
	}
}

// warm fills what a daemon keeps of the newest changes, with all that subscribers
// need of them, so that figures of before and after can be compared.
func warm(t *testing.T, d *daemon) {
	t.Helper()
	const tasks, atATime = 6000, 500
	c := d.dial()
	defer c.Close()
	s := subscribe(t, c, schema.SubscribeParams{Filter: &schema.EventFilter{Filter: schema.Filter{Status: []schema.Status{schema.Todo}}}})
	for range tasks / atATime {
		operations := make([]schema.Operation, atATime)
		for i := range operations {
			operations[i] = schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{Title: "warm", Description: &description}}
		}
		if _, err := c.Apply(t.Context(), operations...); err != nil {
			t.Fatal(err)
		}
		for range operations {
			next(t, s)
		}
	}
}
