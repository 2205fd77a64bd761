package mcp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// What a model is told of errors that need a daemon in trouble.
func TestExplain(t *testing.T) {
	s := &session{options: Options{Patience: 10 * time.Second}}
	forbidden := &client.RefusedError{Status: 403, Reason: "this name is not allowed"}
	for _, test := range []struct {
		err  error
		want string
	}{
		{schema.LeaseLost("a"), "Your claim of a is lost; nothing was changed. Stop the work on it and call claim_task for another task."},
		{schema.LimitExceeded("bytes of an answer", 8), "more than the limit of 8: bytes of an answer. Nothing was changed. Ask for less in one call."},
		{schema.ShuttingDown(), "the server is shutting down; nothing was changed. Call this again in a moment; if it stays so, tell a person."},
		{schema.StorageUnavailable("the disk is full"), "the database cannot be used now: the disk is full; nothing was changed. Call this again in a moment; if it stays so, tell a person."},
		{schema.OutcomeUnknown(), "The daemon does not reach the log of its cluster: whether the change was made is not known, and it may be made yet. Look with get_task or list_tasks before you call this again."},
		{schema.Forbidden(), `the token may only read; nothing was changed. Tell a person: "descartes mcp" needs a token with the scope write to do this.`},
		{&schema.Error{Code: schema.CodeMethodNotFound, Message: "there is no method task.claim"}, "The daemon is of an older version and cannot do this: there is no method task.claim. Tell a person to bring it up to date."},
		{schema.Internal(), "internal error. Tell a person: the log of the daemon has the reason."},
		{lostAnswer{client.ErrDisconnected}, "The connection to the daemon was lost before it answered: whether the change was made is not known. Look with get_task or list_tasks before you call this again."},
		{lostAnswer{schema.OutcomeUnknown()}, "The daemon does not reach the log of its cluster: whether the change was made is not known, and it may be made yet. Look with get_task or list_tasks before you call this again."},
		{fmt.Errorf("%w at ws://h/rpc", client.ErrUnreachable), `The daemon is away: no daemon answers at ws://h/rpc. It was tried for 10s; nothing was changed. Every call tries again: call this once more in a moment, or ask a person to start "descartes serve".`},
		{forbidden, `The daemon does not let this session in: the daemon refused the connection: 403 Forbidden: this name is not allowed. Nothing was changed. Tell a person: the settings of "descartes mcp" (--url, --token, --tls-ca) have to be mended.`},
		{context.Canceled, "The call was cancelled."},
		{errors.New("read the result of task.get: unexpected end"), "read the result of task.get: unexpected end. Look with get_task or list_tasks how things are before you go on."},
	} {
		if got := s.explain(test.err); got != test.want {
			t.Errorf("%v\nsays %s\nwant %s", test.err, got, test.want)
		}
	}
	if got := list([]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}); got != "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more" {
		t.Error(got)
	}
}
