package emitter_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// A snapshot is true at one place, whatever is written while it is delivered, and
// what comes after it continues from there.
func TestSnapshotWhileChangesGoOn(t *testing.T) {
	inBubble(t, emitter.Config{TailEvents: 16}, func(f *fixture) {
		const tasks = 700 // three pages
		for i := range tasks {
			f.do(create(fmt.Sprintf("t%04d", i)))
		}
		r := f.subscribe(emitter.Spec{Snapshot: true})
		r.stall()
		r.Start()
		random := rand.New(rand.NewPCG(1, 2))
		disturb := func() {
			for range 40 {
				id := fmt.Sprintf("t%04d", random.IntN(tasks))
				switch f.Submit(schema.Change{Operations: []schema.Operation{setTitle(id, fmt.Sprint(random.Uint64()))}}).Outcome(); random.IntN(3) {
				case 0:
					f.Submit(schema.Change{Operations: []schema.Operation{remove(id)}}).Outcome()
				case 1:
					f.Submit(schema.Change{Operations: []schema.Operation{create(id + "new")}}).Outcome()
				}
			}
			synctest.Wait()
		}
		for range 4 {
			disturb()
			r.unblock()
			r.stall()
		}
		r.unblock()
		synctest.Wait()
		seen, last := map[string]string{}, int64(tasks)
		for _, e := range r.events {
			switch {
			case e.ChangeType == schema.Snapshot && e.Seq > tasks, e.ChangeType != schema.Snapshot && e.Seq != last+1:
				t.Fatalf("after %d came %s", last, line(0, &e))
			case e.ChangeType != schema.Snapshot:
				last = e.Seq
			}
			if seen[e.TaskID] = string(e.Task); e.ChangeType == schema.Deleted {
				delete(seen, e.TaskID)
			}
		}
		documents, _ := f.journal.Memory.TasksAt(t.Context(), f.Newest().Seq, "", 10*tasks)
		if last != f.Newest().Seq || len(documents) != len(seen) {
			t.Errorf("at %d of %d, %d tasks of %d", last, f.Newest().Seq, len(seen), len(documents))
		}
		for _, document := range documents {
			task, _ := schema.ParseTask(document)
			if seen[task.ID] != string(document) {
				t.Errorf("task %s is %s, not %s", task.ID, seen[task.ID], document)
			}
		}
	})
}

func TestSnapshotIsPrunedOnItsWay(t *testing.T) {
	inBubble(t, emitter.Config{TailEvents: 1}, func(f *fixture) {
		for i := range 300 {
			f.do(create(fmt.Sprintf("t%03d", i)))
		}
		r := f.subscribe(emitter.Spec{Snapshot: true})
		r.stall()
		r.Start()
		synctest.Wait()
		f.do(remove("t000"))
		f.journal.Prune(301)
		r.unblock()
		lines := r.got()
		if len(lines) != 256+1+299+1 || lines[256] != "0s resync compacted" || lines[257] != "0s snapshot t001#2" ||
			lines[556] != "0s bookmark live @301" {
			t.Errorf("got %d: %q", len(lines), lines[250:260])
		}
	})
}
