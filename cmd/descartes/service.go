package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// service tells the service manager how the daemon is, as sd_notify(3) says; where there
// is none, nobody. Its methods are safe for concurrent use.
type service struct {
	notify func(state string) (told bool, err error)
	watch  time.Duration // the manager kills who is silent for longer; 0: it does not
	log    zerolog.Logger
	news   chan struct{} // one slot: the state has changed
	end    func()        // stops telling, and waits for that; set by start

	mu         sync.Mutex
	failing    map[string]error // what the database cannot do at present
	ends       bool             // the daemon is told to stop
	complained bool             // that the manager could not be told
}

// newService finds the manager in the environment (NOTIFY_SOCKET, WATCHDOG_USEC).
func newService(log zerolog.Logger) *service {
	s := &service{
		notify: func(state string) (bool, error) { return systemd.SdNotify(false, state) },
		log:    log, news: make(chan struct{}, 1), failing: make(map[string]error),
	}
	var err error
	if s.watch, err = systemd.SdWatchdogEnabled(false); err != nil {
		log.Warn().Err(err).Msg("the watchdog of the service manager is not understood: it gets no pings")
	}
	return s
}

// tell sends lines of state. That nobody listens is logged once.
func (s *service) tell(state ...string) {
	_, err := s.notify(strings.Join(state, "\n"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.complained {
		s.complained = true
		s.log.Warn().Err(err).Msg("the service manager cannot be told")
	}
}

// failed takes what begins to fail in the database, or with a nil error what works
// again. It does not wait for the manager.
func (s *service) failed(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.failing, what)
	} else {
		s.failing[what] = err
	}
	select {
	case s.news <- struct{}{}:
	default: // what is told next is the newest state
	}
}

// start begins to tell how the daemon is, until end; figures are told with it.
func (s *service) start(probe func(context.Context) error, figures func() string) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.end = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		s.run(ctx, probe, figures)
	}()
}

// run tells that the daemon is ready once a probe has come through, then what changes,
// until ctx ends. The watchdog gets a ping twice in its time, each after a probe: one
// that hangs ends the pings, and then the manager ends the daemon. A database that
// fails does not.
func (s *service) run(ctx context.Context, probe func(context.Context) error, figures func() string) {
	if probe(ctx) != nil {
		return // told to stop before it was ready
	}
	s.tell(systemd.SdNotifyReady, s.status(figures()))
	var ticks <-chan time.Time
	if s.watch > 0 {
		ticker := time.NewTicker(s.watch / 2)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.news:
			s.tell(s.status(figures()))
		case <-ticks:
			if probe(ctx) == nil {
				s.tell(systemd.SdNotifyWatchdog, s.status(figures()))
			}
		}
	}
}

// stopping tells that the daemon ends.
func (s *service) stopping() {
	s.mu.Lock()
	s.ends = true
	s.mu.Unlock()
	s.tell(systemd.SdNotifyStopping, s.status(""))
}

// status is the line that systemctl status shows.
func (s *service) status(figures string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := "Answering at " + figures
	switch failing := slices.Sorted(maps.Keys(s.failing)); {
	case s.ends:
		line = "Stopping: finishing what was accepted"
	case len(failing) > 0:
		line = fmt.Sprintf("The database fails (%s): %v", strings.Join(failing, ", "), s.failing[failing[0]])
	}
	return "STATUS=" + strings.Map(printable, line)
}
