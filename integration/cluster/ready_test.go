package cluster

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// A daemon is ready once it has what there was when it came, not before.
func TestReadyOnceCaughtUp(t *testing.T) {
	t.Parallel()
	f := startOnOne(t, 2)
	c, late := f.members[0].Dial(), f.members[1]
	waitFor(t, late.Dial(), create(t, c, "seen by both").Version)
	late.stop()
	missed := create(t, c, "missed")
	for _, l := range late.links {
		l.cut(silent)
	}
	late.begin() // after some seconds it serves what it has
	if status, why := readyz(t, late); status != http.StatusServiceUnavailable || !strings.Contains(why, "log of record") {
		t.Errorf("a daemon that has not caught up is %d: %s", status, why)
	}
	if _, err := late.Dial().Get(t.Context(), missed.ID); schema.CodeOf(err) != schema.CodeTaskNotFound {
		t.Errorf("what it cannot have: %v", err)
	}
	for _, l := range late.links {
		l.heal()
	}
	eventually(t, "ready", func() error {
		if status, why := readyz(t, late); status != http.StatusOK {
			return fmt.Errorf("%d: %s", status, why)
		}
		return nil
	})
	if _, err := late.Dial().Get(t.Context(), missed.ID); err != nil {
		t.Errorf("it is ready, and has not what it missed: %v", err)
	}
}

// readyz asks a daemon whether it is ready.
func readyz(t *testing.T, m *member) (int, string) {
	t.Helper()
	at := "http" + strings.TrimSuffix(strings.TrimPrefix(m.address(), "ws"), "/rpc") + "/readyz"
	web := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := web.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// A daemon whose machine is cut off from the others, together with the NATS server that
// led the log, is connected, and gets heartbeats, but is not ready; it is again when that
// is over.
func TestMachineThatIsCutOffIsNotReady(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{})
	for i := range f.members {
		f.attach(i, i)
	}
	machine := slices.Index(f.nats.all, f.nats.leader(t, f.nats.all[0].connect(t), stream))
	for _, l := range f.around(machine) {
		l.cut(silent)
	}
	lonely, other := f.members[machine], f.members[(machine+1)%fleetSize]
	is := func(m *member, want int) func() error {
		return func() error {
			if status, why := readyz(t, m); status != want {
				return fmt.Errorf("%s is %d: %s", m.name, status, why)
			}
			return nil
		}
	}
	eventually(t, "not ready", is(lonely, http.StatusServiceUnavailable))
	eventually(t, "ready, when the others have elected a leader", is(other, http.StatusOK))
	if err := is(lonely, http.StatusServiceUnavailable)(); err != nil {
		t.Error(err)
	}
	task := create(t, other.Dial(), "of the majority")
	for _, l := range f.around(machine) {
		l.heal()
	}
	eventually(t, "ready again", is(lonely, http.StatusOK))
	waitFor(t, lonely.Dial(), task.Version)
	f.requireEqual()
}
