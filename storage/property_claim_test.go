package storage_test

import (
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter/journaltest"
)

// TestClaimsKeepTheirPromises plays with claims on real files, in virtual time.
func TestClaimsKeepTheirPromises(t *testing.T) {
	h := harness()
	journaltest.PlayClaims(t, journaltest.Harness{Open: h.Open, Reopen: h.Reopen, Outside: h.Outside}, time.Minute)
}
