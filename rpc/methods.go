package rpc

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// protocolVersion is told by server.info. It grows when a client that was written
// for the one before could not go on.
const protocolVersion = 1

// durability is told by server.info: what an answer to a write means.
const durability = "every write is synced to disk before it is answered"

// method is one entry of the table: what dispatches a request, and what the
// OpenRPC document tells of it.
type method struct {
	name           string
	summary        string
	params         any           // the zero value of the type of its parameters; nil: none
	result         any           // a value of the type of its result
	errors         []schema.Code // besides those that every method may give
	needsWebSocket bool

	// Either read, for what is answered at once; or write, which gives the change to
	// submit, and answer, which gives the result once it is made.
	read   func(s *session, r *wire.Request) (json.RawMessage, error)
	write  func(s *session, r *wire.Request) (schema.Change, error)
	answer func(s *session, o schema.Outcome) json.RawMessage
}

// index makes the table findable by name, and by the name with "_" for "." that
// some clients insist on. A name that is there twice is a mistake in the table.
func index(table []method) map[string]*method {
	byName := make(map[string]*method, 2*len(table))
	for i := range table {
		m := &table[i]
		for _, name := range []string{m.name, underscored(m.name)} {
			if byName[name] != nil || (m.read == nil) == (m.write == nil) {
				panic("rpc: method " + name + " is not well defined")
			}
			byName[name] = m
		}
	}
	return byName
}

// reading makes a method that reads, with parameters of type P.
func reading[P any](m method, run func(*session, *wire.Request, *P) (any, error)) method {
	m.params = *new(P)
	m.read = func(s *session, r *wire.Request) (json.RawMessage, error) {
		p := new(P)
		if err := schema.Decode(r.Params, p); err != nil {
			return nil, err
		}
		result, err := run(s, r, p)
		if err != nil {
			return nil, err
		}
		return schema.Encode(result)
	}
	return m
}

// writing makes a method that makes one operation, with parameters of type P.
func writing[P any](m method, operation func(*P) schema.Operation) method {
	m.params = *new(P)
	m.write = func(_ *session, r *wire.Request) (schema.Change, error) {
		p := new(P)
		if err := schema.Decode(r.Params, p); err != nil {
			return schema.Change{}, err
		}
		op := operation(p)
		return schema.Change{Operations: []schema.Operation{op}}, op.Normalize()
	}
	m.answer = onlyResult
	return m
}

func onlyResult(_ *session, o schema.Outcome) json.RawMessage { return o.Results[0] }

// methodTable lists every method. The errors of each are those of its own; the
// ones that any request may be answered with are in commonErrors.
func methodTable() []method {
	return slices.Concat(writeMethods(), leaseMethods(), queryMethods(), subscriptionMethods(), serverMethods())
}

func writeMethods() []method {
	return []method{
		writing(method{
			name: schema.MethodCreate, summary: "Create a task.", result: schema.Task{},
			errors: []schema.Code{schema.CodeTaskExists, schema.CodeDependencyInvalid},
		}, func(p *schema.Draft) schema.Operation { return schema.Operation{Op: schema.OpCreate, Create: p} }),
		writing(method{
			name: schema.MethodUpdate, summary: "Change fields of a task by a JSON Merge Patch.", result: schema.Task{},
			errors: []schema.Code{
				schema.CodeTaskNotFound, schema.CodeVersionConflict, schema.CodeDependencyInvalid, schema.CodeLeaseLost,
			},
		}, func(p *schema.UpdateParams) schema.Operation { return schema.Operation{Op: schema.OpUpdate, Update: p} }),
		writing(method{
			name: schema.MethodDelete, summary: "Delete a task that no other depends on.", result: schema.DeleteResult{},
			errors: []schema.Code{schema.CodeTaskNotFound, schema.CodeVersionConflict, schema.CodeDependencyInvalid},
		}, func(p *schema.DeleteParams) schema.Operation { return schema.Operation{Op: schema.OpDelete, Delete: p} }),
		{
			name: schema.MethodApply, summary: "Create, change and delete tasks: all or nothing, in one commit.",
			params: schema.ApplyParams{}, result: schema.ApplyResult{},
			errors: []schema.Code{
				schema.CodeTaskNotFound, schema.CodeVersionConflict, schema.CodeTaskExists, schema.CodeDependencyInvalid,
				schema.CodeLeaseLost,
			},
			write: applyChange, answer: (*session).applied,
		},
	}
}

