package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// What tells the tasks of a benchmark from others.
const (
	IDPrefix = "bench-" // begins their ids
	Assignee = "bench"  // whom they are assigned to
)

// target is the daemon that a row measures.
type target struct {
	url, token string
	tls        *tls.Config
	own        *daemon // nil: somebody else's
	control    *client.Client
	ids        string       // begins the ids of the tasks made here; "": the daemon makes them
	made       atomic.Int64 // tasks that were asked for, which numbers them
}

// target gives the daemon for a row: one of its own on a file (an empty one with path
// ""), or the one that the options name. It must be closed.
func (b *bench) target(ctx context.Context, path string) (*target, error) {
	t := &target{url: b.options.URL, token: b.options.Client.Token, tls: b.options.Client.TLS}
	options := b.options.Client
	if t.url == "" {
		if path == "" {
			path = b.newFile()
		}
		var err error
		if t.own, err = b.startDaemon(ctx, path); err != nil {
			return nil, err
		}
		t.url, t.token, t.tls, options = t.own.url, "", nil, client.Options{}
	} else {
		t.ids = fmt.Sprintf("%s%s-", IDPrefix, strconv.FormatInt(time.Now().UnixNano(), 36))
	}
	var err error
	if t.control, err = client.Dial(ctx, t.url, options); err != nil {
		return nil, errors.Join(err, t.own.stop())
	}
	t.url = t.control.URL()
	return t, nil
}

// close ends a daemon of the row's own, and deletes from another what the row made,
// also when ctx has ended.
func (t *target) close(ctx context.Context) error {
	var err error
	if t.own == nil {
		err = t.clean(context.WithoutCancel(ctx))
	}
	return errors.Join(err, t.control.Close(), t.own.stop())
}

// clean deletes the tasks that were made.
func (t *target) clean(ctx context.Context) error {
	var operations []schema.Operation
	for n := range t.made.Load() {
		operations = append(operations, schema.Operation{Op: schema.OpDelete, Delete: &schema.DeleteParams{ID: t.id(n)}})
		if len(operations) < 500 && n+1 < t.made.Load() {
			continue
		}
		if err := t.delete(ctx, operations); err != nil {
			return fmt.Errorf("tasks whose id begins with %s are left: %w", t.ids, err)
		}
		operations = operations[:0]
	}
	return nil
}

// delete deletes tasks; one that was asked for but never made is not there.
func (t *target) delete(ctx context.Context, operations []schema.Operation) error {
	_, err := t.control.Apply(ctx, operations...)
	if !errors.Is(err, schema.CodeTaskNotFound) {
		return err
	}
	for _, o := range operations {
		if _, err := t.control.Delete(ctx, *o.Delete); err != nil && !errors.Is(err, schema.CodeTaskNotFound) {
			return err
		}
	}
	return nil
}

func (t *target) id(n int64) string { return t.ids + strconv.FormatInt(n, 10) }

// filler makes a task's document about 600 bytes long.
const filler = "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna " +
	"aliqua; ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat; duis " +
	"aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur"

// appendDraft appends the params of a task.create, to which belong also some members
// that are given as JSON, each with a comma behind it.
func (t *target) appendDraft(dst []byte, title, members string) []byte {
	n := t.made.Add(1) - 1
	dst = append(append(dst, '{'), members...)
	if t.ids != "" {
		dst = append(strconv.AppendInt(append(append(dst, `"id":"`...), t.ids...), n, 10), `",`...)
	}
	dst = append(append(dst, `"title":"`...), title...)
	return append(dst, `","assigned_to":"`+Assignee+`","description":"`+filler+`"}`...)
}

// apply makes many operations in one commit, written as JSON.
func (t *target) apply(ctx context.Context, operations []byte) error {
	params := append(append([]byte(`{"operations":[`), operations...), `]}`...)
	return t.control.Call(ctx, schema.MethodApply, json.RawMessage(params), nil)
}
