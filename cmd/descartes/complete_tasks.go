package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// completionPatience is how long somebody who has hit Tab waits for a daemon, unless
// patienceVariable says otherwise.
const completionPatience = 200 * time.Millisecond

const patienceVariable = "DESCARTES_COMPLETION_WAIT"

func patience() time.Duration {
	if d, err := time.ParseDuration(os.Getenv(patienceVariable)); err == nil {
		return d
	}
	return completionPatience
}

// tasks gives the tasks that can be meant, what was changed last first: as people see
// ids, or whole if the word is the beginning of that. Where no daemon answers at once
// there are none.
func (at *typed) tasks(ctx context.Context, last string) []candidate {
	ctx, cancel := context.WithTimeout(ctx, patience())
	defer cancel()
	c, err := at.dial(ctx)
	if err != nil {
		return nil
	}
	defer c.Close()
	p := schema.ListParams{Order: new("-" + schema.ByUpdatedAt), Limit: new(int64(schema.MaxLimit)), Filter: new(schema.Filter)}
	switch at.command.Name {
	case "done", "start", "block":
		p.Filter.Status = []schema.Status{schema.Todo, schema.InProgress, schema.Blocked}
	case "reopen":
		p.Filter.Status = []schema.Status{schema.InProgress, schema.Blocked, schema.Done}
	}
	page, err := c.List(ctx, p)
	if err != nil {
		return nil
	}
	people, ends := display{people: true}, make(map[string]int)
	for _, t := range page.Tasks {
		ends[people.id(t.ID)]++
	}
	all := make([]candidate, len(page.Tasks))
	for i, t := range page.Tasks {
		id := people.id(t.ID)
		if ends[id] > 1 || last != "" && strings.HasPrefix(t.ID, last) {
			id = t.ID
		}
		all[i] = candidate{id, string(t.Status) + "  " + t.Title}
	}
	return all
}

// dial connects to the daemon that the line or the environment names.
func (at *typed) dial(ctx context.Context) (*client.Client, error) {
	setting := func(name, variable, otherwise string) string {
		if given := at.flags[name]; given != "" {
			return given
		}
		if given := os.Getenv(variable); given != "" {
			return given
		}
		return otherwise
	}
	secure, err := clientTLS(setting("tls-ca", "DESCARTES_TLS_CA", ""))
	if err != nil {
		return nil, err
	}
	url := setting("url", "DESCARTES_URL", client.DefaultURL)
	return client.Dial(ctx, url, client.Options{
		Token: setting("token", "DESCARTES_TOKEN", ""), TLS: secure,
		DialTimeout: patience() / time.Duration(1+strings.Count(url, ",")), // one that hangs leaves time for the next
	})
}
