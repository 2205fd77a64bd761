package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is paced goes on as planned when one call took long: those that had to wait for it
// count from when they were due, the others from when they began.
func TestPacedCorrectsCoordinatedOmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoad(t.Context(), nil)
		began := time.Now()
		var calls, took []time.Duration
		err := l.paced(100, func(call time.Time) error {
			n := len(calls)
			calls = append(calls, call.Sub(began))
			if n == 2 {
				time.Sleep(35 * time.Millisecond) // the daemon takes nothing for so long
			}
			if n == 8 {
				l.phase.Store(over)
			}
			took = append(took, time.Since(call))
			return nil
		})
		const ms = time.Millisecond
		if want := []time.Duration{0, 10 * ms, 20 * ms, 30 * ms, 40 * ms, 50 * ms, 60 * ms, 70 * ms, 80 * ms}; err != nil || !slices.Equal(calls, want) {
			t.Errorf("calls counted from %v, %v, want %v", calls, err, want)
		}
		if want := []time.Duration{0, 0, 35 * ms, 25 * ms, 15 * ms, 5 * ms, 0, 0, 0}; !slices.Equal(took, want) {
			t.Errorf("calls took %v, want %v", took, want)
		}
	})
}

// The first error of a load is the one that is told, and ends it.
func TestLoadTellsFirstError(t *testing.T) {
	l := newLoad(t.Context(), nil)
	first := errors.New("first")
	l.run(func() error { return first })
	l.run(func() error {
		<-l.ctx.Done()
		return errors.New("because of the first")
	})
	<-l.ctx.Done()
	if err := l.stop(); !errors.Is(err, first) {
		t.Errorf("stop gives %v", err)
	}
	l = newLoad(t.Context(), nil)
	l.run(func() error {
		<-l.ctx.Done()
		return context.Cause(l.ctx)
	})
	if err := l.stop(); err != nil {
		t.Errorf("the end of a load is the error %v", err)
	}
}

// What was asked for is answered before a load ends that is interrupted: it could not be
// deleted before it is made. A daemon that answers never is not waited for without end.
func TestLoadEndsWithTheLastAnswer(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			l := newLoad(ctx, nil)
			answered := false
			l.call(func() error {
				for l.phase.Load() != over {
					time.Sleep(time.Second)
				}
				if !answers {
					<-l.ctx.Done()
				}
				answered = true
				return nil
			})
			cancel()
			<-l.ctx.Done()
			if err := l.stop(); errors.Is(err, context.Canceled) != answers || !answered {
				t.Errorf("answers: %t; ends with %v, answered: %t", answers, err, answered)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	run := func(rate, p50 float64) Row {
		return Row{Name: "create", Figures: []Figure{{Rate, "/s", rate}, {P50, "ms", p50}}}
	}
	row := median([]Row{run(3, 30), run(1, 10), run(2, 50)})
	rate, _ := row.Figure(Rate)
	p50, _ := row.Figure(P50)
	if rate != 2 || p50 != 30 || row.Name != "create" {
		t.Errorf("got %+v", row)
	}
}

func TestWriteTable(t *testing.T) {
	var out strings.Builder
	err := WriteTable(&out, []Row{
		{Name: "create: 64 conns", Figures: []Figure{{Rate, "/s", 20123.4}, {P50, "ms", 2.345}, {"max", "ms", 123.4}, {DaemonCPU, "µs", 40.06}}},
		{Name: "memory", Skipped: "needs a daemon of its own"},
		{Name: "stuck", Figures: []Figure{{P50, "ms", 0.5}, {"ratio", "", 1.5}, {"lag", "events", 12}}},
	})
	want := `row               rate      p50      daemon cpu  
create: 64 conns  20,123/s  2.35 ms  40.1 µs     max 123 ms
memory            -         -        -           needs a daemon of its own
stuck             -         0.50 ms  -           ratio 1.50, lag 12
`
	if err != nil || out.String() != want {
		t.Errorf("got\n%s%v, want\n%s", &out, err, want)
	}
}

// Every plan is made of scenarios that there are, with names that tell their rows apart.
func TestPlans(t *testing.T) {
	for name, plan := range map[string][]Planned{"short": Short(), "full": Full(), "growth": Growth()} {
		names := make(map[string]bool)
		for _, p := range plan {
			if p.Scenario.run == nil || names[p.name()] {
				t.Errorf("%s: %q is no row, or is there twice", name, p.name())
			}
			names[p.name()] = true
		}
	}
	for _, s := range Scenarios() {
		if got := (Planned{s, s.Settings}).name(); !strings.HasPrefix(got, s.Name) {
			t.Errorf("%s is called %s", s.Name, got)
		}
	}
}

// Both ways to ask for the processor time of a process tell the same.
func TestCPUTime(t *testing.T) {
	if runtime.GOOS != "linux" {
		if _, ok := cpuTime(os.Getpid()); ok {
			t.Error("it is known here, too: docs/benchmarks.md says otherwise")
		}
		return
	}
	for sum := sha256.Sum256(nil); ; sum = sha256.Sum256(sum[:]) {
		fine, ok := cpuTime(os.Getpid())
		coarse, okToo := cpuTicks(os.Getpid())
		if !ok || !okToo || (fine-coarse).Abs() > 100*time.Millisecond {
			t.Fatalf("%v, %v; %v, %v", fine, ok, coarse, okToo)
		}
		if fine > 200*time.Millisecond {
			return
		}
	}
}
