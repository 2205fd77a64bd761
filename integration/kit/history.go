package kit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// finalRead marks the read after everything else.
const finalRead = "final read"

// history is what clients asked for and were told.
type history struct {
	*Linear
	t       *testing.T
	name    string
	random  *rand.Rand
	began   time.Time
	answers Tally

	mu         sync.Mutex
	operations []porcupine.Operation
}

// record lets clients work and disturbs the daemons.
func (h *history) record() []porcupine.Operation {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	var working sync.WaitGroup
	h.t.Cleanup(func() { stop(); working.Wait() })
	for i := range linearClients {
		s := h.Daemons[i%len(h.Daemons)]
		l := &linearClient{
			history: h, daemon: s, c: s.Dial(), number: i, random: rand.New(rand.NewPCG(h.random.Uint64(), 0)),
		}
		working.Go(func() {
			defer l.c.Close()
			l.work(ctx)
		})
	}
	for range h.Disturbances {
		h.answers.Await(h.t, 1+h.random.IntN(linearAnswers))
		h.Disturb(h.random)
	}
	h.answers.Await(h.t, linearAnswers)
	stop()
	working.Wait()
	last := &linearClient{history: h, daemon: h.Daemons[0], c: h.Daemons[0].Dial(), number: linearClients}
	defer last.c.Close()
	last.do(linearInput{read: true, all: true}, finalRead)
	// Only now may a write without an answer be taken for one that was never made.
	end := int64(time.Since(h.began)) + 1
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: linearClients, Input: linearInput{over: true}, Call: end, Output: linearOutput{}, Return: end + 1,
	})
	return h.operations
}

func (h *history) id(task int) string { return fmt.Sprintf("%s-%d", h.name, task) }
