package rpc

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// list answers task.list.
func (s *session) list(r *wire.Request, p *schema.ListParams) (any, error) {
	if err := p.Normalize(); err != nil {
		return nil, err
	}
	if err := s.fresh(p.Fresh); err != nil {
		return nil, err
	}
	page, err := s.server.config.Store.List(s.ctx, *p, s.room(r))
	if err != nil {
		return nil, err
	}
	return listResult(&page), nil
}

// listResult joins the documents as they are. encoding/json would check them again,
// and keep for the next answer a buffer as large as the largest so far.
func listResult(page *schema.ListResult) json.RawMessage {
	size := 128 + len(page.Cursor)
	if page.NextPageToken != nil {
		size += len(*page.NextPageToken)
	}
	for _, task := range page.Tasks {
		size += len(task) + 1
	}
	result := append(make([]byte, 0, size), `{"tasks":[`...)
	for i, task := range page.Tasks {
		if i > 0 {
			result = append(result, ',')
		}
		result = append(result, task...)
	}
	result = append(result, `],"next_page_token":`...)
	if page.NextPageToken == nil {
		result = append(result, "null"...)
	} else {
		result = schema.AppendString(result, *page.NextPageToken)
	}
	return append(schema.AppendString(append(result, `,"cursor":`...), page.Cursor), '}')
}

// history answers task.history.
func (s *session) history(r *wire.Request, p *schema.HistoryParams) (any, error) {
	if err := p.Normalize(); err != nil {
		return nil, err
	}
	events, more, err := s.readHistory(p)
	if err != nil && !errors.Is(err, schema.ErrCompacted) {
		return nil, err
	}
	bounds, err2 := s.server.config.Store.Bounds(s.ctx)
	if err2 != nil {
		return nil, err2
	}
	oldest := schema.Cursor{Epoch: bounds.Epoch, Seq: bounds.Oldest - 1}
	if err != nil { // pruned since Resume looked
		return nil, schema.CursorExpired(schema.CursorCompacted, oldest)
	}
	behind := int64(0) // where the next page begins, from the last event of this one
	if p.Before != nil {
		behind = 1
	}
	return s.historyResult(events, more, behind, oldest, s.room(r)), nil
}

// readHistory reads the journal in the direction that p asks for.
func (s *session) readHistory(p *schema.HistoryParams) (events []schema.Event, more bool, err error) {
	store, emitter := s.server.config.Store, s.server.config.Emitter
	id, since, place := "", schema.SinceStart, int64(0)
	if p.ID != nil {
		id = *p.ID
	}
	if p.Before != nil {
		err = s.resume(p.Before, func(ctx context.Context) (err error) {
			place, err = emitter.Before(ctx, "before", *p.Before)
			return err
		})
		if err == nil {
			events, more, err = store.HistoryBefore(s.ctx, id, place, int(*p.Limit))
		}
		return events, more, err
	}
	if p.Since != nil {
		since = *p.Since
	}
	err = s.resume(&since, func(ctx context.Context) (err error) {
		place, err = emitter.Resume(ctx, "since", since)
		return err
	})
	if err == nil {
		events, more, err = store.History(s.ctx, id, place, int(*p.Limit))
	}
	return events, more, err
}

// historyResult puts as many events into a page as there is room for, and at least
// one.
func (s *session) historyResult(events []schema.Event, more bool, behind int64, oldest schema.Cursor, room int) json.RawMessage {
	result := []byte(`{"events":[`)
	next := oldest
	for i := range events {
		e := &events[i]
		if i > 0 && len(result)+len(e.Task)+len(e.Previous) > room {
			more = true
			break
		}
		e.Cursor = schema.Cursor{Epoch: oldest.Epoch, Seq: e.Seq}.String()
		e.Coalesced = 1
		e.Own = e.Source != 0 && e.Source == s.source
		if i > 0 {
			result = append(result, ',')
		}
		result = e.AppendWhole(result, true)
		next.Seq = e.Seq - behind
	}
	result = append(result, `],"next":`...)
	if more {
		result = append(next.Append(append(result, '"')), '"')
	} else {
		result = append(result, "null"...)
	}
	return append(oldest.Append(append(result, `,"oldest":"`...)), `"}`...)
}

func (s *Server) info() schema.InfoResult {
	newest := s.config.Emitter.Newest()
	info := schema.InfoResult{
		Name: "descartes", Version: s.config.Version, Protocol: protocolVersion,
		Epoch: newest.Epoch, Cursor: newest.String(), Limits: s.config.Limits.table(), Durability: s.config.Durability,
	}
	if s.config.Cluster != nil {
		info.Cluster = new(s.config.Cluster.Info())
	}
	return info
}

func (s *Server) stats(ctx context.Context) (schema.StatsResult, error) {
	store, err := s.config.Store.Stats(ctx)
	if err != nil {
		return schema.StatsResult{}, err
	}
	bounds, err := s.config.Store.Bounds(ctx)
	if err != nil {
		return schema.StatsResult{}, err
	}
	cluster, err := s.cluster(ctx)
	if err != nil {
		return schema.StatsResult{}, err
	}
	e := s.config.Emitter.Stats()
	return schema.StatsResult{
		Cluster: cluster,
		Tasks:   store.Tasks,
		Journal: schema.JournalStats{
			Oldest: schema.Cursor{Epoch: bounds.Epoch, Seq: bounds.Oldest - 1}.String(),
			Newest: schema.Cursor{Epoch: bounds.Epoch, Seq: bounds.Newest}.String(),
			Events: store.Events, Bytes: store.Bytes,
		},
		Connections: s.Connections(), Subscriptions: e.Subscriptions, SlowestLag: e.SlowestLag,
		EventsEmitted: map[schema.ChangeType]int64{
			schema.Created: e.Created, schema.Updated: e.Updated, schema.Deleted: e.Deleted,
		},
		Leases: e.Leases, WaitingClaims: e.WaitingClaims,
		EventsHeldBack: e.HeldBack, Commits: e.Commits,
		WritesPerCommit: float64(e.Changes) / float64(max(e.Commits, 1)),
	}, nil
}

// raws gives messages as what package bytes takes.
func raws(messages []json.RawMessage) [][]byte {
	list := make([][]byte, len(messages))
	for i, m := range messages {
		list[i] = m
	}
	return list
}
