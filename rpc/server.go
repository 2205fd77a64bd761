package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/rpc/web"
	"github.com/descartes-tasks/descartes/schema"
)

// Store answers queries about tasks. Its methods are safe for concurrent use; an
// error that a client may read is a *schema.Error.
type Store interface {
	// Get gives the document of a task.
	Get(ctx context.Context, id string) (json.RawMessage, error)
	// List gives a page of tasks, which ends early when the documents have more than
	// maxBytes. params is normalized.
	List(ctx context.Context, params schema.ListParams, maxBytes int) (schema.ListResult, error)
	// History gives journaled events after a place, oldest first, of one task or, for
	// id "", of all, and whether there are more.
	History(ctx context.Context, id string, after int64, limit int) (events []schema.Event, more bool, err error)
	// HistoryBefore gives the same backwards: the event at a place and older ones,
	// newest first.
	HistoryBefore(ctx context.Context, id string, through int64, limit int) (events []schema.Event, more bool, err error)
	// Stats gives figures of the database.
	Stats(ctx context.Context) (schema.StoreStats, error)
	// Bounds gives the present ends of the journal.
	Bounds(ctx context.Context) (schema.Bounds, error)
	// Unusable tells why the database cannot be written or read as it should at
	// present, nil if it can.
	Unusable() error
}

// Config configures a Server.
type Config struct {
	Emitter *emitter.Emitter // required
	Store   Store            // required
	Tokens  TokenStore       // who may come in; default: anybody
	Metrics *Metrics         // default: metrics that nobody else feeds
	Log     zerolog.Logger   // the zero value logs nothing
	Version string           // told by server.info
	Cluster Cluster          // default: a single daemon

	// Durability is told by server.info: what an answer to a write means. Default: that of
	// a single daemon that syncs, or of a cluster.
	Durability string
	// Incarnation, less than 2^31, is in the upper half of what marks the connections of
	// this process, so that they can be told from those of every other. Default 0: such
	// marks are random.
	Incarnation uint32

	// AlwaysTokens asks for a token even while Tokens has none. It is for a server that
	// other machines can reach.
	AlwaysTokens bool

	Debounce       time.Duration // default window of subscriptions; 0: every change
	AllowedHosts   []string      // names besides the loopback ones that Host may have
	AllowedOrigins []string      // origins besides the server's own whose pages may connect
	Limits         Limits
}

// Timeouts of HTTP. Handshakes and POST requests have to arrive in time; upgraded
// connections have their own rules in package wire.
const (
	handshakeTimeout = 10 * time.Second
	bodyTimeout      = 30 * time.Second
	answerTimeout    = 2 * time.Minute // from the request on; a peer that takes nothing is cut off
	idleTimeout      = 2 * time.Minute
)

// visitLines is how many lines a second the log has of who comes and goes: nobody can
// fill a disk by connecting.
const visitLines = 50

// Server serves clients on any number of listeners.
type Server struct {
	config    Config
	log       zerolog.Logger
	guard     guard
	access    *access
	visits    zerolog.Sampler // of the lines of who comes and goes
	refusals  refusals
	newcomers newcomers
	arrivals  *arrivals
	methods   map[string]*method
	discover  func() []byte // the OpenRPC document, made when somebody first asks for it
	board     *web.Handler
	http      *http.Server

	mu       sync.Mutex
	sessions map[*session]struct{}
	opened   int64         // connections ever, which numbers them
	draining bool          // no further session; set once
	leaving  chan struct{} // closed when draining is set
	running  sync.WaitGroup
}

// NewServer makes a server that does not listen yet.
func NewServer(config Config) *Server {
	config.Limits = config.Limits.withDefaults()
	if config.Metrics == nil {
		config.Metrics = NewMetrics()
	}
	if config.Durability == "" {
		config.Durability = durability
		if config.Cluster != nil {
			config.Durability = clusterDurability
		}
	}
	if config.Incarnation >= 1<<31 {
		panic("rpc: Config.Incarnation is 2^31 or more")
	}
	s := &Server{
		config:   config,
		log:      config.Log,
		guard:    guard{hosts: config.AllowedHosts, origins: config.AllowedOrigins},
		access:   newAccess(config.Tokens, config.AlwaysTokens, config.Log),
		visits:   &zerolog.BurstSampler{Burst: visitLines, Period: time.Second},
		refusals: refusals{log: config.Log, metrics: config.Metrics, count: make(map[string]int)},
		board:    web.New(),
		arrivals: newArrivals(),
		sessions: make(map[*session]struct{}),
		leaving:  make(chan struct{}),
	}
	s.access.changed, s.access.tick = s.expelStrangers, s.refusals.tick
	table := methodTable()
	s.methods = index(table)
	s.discover = sync.OnceValue(func() []byte { return discoverDocument(table, config.Version) })
	config.Metrics.observe(s)
	s.http = &http.Server{
		Handler:                      s.routes(),
		ReadHeaderTimeout:            handshakeTimeout,
		ReadTimeout:                  bodyTimeout,
		WriteTimeout:                 answerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               64 << 10,
		DisableGeneralOptionsHandler: true, // OPTIONS * is for the guard, too
		ConnState:                    s.track,
		ConnContext:                  withConnection,
		ErrorLog:                     nil,
	}
	s.http.ErrorLog = httpLog(s.log)
	return s
}

