package cluster

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// whether gives what /readyz of a daemon says, "" if it is ready.
func (m *member) whether() (reason string, err error) {
	at := strings.Replace(strings.TrimSuffix(m.address(), "/rpc"), "ws://", "http://", 1)
	answer, err := http.Get(at + "/readyz")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode == http.StatusOK {
		return "", err
	}
	return fmt.Sprint(answer.StatusCode, " ", string(text)), nil
}

// A daemon whose machine is cut off with its NATS server may lack what the others write,
// and is not ready, though that server goes on to answer it.
func TestMachineThatIsCutOffIsNotReady(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	f := startFleet(t, fleetOptions{})
	away := f.members[0]
	requireReady := func(m *member) {
		eventually(t, m.name+" is ready", func() error {
			reason, err := m.whether()
			if err == nil && reason != "" {
				err = fmt.Errorf("%s", reason)
			}
			return err
		})
	}
	for _, m := range f.members {
		requireReady(m)
	}
	for _, l := range f.around(0) {
		l.cut(silent)
	}
	eventually(t, "it is not ready", func() error {
		if reason, err := away.whether(); err != nil || !strings.HasPrefix(reason, "503 ") {
			return fmt.Errorf("%q, %v", reason, err)
		}
		return nil
	})
	for _, m := range f.members[1:] {
		requireReady(m)
	}
	for _, l := range f.around(0) {
		l.heal()
	}
	requireReady(away)
}
