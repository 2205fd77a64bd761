package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

func TestErrorsAreTheirCodes(t *testing.T) {
	wrapped := fmt.Errorf("apply: %w", NotFound("a"))
	if !errors.Is(wrapped, &Error{Code: CodeTaskNotFound}) || errors.Is(wrapped, &Error{Code: CodeTaskExists}) ||
		errors.Is(wrapped, ErrCompacted) {
		t.Error("errors.Is does not compare codes")
	}
	if !errors.Is(wrapped, CodeTaskNotFound) || errors.Is(wrapped, CodeTaskExists) || errors.Is(ErrCompacted, CodeTaskNotFound) {
		t.Error("errors.Is does not know codes")
	}
	if CodeOf(wrapped) != CodeTaskNotFound || CodeOf(errors.New("x")) != CodeInternal || CodeOf(nil) != CodeInternal {
		t.Error("CodeOf does not find the code")
	}
	if Internal().Error() != "internal error" {
		t.Error("an internal error tells of the inside")
	}
}

func TestErrorAtIndex(t *testing.T) {
	plain := NotFound("a")
	at := plain.AtIndex(0)
	if plain.Data.Index != nil || *at.Data.Index != 0 || at.Message != "operation 0: there is no task a" || at.Data.Field != "" {
		t.Errorf("%+v", at)
	}
	at = Invalid("metadata", metadataSizeRule).AtIndex(3)
	if at.Data.Field != "operations[3].metadata" || at.Message != "operations[3].metadata "+metadataSizeRule {
		t.Errorf("%+v", at)
	}
}

func TestErrorJSON(t *testing.T) {
	task := json.RawMessage(`{"id":"a"}`)
	for _, test := range []struct {
		err  *Error
		want string
	}{
		{Invalid("title", "must be short"), `{"code":-32602,"message":"title must be short","data":{"reason":"invalid_params","field":"title","rule":"must be short"}}`},
		{NotFound("a"), `{"code":-32001,"message":"there is no task a","data":{"reason":"task_not_found","id":"a"}}`},
		{VersionConflict(0, 7, task), `{"code":-32002,"message":"the task is at version 7, not 0","data":{"reason":"version_conflict","expected":0,"actual":7,"task":{"id":"a"}}}`},
		{Exists("a", task), `{"code":-32003,"message":"there is already a task a","data":{"reason":"task_exists","id":"a","task":{"id":"a"}}}`},
		{UnknownDependency("b"), `{"code":-32004,"message":"there is no task b to depend on","data":{"reason":"dependency_invalid","path":["b"]}}`},
		{DependencyCycle([]string{"a", "b", "a"}), `{"code":-32004,"message":"the task would depend on itself","data":{"reason":"dependency_invalid","path":["a","b","a"]}}`},
		{HasDependents("a", []string{"b"}), `{"code":-32004,"message":"other tasks depend on task a","data":{"reason":"dependency_invalid","dependents":["b"]}}`},
		{CursorExpired(CursorAhead, Cursor{"e", 5}), `{"code":-32005,"message":"the cursor cannot be continued (ahead): take a snapshot","data":{"reason":"cursor_expired","reason_detail":"ahead","oldest":"e-5"}}`},
		{LimitExceeded("subscriptions", 0), `{"code":-32006,"message":"more than the limit of 0: subscriptions","data":{"reason":"limit_exceeded","limit":"subscriptions","value":0}}`},
		{ShuttingDown(), `{"code":-32009,"message":"the server is shutting down; nothing was changed","data":{"reason":"shutting_down"}}`},
		{StorageUnavailable("the disk is full"), `{"code":-32010,"message":"the database cannot be used now: the disk is full; nothing was changed","data":{"reason":"storage_unavailable"}}`},
		{Internal(), `{"code":-32603,"message":"internal error","data":{"reason":"internal"}}`},
	} {
		if got, err := json.Marshal(test.err); err != nil || string(got) != test.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, test.want)
		}
	}
}
