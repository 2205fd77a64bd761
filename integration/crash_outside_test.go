package integration

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/integration/kit"
)

// outsider is another process that writes into the file: this one, through a
// connection of its own to SQLite. It is never killed: it knows what it has made.
type outsider struct {
	t      *testing.T
	db     string
	random *rand.Rand
	n      int
	ids    []string
	ledger []kit.Written // belongs to the writing goroutine until that is done
	stop   context.CancelFunc
	done   chan struct{}
}

// begin starts to write, end ends it. After a second end nothing is to be done.
func (o *outsider) begin() {
	ctx, stop := context.WithCancel(o.t.Context())
	o.stop, o.done = stop, make(chan struct{})
	go func() {
		defer close(o.done)
		o.write(ctx)
	}()
	o.t.Cleanup(o.end)
}

func (o *outsider) end() {
	if o.stop != nil {
		o.stop()
		<-o.done
	}
}

// write makes transactions over one connection until ctx ends.
func (o *outsider) write(ctx context.Context) {
	db, err := sql.Open("sqlite", "file:"+o.db+"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		o.t.Error(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for ctx.Err() == nil {
		if err := o.transaction(db); err != nil {
			o.t.Errorf("the other process: %v", err)
			return
		}
		// SQLite's lock is not fair: who takes it again at once keeps the daemon out.
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(o.random.IntN(3000)) * time.Microsecond):
		}
	}
}

// transaction makes one to three statements, and takes back every eighth.
func (o *outsider) transaction(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var marks []string
	ids := o.ids
	for range 1 + o.random.IntN(3) {
		o.n++
		mark := fmt.Sprintf("x-%d", o.n)
		switch p := o.random.IntN(4); {
		case p == 0 || len(ids) == 0:
			_, err = tx.Exec(`INSERT INTO tasks (id, title) VALUES (?, ?)`, mark, mark)
			ids = append(ids, mark)
		case p == 1:
			_, err = tx.Exec(`UPDATE tasks SET title = ?, status = 'done' WHERE id = ?`, mark, ids[o.random.IntN(len(ids))])
		case p == 2:
			last := ids[len(ids)-1]
			mark, ids = kit.DeletionOf(last), ids[:len(ids)-1:len(ids)-1]
			_, err = tx.Exec(`DELETE FROM tasks WHERE id = ?`, last)
		default: // a task of somebody else, who knows it only by the version
			_, err = tx.Exec(`UPDATE tasks SET description = ? WHERE num = (SELECT max(num) FROM tasks) - ?`, mark, o.random.IntN(20))
			mark = ""
		}
		if err != nil {
			return err
		}
		if mark != "" {
			marks = append(marks, mark)
		}
	}
	made := o.random.IntN(8) > 0
	if made {
		if err := tx.Commit(); err != nil {
			return err
		}
		o.ids = ids
	}
	for _, mark := range marks {
		o.ledger = append(o.ledger, kit.Written{Marks: []string{mark}, Made: made})
	}
	return nil
}
