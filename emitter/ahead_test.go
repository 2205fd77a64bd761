package emitter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

const aheadPatience = 5 * time.Second

// resumed is what Resume, or Before, has given, and when.
type resumed struct {
	place int64
	err   error
	after time.Duration
}

func (r resumed) String() string {
	detail := ""
	if coded, ok := errors.AsType[*schema.Error](r.err); ok {
		detail = orText(coded.Data.ReasonDetail, coded.Data.Reason)
	} else if r.err != nil {
		detail = r.err.Error()
	}
	return fmt.Sprintf("%d %s after %v", r.place, detail, r.after)
}

func orText(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// resuming asks for the place of a cursor in the background.
func (f *fixture) resuming(ctx context.Context, resume func(context.Context, string, string) (int64, error), cursor string) <-chan resumed {
	answer := make(chan resumed, 1)
	began := time.Now()
	go func() {
		place, err := resume(ctx, "since", cursor)
		if err != nil {
			place = 0
		}
		answer <- resumed{place, err, time.Since(began)}
	}()
	synctest.Wait()
	return answer
}

func expectResumed(t *testing.T, answer <-chan resumed, want string) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-answer:
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	default:
		t.Errorf("still waits, want %s", want)
	}
}

// A cursor that is ahead waits for the journal, no longer than is configured, and is
// woken by what is announced.
func TestCursorAheadWaits(t *testing.T) {
	inBubble(t, emitter.Config{AheadPatience: aheadPatience}, func(f *fixture) {
		f.do(create("a"))
		for name, resume := range map[string]func(context.Context, string, string) (int64, error){"since": f.Resume, "before": f.Before} {
			newest := f.Newest()
			ahead := schema.Cursor{Epoch: newest.Epoch, Seq: newest.Seq + 2}.String()
			answer := f.resuming(f.t.Context(), resume, ahead)
			after(time.Second)
			f.do(setTitle("a", "own "+name))
			if len(answer) > 0 {
				t.Fatal("came before its place")
			}
			after(2 * time.Second)
			f.journal.Outside(1, setTitle("a", "another's "+name))
			expectResumed(t, answer, fmt.Sprintf("%d  after 3s", newest.Seq+2))

			newest = f.Newest()
			ahead = schema.Cursor{Epoch: newest.Epoch, Seq: newest.Seq + 1}.String()
			answer = f.resuming(f.t.Context(), resume, ahead)
			after(aheadPatience - time.Millisecond)
			if len(answer) > 0 {
				t.Fatal("is refused early")
			}
			after(time.Millisecond)
			expectResumed(t, answer, "0 ahead after 5s")
		}
	})
}

// What is no cursor of this journal, or has no patience, does not wait.
func TestOnlyCursorsAheadWait(t *testing.T) {
	inBubble(t, emitter.Config{AheadPatience: aheadPatience}, func(f *fixture) {
		f.do(create("a"), create("b"), create("c"))
		f.journal.Prune(2)
		expectResumed(t, f.resuming(f.t.Context(), f.Resume, schema.Cursor{Epoch: "other", Seq: 9}.String()), "0 epoch after 0s")
		expectResumed(t, f.resuming(f.t.Context(), f.Resume, schema.Cursor{Epoch: "memory", Seq: 1}.String()), "0 compacted after 0s")
		expectResumed(t, f.resuming(f.t.Context(), f.Resume, "x"), "0 invalid_params after 0s")
		expectResumed(t, f.resuming(f.t.Context(), f.Resume, schema.SinceStart), "2  after 0s")
		expectResumed(t, f.resuming(f.t.Context(), f.Before, schema.BeforeEnd), "3  after 0s")
	})
	inBubble(t, emitter.Config{}, func(f *fixture) {
		expectResumed(t, f.resuming(f.t.Context(), f.Resume, schema.Cursor{Epoch: "memory", Seq: 1}.String()), "0 ahead after 0s")
	})
}

// The end of who asks, and that of the emitter, end the wait.
func TestWaitForACursorEnds(t *testing.T) {
	inBubble(t, emitter.Config{AheadPatience: aheadPatience}, func(f *fixture) {
		ahead := schema.Cursor{Epoch: "memory", Seq: 1}.String()
		ctx, cancel := context.WithCancelCause(f.t.Context())
		answer := f.resuming(ctx, f.Resume, ahead)
		cancel(errBroken)
		expectResumed(t, answer, "0 "+errBroken.Error()+" after 0s")
		answer = f.resuming(f.t.Context(), f.Resume, ahead)
		f.Close()
		expectResumed(t, answer, "0 shutting_down after 0s")
	})
}

// A subscription that has waited for its place goes on from there, with nothing twice and
// nothing left out; what the journal had by then is its past.
func TestSubscribeFromACursorAhead(t *testing.T) {
	inBubble(t, emitter.Config{AheadPatience: aheadPatience}, func(f *fixture) {
		f.do(create("a"))
		subscribed := make(chan *recorder)
		go func() {
			subscribed <- f.subscribe(emitter.Spec{Since: schema.Cursor{Epoch: "memory", Seq: 2}.String()})
		}()
		after(time.Second)
		f.must(schema.Change{Transaction: true, Operations: []schema.Operation{setTitle("a", "2"), setTitle("a", "3")}})
		r := <-subscribed
		r.start = time.Now()
		r.Start()
		r.expect(`0s updated a#3 x1 todo>todo {"title":"2"} @3`, "0s bookmark live @3")
		f.do(setTitle("a", "4"))
		r.expect(`0s updated a#4 x1 todo>todo {"title":"3"} @4`)
	})
}
