package cluster

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// A daemon makes no snapshot while another says that it makes one, unless that one has
// fallen silent.
func TestOthersMakeSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &Journal{config: Config{Daemon: "a"}, incarnation: 1}
		hear := func(making bool) {
			data, err := json.Marshal(greeting{Name: "b", Incarnation: 3, Making: making})
			if err != nil {
				t.Fatal(err)
			}
			j.hear(&nats.Msg{Data: data})
		}
		for i, want := range []bool{false, true, false, true} {
			if i > 0 {
				hear(want)
			}
			if got := j.othersMake(); got != want {
				t.Errorf("%d: %v", i, got)
			}
		}
		time.Sleep(there)
		if j.othersMake() {
			t.Error("it waits for one that is gone")
		}
		j.snapshots.making.Store(true)
		if j.othersMake() {
			t.Error("it waits for itself")
		}
		if !j.greeting().Making {
			t.Error("it does not say that it makes one")
		}
	})
}
