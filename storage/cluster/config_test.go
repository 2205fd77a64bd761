package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// That NATS has too few servers is told in words. One that is alone stays so; others may
// yet come.
func TestTooFewServers(t *testing.T) {
	j := &Journal{config: Config{Replicas: 5}}
	for code, test := range map[jetstream.ErrorCode]struct {
		says string
		ends bool
	}{
		10005: {"there are no 5 NATS servers", false},
		10074: {"a single NATS server cannot hold 5 copies", true},
		10008: {"system not available", false},
	} {
		err := j.refusal(&jetstream.APIError{Code: 400, ErrorCode: code, Description: "system not available"})
		if _, ends := errors.AsType[final](err); ends != test.ends || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%d: %v, final: %v", code, err, ends)
		}
	}
}
