package mcp_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/cmd/descartes/mcp"
	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// cutter is a network between agent and daemon that can lose an answer: what was
// asked arrives, and the connection breaks in place of the answer.
type cutter struct {
	net.Listener
	lose atomic.Bool // the next answer, once
}

func (d *daemon) cutter() *cutter {
	d.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(d.t, err)
	c := &cutter{Listener: listener}
	d.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", d.address)
			if err != nil {
				near.Close()
				continue
			}
			go func() {
				io.Copy(far, near)
				far.Close()
			}()
			go c.answer(near, far)
		}
	}()
	return c
}

// answer carries what the daemon says to the agent.
func (c *cutter) answer(near, far net.Conn) {
	defer near.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := far.Read(buffer)
		if err != nil || c.lose.CompareAndSwap(true, false) {
			return
		}
		if _, err := near.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// A change whose answer was lost is not made twice: a plan is looked for, and of any
// other change the agent is told that nothing is known.
func TestLostAnswer(t *testing.T) {
	d := startDaemon(t)
	network := d.cutter()
	a := newAgent(d, "worker", mcp.Options{Dial: func(ctx context.Context) (*client.Client, error) {
		return client.Dial(ctx, "ws://"+network.Addr().String()+"/rpc", client.Options{Reconnect: true})
	}})
	network.lose.Store(true)
	var plan taskList
	a.ok("create_tasks", `{"tasks":[{"ref":"two","title":"two","dependencies":["one"]},{"ref":"one","title":"one"}]}`, &plan)
	one := plan.Tasks[1]
	if one.Title != "one" || !one.Ready || plan.Tasks[0].Ready {
		t.Errorf("%+v", plan)
	}
	network.lose.Store(true)
	if says := a.refused("update_task", `{"id":"`+one.ID+`","priority":"high"}`); !strings.Contains(says, "whether the change was made is not known") {
		t.Error(says)
	}
	a.ok("list_tasks", `{}`, nil) // connects again
	network.lose.Store(true)
	if says := a.refused("claim_task", `{}`); says != "Whether a task was claimed is not known: the connection to the daemon was lost, or it could not find out in time. If one was, that claim ends by itself within 1m0s. Call claim_task again." {
		t.Error(says)
	}
	var statuses []schema.Status
	history, err := d.dial().History(t.Context(), schema.HistoryParams{})
	must(t, err)
	for _, e := range history.Events {
		statuses = append(statuses, e.NewStatus)
	}
	if len(statuses) != 4 || statuses[3] != schema.InProgress {
		t.Errorf("the journal has %v", statuses)
	}
}

// A plan whose ids are taken is not mistaken for one that was made.
func TestTakenIDs(t *testing.T) {
	d := startDaemon(t)
	a := newAgent(d, "worker", mcp.Options{Patience: time.Millisecond})
	plan(a, "a")
	says := a.refused("create_tasks", `{"tasks":[{"title":"new"},{"id":"a","title":"old","dependencies":[]}]}`)
	if !strings.HasPrefix(says, "a: there is already a task a. No task of this call was created.") {
		t.Error(says)
	}
	var list taskList
	if a.ok("list_tasks", `{}`, &list); len(list.Tasks) != 1 {
		t.Errorf("%+v", list)
	}
}
