package cluster

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// requireEqual puts everything right, waits until every daemon has everything, ends them,
// and checks that they have told the same, and that their files are the same: the
// journal and the tasks byte for byte. It gives the file of one of them.
func (f *fleet) requireEqual() *kit.File {
	f.t.Helper()
	f.healAll(f.t)
	end := f.endMark()
	histories := make([]string, len(f.members))
	for i, m := range f.members {
		histories[i] = f.historyOf(m, end)
		if histories[i] != histories[0] {
			f.t.Errorf("%s tells another history than %s", m.name, f.members[0].name)
		}
	}
	for _, m := range f.members {
		m.stop()
	}
	for i, m := range f.members {
		if out, err := exec.Command(binary, "check", "--db", m.db).CombinedOutput(); err != nil {
			f.t.Errorf("%s: check: %v: %s", m.name, err, out)
		}
		if i > 0 {
			requireSameFile(f.t, f.members[0], m)
		}
	}
	return kit.ReadFile(f.t, f.members[0].db)
}

// endMark makes a last write, once nobody holds a task, and gives its seq.
func (f *fleet) endMark() int64 {
	f.t.Helper()
	f.awaitNoClaims()
	c := f.members[0].Dial()
	defer c.Close()
	var last int64
	eventually(f.t, "a last write", func() error {
		task, err := c.Create(f.t.Context(), schema.Draft{ID: "end", Title: kit.EndMark, Status: schema.Done})
		if schema.CodeOf(err) == schema.CodeTaskExists {
			task, err = c.Get(f.t.Context(), "end")
		}
		if err == nil {
			last = task.Version
		}
		return err
	})
	return last
}

// awaitNoClaims waits until nobody holds a task: the end of a claim is an event, too.
func (f *fleet) awaitNoClaims() {
	f.t.Helper()
	c := f.members[0].Dial()
	defer c.Close()
	eventually(f.t, "the end of all claims", func() error {
		params := schema.ListParams{Filter: &schema.Filter{Status: []schema.Status{schema.InProgress}}, Limit: new(int64(schema.MaxLimit))}
		for {
			page, err := c.List(f.t.Context(), params)
			if err != nil {
				return err
			}
			for i := range page.Tasks {
				if holder := page.Tasks[i].LeasedBy; holder != nil {
					return fmt.Errorf("%s holds %s", *holder, page.Tasks[i].ID)
				}
			}
			if params.PageToken = page.NextPageToken; params.PageToken == nil {
				return nil
			}
		}
	})
}

// historyOf waits until a daemon has an event, and gives a sum of all that task.history
// tells up to there.
func (f *fleet) historyOf(m *member, end int64) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	c := m.Dial()
	defer c.Close()
	s, err := c.Subscribe(ctx, schema.SubscribeParams{Since: new(schema.SinceStart), DebounceMS: new(int64(0))})
	if err != nil {
		f.t.Fatalf("%s: %v", m.name, err)
	}
	defer s.Close()
	seen := int64(0)
	for seen < end {
		event, err := s.Next(ctx)
		if err != nil {
			f.t.Fatalf("%s has events up to %d, not to %d: %v", m.name, seen, end, err)
		}
		if event.ChangeType != schema.Bookmark {
			seen = event.Seq
		}
	}
	return history(f.t, c, end)
}

// history gives a sum of what task.history tells up to an event, as it came.
func history(t *testing.T, c *client.Client, end int64) string {
	t.Helper()
	sum := sha256.New()
	var page struct {
		Events []json.RawMessage
		Next   *string
	}
	for params := (schema.HistoryParams{Limit: new(int64(schema.MaxLimit))}); ; params.Since = page.Next {
		page.Next = nil
		if err := c.Call(t.Context(), schema.MethodHistory, params, &page); err != nil {
			t.Fatal(err)
		}
		for _, raw := range page.Events {
			var event schema.Event
			if err := json.Unmarshal(raw, &event); err != nil {
				t.Fatal(err)
			}
			if event.Seq <= end {
				sum.Write(raw)
			}
		}
		if page.Next == nil {
			return fmt.Sprintf("%x", sum.Sum(nil))
		}
	}
}

// sameRows are the parts of a file that are the same on every machine.
var sameRows = map[string]string{
	"epoch":        `SELECT epoch, last_seq FROM journal_state`,
	"journal":      `SELECT * FROM journal ORDER BY seq`,
	"tasks":        `SELECT * FROM tasks ORDER BY id`,
	"dependencies": `SELECT * FROM dependencies ORDER BY task, dependency`,
	"leases":       `SELECT * FROM leases ORDER BY task_id`,
	"cluster":      `SELECT name, at, chain FROM cluster`,
}

// requireSameFile checks that two files hold the same rows.
func requireSameFile(t *testing.T, a, b *member) {
	t.Helper()
	for what, query := range sameRows {
		requireSameRows(t, what, query, a, b)
	}
}

func requireSameRows(t *testing.T, what, query string, a, b *member) {
	t.Helper()
	mine, its := rows(t, a.db, query), rows(t, b.db, query)
	for i := range min(len(mine), len(its)) {
		if mine[i] != its[i] {
			t.Errorf("%s: row %d is %s in the file of %s, and %s in that of %s", what, i, mine[i], a.name, its[i], b.name)
			return
		}
	}
	if len(mine) != len(its) {
		t.Errorf("%s: %s has %d rows, %s has %d", what, a.name, len(mine), b.name, len(its))
	}
}

// rows gives what a query finds, each row as text.
func rows(t *testing.T, path, query string) (all []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %s: %v", path, query, err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values, places := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	for found.Next() {
		if err := found.Scan(places...); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%q", values))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