// Serve accepts connections until Shutdown, after which it returns nil. It may be
// called for several listeners, once for each.
func (s *Server) Serve(listener net.Listener) error {
	s.access.begin()
	if !s.arrivals.begin(listener) {
		return listener.Close()
	}
	err := s.http.Serve(listener)
	if shut := s.arrivals.end(listener); !shut && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

// Shutdown stops accepting connections, hears those that were just accepted, stops
// accepting requests, waits until what was accepted is answered, and closes every
// connection with 1001 (RFC 6455, section 7.4.1: going away). When ctx ends first,
// connections are closed as they are. Calling it twice is harmless.
func (s *Server) Shutdown(ctx context.Context) error {
	s.arrivals.settle(ctx)
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		close(s.leaving)
		for session := range s.sessions {
			session.queue.wake()
		}
	}
	s.mu.Unlock()
	err := s.http.Shutdown(ctx)
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		s.cut()
		<-ended
	}
	s.access.end()
	return err
}

// cut closes what is still open. The handshake that is under way, if any, makes a
// session that ends by itself.
func (s *Server) cut() {
	s.http.Close()
	var open []*wire.Conn
	s.mu.Lock()
	for session := range s.sessions {
		if session.conn != nil {
			open = append(open, session.conn)
		}
	}
	s.mu.Unlock()
	for _, conn := range open {
		conn.CloseNow()
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// Connections is how many WebSocket connections are open now.
func (s *Server) Connections() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.sessions))
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rpc", s.serveWebSocket)
	mux.HandleFunc("POST /rpc", s.servePost)
	mux.HandleFunc("GET /openrpc.json", s.serveDiscover)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.Handle("GET /metrics", s.config.Metrics.handler())
	for _, path := range s.board.Paths() {
		if path == "/" {
			path = "/{$}"
		}
		mux.Handle("GET "+path, s.board)
	}
	return s.guarded(mux)
}

// serveReady tells whether requests would be answered: the database can be read, the
// server is not going away and, in a cluster, has what the others have.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	if s.isDraining() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	if err := s.config.Store.Unusable(); err != nil { // which was logged when it began
		http.Error(w, wireError(err).Message, http.StatusServiceUnavailable)
		return
	}
	if cluster := s.config.Cluster; cluster != nil {
		if err := cluster.Behind(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	if _, err := s.config.Store.Bounds(r.Context()); err != nil {
		if schema.CodeOf(err) != schema.CodeStorageUnavailable {
			s.log.Error().Err(err).Msg("not ready")
		}
		http.Error(w, "the database cannot be read", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) serveDiscover(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(s.discover())
}

// serveWebSocket upgrades the request. It returns at once: the connection then
// belongs to its session, and what HTTP held for it is free.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	session, why := s.admit(r)
	switch {
	case why != nil:
		s.refuse(w, r, why)
		return
	case session == nil:
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	conn, err := wire.Accept(w, r, wire.Options{MaxMessage: s.config.Limits.MaxMessage})
	if err != nil {
		s.dismiss(session) // Accept has answered the request
		session.line(s.log.Debug()).Str("error", shorten(err.Error())).Str("remote", r.RemoteAddr).Msg("handshake failed")
		return
	}
	visits := s.log.Sample(s.visits)
	line := session.line(visits.Info()).Str("remote", r.RemoteAddr)
	if session.holder != nil {
		line = line.Str("token", session.holder.Name)
	}
	line.Msg("connected")
	session.start(conn)
}

// admit makes a session if there is room for one more; nil while the server shuts
// down.
func (s *Server) admit(r *http.Request) (admitted *session, why *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return nil, nil
	case len(s.sessions) >= s.config.Limits.MaxConnections:
		return nil, &refusal{
			status: http.StatusServiceUnavailable, reason: refusedTooManyConnections, answer: refusedTooManyConnections,
		}
	}
	s.opened++
	admitted = newSession(s, s.opened)
	admitted.remote, admitted.holder = r.RemoteAddr, holderOf(r)
	s.sessions[admitted] = struct{}{}
	s.running.Add(1)
	return admitted, nil
}

// dismiss forgets a session that has ended.
func (s *Server) dismiss(session *session) {
	s.mu.Lock()
	delete(s.sessions, session)
	s.mu.Unlock()
	s.running.Done()
}
