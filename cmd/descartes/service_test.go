package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// manager is a service manager that remembers what it was told, and when.
type manager struct {
	*service
	began time.Time

	mu    sync.Mutex
	pings []time.Duration
	told  []string // all but pings
}

// managed starts a service.
func managed(watch time.Duration, probe func(ctx context.Context) error) *manager {
	m := &manager{began: time.Now()}
	m.service = newService(zerolog.New(io.Discard))
	m.watch = watch
	m.notify = func(state string) (bool, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for line := range strings.Lines(state) {
			if line = strings.TrimSpace(line); line == "WATCHDOG=1" {
				m.pings = append(m.pings, time.Since(m.began))
			} else {
				m.told = append(m.told, line)
			}
		}
		return true, nil
	}
	m.start(probe, func() string { return "here" })
	return m
}

// sofar waits until all is told, and gives it.
func (m *manager) sofar() (told []string, pings []time.Duration) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.told), slices.Clone(m.pings)
}

func TestWatchdogIsPingedTwiceInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := managed(time.Minute, func(context.Context) error { return nil })
		time.Sleep(time.Minute + 30*time.Second)
		told, pings := m.sofar()
		m.end()
		if want := []time.Duration{30 * time.Second, time.Minute, 90 * time.Second}; !slices.Equal(pings, want) {
			t.Errorf("pings at %v, want %v", pings, want)
		}
		if want := []string{"READY=1", "STATUS=Answering at here"}; !slices.Equal(told[:2], want) {
			t.Errorf("told %q, want %q", told[:2], want)
		}
	})
}

// A probe that hangs ends the pings, and nothing else brings them back.
func TestWedgedDaemonIsNotVouchedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, wedged := make(chan struct{}), atomic.Bool{}
		m := managed(time.Minute, func(ctx context.Context) error {
			if !wedged.Load() {
				return nil
			}
			select {
			case <-hangs:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		time.Sleep(time.Minute + time.Second)
		wedged.Store(true)
		m.failed("write", errors.New("beside it"))
		time.Sleep(time.Hour)
		if _, pings := m.sofar(); len(pings) != 2 {
			t.Errorf("pings at %v, want two before it hangs", pings)
		}
		wedged.Store(false)
		close(hangs)
		time.Sleep(time.Minute)
		if _, pings := m.sofar(); len(pings) < 4 {
			t.Errorf("pings at %v: none since it goes on", pings)
		}
		m.end()
	})
}

// It can be stopped while it hangs, and a daemon that never was ready does not say so.
func TestWedgedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := managed(time.Minute, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(time.Hour)
		m.end()
		if len(m.told) > 0 || len(m.pings) > 0 {
			t.Errorf("told %q, pings at %v", m.told, m.pings)
		}
	})
}

// A database that fails is told, and no reason to be killed.
func TestFailingDatabaseIsVouchedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := managed(time.Minute, func(context.Context) error { return nil })
		m.failed("write", errors.New("database or disk is full\nWATCHDOG=1"))
		const want = "STATUS=The database fails (write): database or disk is full WATCHDOG=1"
		if told, _ := m.sofar(); told[len(told)-1] != want {
			t.Errorf("told %q, want %q", told, want)
		}
		time.Sleep(10 * time.Minute)
		if _, pings := m.sofar(); len(pings) != 20 {
			t.Errorf("%d pings in ten minutes, want 20", len(pings))
		}
		m.failed("write", nil)
		if told, _ := m.sofar(); told[len(told)-1] != "STATUS=Answering at here" {
			t.Errorf("told %q when it works again", told)
		}
		m.stopping()
		m.failed("read", errors.New("while it stops"))
		told, _ := m.sofar()
		const stopping = "STATUS=Stopping: finishing what was accepted"
		if want := []string{"STOPPING=1", stopping, stopping}; !slices.Equal(told[len(told)-3:], want) {
			t.Errorf("told %q, want at the end %q", told, want)
		}
		m.end()
	})
}

// A manager that cannot be reached is complained of once.
func TestManagerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log buffer
		m := &manager{service: newService(zerolog.New(&log))}
		m.notify = func(string) (bool, error) { return false, errors.New("gone") }
		m.tell("STATUS=a")
		m.tell("STATUS=b")
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines: %s", n, log.String())
		}
	})
}
