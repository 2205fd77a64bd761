package client_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// A call goes on to the next daemon where that changes nothing, and nowhere else.
func TestCallsGoOn(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		first  func(*wire.Conn, *wire.Request)
		made   bool
	}{
		"a read whose connection breaks":      {schema.MethodGet, cuts, true},
		"a write whose connection breaks":     {schema.MethodCreate, cuts, false},
		"a claim whose connection breaks":     {schema.MethodClaim, cuts, false},
		"a write to a daemon that shuts down": {schema.MethodCreate, refuses(schema.ShuttingDown()), true},
		"a read from a daemon that does":      {schema.MethodList, refuses(schema.ShuttingDown()), true},
		"a write where the file is damaged":   {schema.MethodUpdate, refuses(schema.StorageUnavailable("x")), true},
		"an outcome that is not known":        {schema.MethodCreate, refuses(schema.OutcomeUnknown()), false},
		"any other answer":                    {schema.MethodGet, refuses(schema.NotFound("x")), false},
	} {
		t.Run(name, func(t *testing.T) {
			one, two := startPlayer(t, "e", test.first), startPlayer(t, "e", answers(`{"id":"x"}`))
			c := dial(t, urlsOf(one, two), several)
			var task struct{ ID string }
			err := c.Call(t.Context(), test.method, nil, &task)
			if made := err == nil && task.ID == "x"; made != test.made {
				t.Errorf("%+v, %v", task, err)
			}
			if one.asked.Load() != 1 {
				t.Errorf("the first was asked %d times", one.asked.Load())
			}
			if !test.made && two.asked.Load() != 0 {
				t.Errorf("the second was asked %d times", two.asked.Load())
			}
		})
	}
}

// Nobody knows what became of a write: it is not made again, but the next call is made
// elsewhere. What is under way meanwhile gets its answer.
func TestCallsLeaveADaemonThatDoesNotKnow(t *testing.T) {
	var waiting *wire.Request
	begun, finish := make(chan struct{}), make(chan struct{})
	one := startPlayer(t, "e", func(conn *wire.Conn, r *wire.Request) {
		if r.Method == schema.MethodClaim {
			waiting = r
			close(begun)
			return
		}
		refuses(schema.OutcomeUnknown())(conn, r)
		go func() {
			<-finish
			answers(`{"lease_token":"t"}`)(conn, waiting)
		}()
	})
	two := startPlayer(t, "e", answers(`{"id":"x"}`))
	c := dial(t, urlsOf(one, two), several)
	claimed := make(chan error, 1)
	go func() {
		claim, err := c.Claim(t.Context(), schema.ClaimParams{})
		if err == nil && claim.LeaseToken != "t" {
			err = fmt.Errorf("claimed %+v", claim)
		}
		claimed <- err
	}()
	<-begun
	if _, err := c.Create(t.Context(), schema.Draft{}); !errors.Is(err, schema.CodeOutcomeUnknown) || !client.IsTemporary(err) {
		t.Errorf("%v", err)
	}
	if _, err := c.Create(t.Context(), schema.Draft{}); err != nil || one.asked.Load() != 2 || two.asked.Load() != 1 {
		t.Errorf("%v; asked %d and %d times", err, one.asked.Load(), two.asked.Load())
	}
	close(finish)
	must(t, <-claimed)
}

// Each daemon is asked once: a call comes back where none can do it.
func TestCallsComeBack(t *testing.T) {
	one, two := startPlayer(t, "e", refuses(schema.ShuttingDown())), startPlayer(t, "e", refuses(schema.ShuttingDown()))
	c := dial(t, urlsOf(one, two), several)
	if err := c.Ping(t.Context()); !errors.Is(err, schema.CodeShuttingDown) {
		t.Error(err)
	}
	if one.asked.Load() != 1 || two.asked.Load() != 1 {
		t.Errorf("asked %d and %d times", one.asked.Load(), two.asked.Load())
	}
}

// A fresh read asks for that, is made at the next daemon where the log does not answer,
// and is refused where it answers nowhere.
func TestFreshRead(t *testing.T) {
	const request = `{"id":"x","fresh":true}`
	asked := make(chan string, 1)
	one := startPlayer(t, "e", refuses(schema.NotFresh()))
	two := startPlayer(t, "e", func(conn *wire.Conn, r *wire.Request) {
		asked <- r.Method + " " + string(r.Params)
		answers(`{"id":"x","title":"X"}`)(conn, r)
	})
	c := dial(t, urlsOf(one, two), several)
	if task, err := c.GetFresh(t.Context(), "x"); err != nil || task.Title != "X" {
		t.Fatalf("%+v, %v", task, err)
	}
	if got := <-asked; got != schema.MethodGet+" "+request || one.asked.Load() != 1 {
		t.Errorf("asked for %s, after %d", got, one.asked.Load())
	}
	alone := dial(t, one.url, several)
	if _, err := alone.GetFresh(t.Context(), "x"); !errors.Is(err, schema.CodeStorageUnavailable) {
		t.Error(err)
	}
}
