package schema

import "encoding/json"

// The methods. Each also answers to its name with "_" for ".".
const (
	MethodCreate      = "task.create"
	MethodGet         = "task.get"
	MethodList        = "task.list"
	MethodUpdate      = "task.update"
	MethodDelete      = "task.delete"
	MethodApply       = "task.apply"
	MethodHistory     = "task.history"
	MethodSubscribe   = "task.subscribe"
	MethodUnsubscribe = "task.unsubscribe"
	MethodFlush       = "task.flush"
	MethodClaim       = "task.claim"
	MethodRenew       = "task.renew"
	MethodRelease     = "task.release"
	MethodInfo        = "server.info"
	MethodStats       = "server.stats"
	MethodPing        = "server.ping"
	MethodDiscover    = "rpc.discover"

	// NotifyEvent carries one event, NotifyEvents a batch of them.
	NotifyEvent  = "task.event"
	NotifyEvents = "task.events"
	// NotifySubscription carries what a subscription made as task_subscribe gets:
	// go-ethereum's client knows no other name.
	NotifySubscription = "task_subscription"
)

// Methods lists every method.
func Methods() []string {
	return []string{
		MethodCreate, MethodGet, MethodList, MethodUpdate, MethodDelete, MethodApply, MethodHistory,
		MethodSubscribe, MethodUnsubscribe, MethodFlush, MethodClaim, MethodRenew, MethodRelease,
		MethodInfo, MethodStats, MethodPing, MethodDiscover,
	}
}

// SinceStart, as the since of a subscription, is the whole retained journal.
const SinceStart = "start"

// BeforeEnd, as the before of task.history, is the newest end of the journal.
const BeforeEnd = "end"

// Bounds and defaults of numeric parameters.
const (
	DefaultLimit  = 100    // items of a page
	MaxLimit      = 1000   // items of a page
	MaxDebounceMS = 60_000 // milliseconds
	MaxBatch      = 1000   // events of a batch
	MaxWaitMS     = 60_000 // milliseconds
)

// GetParams are the parameters of task.get.
type GetParams struct {
	ID    string `json:"id"`
	Fresh *bool  `json:"fresh,omitempty"` // see ListParams
}

// UpdateParams are the parameters of task.update.
type UpdateParams struct {
	ID string `json:"id"`
	Patch
	ExpectedVersion *int64  `json:"expected_version,omitempty"`
	LeaseToken      *string `json:"lease_token,omitempty"` // refuse with lease_lost if it is not the current one
}

func (p *UpdateParams) checkLeaseToken() error {
	if p.LeaseToken == nil {
		return nil
	}
	return checkLeaseToken(*p.LeaseToken)
}

// DeleteParams are the parameters of task.delete.
type DeleteParams struct {
	ID              string `json:"id"`
	ExpectedVersion *int64 `json:"expected_version,omitempty"`
}

// DeleteResult is the result of task.delete: Version is the Seq of the deletion.
type DeleteResult struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
}

// ApplyParams are the parameters of task.apply.
type ApplyParams struct {
	Operations Operations `json:"operations"`
}

// Validate normalizes every operation. The error, an [Error] with code
// [CodeInvalidParams], has the index of the first one that is wrong.
func (p *ApplyParams) Validate() error {
	if n := len(p.Operations); n < 1 || n > MaxOperations {
		return Invalid("operations", "must be 1 to 1000 operations")
	}
	for i := range p.Operations {
		if err := p.Operations[i].Normalize(); err != nil {
			return err.(*Error).AtIndex(i)
		}
	}
	return nil
}

// ApplyResult is the result of task.apply: a Task or a [DeleteResult] for each
// operation.
type ApplyResult struct {
	Results []json.RawMessage `json:"results"`
	Cursor  string            `json:"cursor"`
}

// Order is the order of a list; "-" in front means descending. Ties are by id,
// ascending in both.
type Order string

// The orders.
const (
	ByCreatedAt Order = "created_at"
	ByUpdatedAt Order = "updated_at"
	ByPriority  Order = "priority"
	ByTitle     Order = "title"
)

// Orders lists every order, ascending and descending.
func Orders() []Order {
	var all []Order
	for _, o := range []Order{ByCreatedAt, ByUpdatedAt, ByPriority, ByTitle} {
		all = append(all, o, "-"+o)
	}
	return all
}

// ListParams are the parameters of task.list. Where several daemons serve one log, a
// Fresh read has every change that any of them acknowledged before it was asked for; one
// that is not may lack the newest of other daemons. It costs a round trip to the log.
type ListParams struct {
	Filter    *Filter `json:"filter,omitempty"`
	Order     *Order  `json:"order,omitempty"`
	Limit     *int64  `json:"limit,omitempty"`
	PageToken *string `json:"page_token,omitempty"`
	Fresh     *bool   `json:"fresh,omitempty"` // absent: false
}

// Normalize validates p and fills in the defaults of what is absent: afterwards
// only PageToken and Fresh may be nil. The error is an [Error] with code
// [CodeInvalidParams].
func (p *ListParams) Normalize() error {
	if p.Filter == nil {
		p.Filter = new(Filter)
	}
	if p.Order == nil {
		p.Order = new(ByCreatedAt)
	}
	return firstError(p.Filter.Validate(), checkEnum("order", *p.Order, Orders()), checkLimit(&p.Limit))
}

// ListResult is the result of task.list. Cursor is the journal place that the
// list is true at.
type ListResult struct {
	Tasks         []json.RawMessage `json:"tasks"`
	NextPageToken *string           `json:"next_page_token"`
	Cursor        string            `json:"cursor"`
}