func applyChange(_ *session, r *wire.Request) (schema.Change, error) {
	var p schema.ApplyParams
	if err := schema.Decode(r.Params, &p); err != nil {
		return schema.Change{}, err
	}
	return schema.Change{Operations: p.Operations, Transaction: true}, p.Validate()
}

// applied gives the result of task.apply.
func (s *session) applied(o schema.Outcome) json.RawMessage {
	cursor := schema.Cursor{Epoch: s.server.config.Emitter.Epoch(), Seq: o.Last}
	result := append([]byte(`{"results":[`), bytes.Join(raws(o.Results), []byte{','})...)
	return append(cursor.Append(append(result, `],"cursor":"`...)), `"}`...)
}

func queryMethods() []method {
	return []method{
		reading(method{
			name: schema.MethodGet, summary: "Get a task.", result: schema.Task{},
			errors: []schema.Code{schema.CodeTaskNotFound},
		}, func(s *session, _ *wire.Request, p *schema.GetParams) (any, error) {
			if p.ID == "" {
				return nil, schema.Invalid("id", "is required")
			}
			if err := s.fresh(p.Fresh); err != nil {
				return nil, err
			}
			return s.server.config.Store.Get(s.ctx, p.ID)
		}),
		reading(method{
			name: schema.MethodList, summary: "List tasks, a page at a time.", result: schema.ListResult{},
		}, (*session).list),
		reading(method{
			name: schema.MethodHistory, summary: "Read the journal, of one task or of all: oldest event first, with before newest first.",
			result: schema.HistoryResult{}, errors: []schema.Code{schema.CodeCursorExpired},
		}, (*session).history),
	}
}

// room is how many bytes of documents the answer of r may have: the limit, less
// what its batch has already, and something for the frame around them.
func (s *session) room(r *wire.Request) int {
	const frame = 4 << 10
	return int(s.server.config.Limits.MaxAnswer) - r.BatchSize() - frame
}

func subscriptionMethods() []method {
	return []method{
		reading(method{
			name: schema.MethodSubscribe, summary: "Be notified of every change, from now on, from a cursor, or from a snapshot.",
			result: "", errors: []schema.Code{schema.CodeCursorExpired}, needsWebSocket: true,
		}, (*session).subscribe),
		reading(method{
			name: schema.MethodUnsubscribe, summary: "End a subscription.", result: false, needsWebSocket: true,
		}, (*session).unsubscribe),
		reading(method{
			name: schema.MethodFlush, summary: "Send what is held back by debounce_ms and batch now.", result: 0, needsWebSocket: true,
		}, (*session).flushSubscriptions),
	}
}

func serverMethods() []method {
	type none struct{}
	return []method{
		reading(method{
			name: schema.MethodInfo, summary: "What this server is, and its limits.", result: schema.InfoResult{},
		}, func(s *session, _ *wire.Request, _ *none) (any, error) { return s.server.info(), nil }),
		reading(method{
			name: schema.MethodStats, summary: "Figures of tasks, journal, connections and subscriptions.", result: schema.StatsResult{},
		}, func(s *session, _ *wire.Request, _ *none) (any, error) { return s.server.stats(s.ctx) }),
		reading(method{
			name: schema.MethodPing, summary: "Answers pong.", result: "",
		}, func(*session, *wire.Request, *none) (any, error) { return "pong", nil }),
		reading(method{
			name: schema.MethodDiscover, summary: "This document.", result: map[string]any{},
		}, func(s *session, _ *wire.Request, _ *none) (any, error) {
			return json.RawMessage(s.server.discover()), nil
		}),
	}
}

func underscored(name string) string { return strings.ReplaceAll(name, ".", "_") }
