package emitter_test

import (
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/emitter/journaltest"
	"github.com/descartes-tasks/descartes/schema"
)

func TestClaimsKeepTheirPromises(t *testing.T) {
	journaltest.PlayClaims(t, journaltest.Harness{
		Open: func(journaltest.TB) emitter.Journal { return journaltest.NewMemory() },
		Outside: func(_ journaltest.TB, j emitter.Journal, operations ...schema.Operation) {
			j.(*journaltest.Memory).Outside(time.Now().UnixMilli(), operations...)
		},
	}, 30*time.Hour)
}