// HistoryParams are the parameters of task.history. With Before the journal is read
// backwards, newest event first: what is up to and with that place, so that since and
// before the same place are the whole journal.
type HistoryParams struct {
	ID     *string `json:"id,omitempty"`
	Since  *string `json:"since,omitempty"` // a cursor or [SinceStart]
	Limit  *int64  `json:"limit,omitempty"`
	Before *string `json:"before,omitempty"` // a cursor or [BeforeEnd]; not together with Since
}

// Normalize validates p and fills in the default limit. The error is an [Error]
// with code [CodeInvalidParams].
func (p *HistoryParams) Normalize() error {
	if p.ID != nil {
		if err := checkID("id", *p.ID); err != nil {
			return err
		}
	}
	if p.Since != nil && p.Before != nil {
		return Invalid("before", "must not be given together with since")
	}
	return checkLimit(&p.Limit)
}

// HistoryResult is the result of task.history. Next is the since, or the before, of
// the next page; nil at the end.
type HistoryResult struct {
	Events []Event `json:"events"`
	Next   *string `json:"next"`
	Oldest string  `json:"oldest"`
}

// SubscribeParams are the parameters of task.subscribe.
type SubscribeParams struct {
	Filter      *EventFilter `json:"filter,omitempty"`
	Since       *string      `json:"since,omitempty"` // a cursor or [SinceStart]
	Snapshot    *bool        `json:"snapshot,omitempty"`
	DebounceMS  *int64       `json:"debounce_ms,omitempty"`  // absent: the server's default; 0: every change
	IncludeTask *bool        `json:"include_task,omitempty"` // absent: true
	Batch       *Batch       `json:"batch,omitempty"`
}

// Batch asks for events to arrive several in one notification.
type Batch struct {
	Max    int64 `json:"max"`     // events, 1 to 1000
	WaitMS int64 `json:"wait_ms"` // milliseconds that the first one may wait, 0 to 60000
}

// Validate checks the values of p. The error is an [Error] with code
// [CodeInvalidParams].
func (p *SubscribeParams) Validate() error {
	if p.Since != nil && *p.Since != SinceStart {
		if _, err := ParseCursor("since", *p.Since); err != nil {
			return err
		}
	}
	if p.Since != nil && p.Snapshot != nil && *p.Snapshot {
		return Invalid("snapshot", "must not be given together with since")
	}
	if p.Filter != nil {
		if err := p.Filter.Validate(); err != nil {
			return err
		}
	}
	if p.DebounceMS != nil && (*p.DebounceMS < 0 || *p.DebounceMS > MaxDebounceMS) {
		return Invalid("debounce_ms", "must be 0 to 60000")
	}
	if p.Batch == nil {
		return nil
	}
	if p.Batch.Max < 1 || p.Batch.Max > MaxBatch {
		return Invalid("batch.max", "must be 1 to 1000")
	}
	if p.Batch.WaitMS < 0 || p.Batch.WaitMS > MaxWaitMS {
		return Invalid("batch.wait_ms", "must be 0 to 60000")
	}
	return nil
}

// UnsubscribeParams are the parameters of task.unsubscribe.
type UnsubscribeParams struct {
	Subscription string `json:"subscription"`
}

// FlushParams are the parameters of task.flush. Without Subscription: all
// subscriptions of the connection.
type FlushParams struct {
	Subscription *string `json:"subscription,omitempty"`
}

// InfoResult is the result of server.info.
type InfoResult struct {
	Name       string           `json:"name"`
	Version    string           `json:"version"`
	Protocol   int              `json:"protocol"` // grows when an old client could not go on
	Epoch      string           `json:"epoch"`
	Cursor     string           `json:"cursor"` // the newest
	Limits     map[string]int64 `json:"limits"`
	Durability string           `json:"durability"`
	Cluster    *ClusterInfo     `json:"cluster,omitempty"` // nil: a single daemon
}

// StatsResult is the result of server.stats.
type StatsResult struct {
	Tasks           map[Status]int64     `json:"tasks"`
	Journal         JournalStats         `json:"journal"`
	Connections     int64                `json:"connections"`
	Subscriptions   int64                `json:"subscriptions"`
	SlowestLag      int64                `json:"slowest_lag"`      // events that the slowest subscription is behind
	Leases          int64                `json:"leases"`           // claims that have not ended
	WaitingClaims   int64                `json:"waiting_claims"`   // claims that wait for a task to become ready
	EventsEmitted   map[ChangeType]int64 `json:"events_emitted"`   // announced since the start, by type
	EventsHeldBack  int64                `json:"events_held_back"` // changes now folded and waiting for their window
	Commits         int64                `json:"commits"`
	WritesPerCommit float64              `json:"writes_per_commit"`
	Cluster         *ClusterStats        `json:"cluster,omitempty"` // nil: a single daemon
}

// JournalStats says how much of the past is retained.
type JournalStats struct {
	Oldest string `json:"oldest"` // as since it gives all that is retained
	Newest string `json:"newest"`
	Events int64  `json:"events"`
	Bytes  int64  `json:"bytes"` // of the database file and its write-ahead log
}

func checkLimit(limit **int64) error {
	if *limit == nil {
		*limit = new(int64(DefaultLimit))
		return nil
	}
	if **limit < 1 || **limit > MaxLimit {
		return Invalid("limit", "must be 1 to 1000")
	}
	return nil
}
