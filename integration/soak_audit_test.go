package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// auditor is a subscriber of every change. Seqs are dense, so it sees what is
// missing and what comes twice; and it compares what it sees with what writers were
// told.
type auditor struct {
	t      *testing.T
	name   string
	client *client.Client
	events *client.Subscription
	ended  chan struct{}

	mu           sync.Mutex
	first, last  int64            // seqs that it has seen
	lost, twice  int64            // events
	acknowledged map[int64]string // seq and task of writes whose event has not come yet
	seen         map[int64]string // the same of events whose write has not been acknowledged yet
	lags         []time.Duration  // from each change to its event, since the last sample
}

// audit begins with the next change.
func (s *soak) audit(service *service) *auditor {
	c := service.dial()
	a := &auditor{
		t: s.t, name: service.socket[strings.LastIndexByte(service.socket, '/')+1:], client: c, ended: make(chan struct{}),
		events:       subscribe(s.t, c, schema.SubscribeParams{}),
		acknowledged: make(map[int64]string), seen: make(map[int64]string),
	}
	go a.run(s.t.Context())
	return a
}

func (a *auditor) run(ctx context.Context) {
	defer close(a.ended)
	for e, err := range a.events.Events(ctx) {
		if err == nil && e.ChangeType == schema.Bookmark {
			continue
		}
		if err == nil {
			err = a.see(&e)
		}
		if err != nil {
			a.t.Errorf("the auditor of %s: %v", a.name, err)
			return
		}
	}
}

func (a *auditor) see(e *schema.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case e.ChangeType == schema.Resync:
		return fmt.Errorf("resync: %s", e.Reason)
	case a.first == 0:
		a.first = e.Seq
	case e.Seq <= a.last:
		a.twice++
		return fmt.Errorf("event %d after %d", e.Seq, a.last)
	case e.Seq > a.last+1:
		a.lost += e.Seq - a.last - 1
		return fmt.Errorf("event %d after %d", e.Seq, a.last)
	}
	a.last = e.Seq
	a.lags = append(a.lags, time.Since(time.UnixMilli(e.Timestamp)))
	return match(e.Seq, e.TaskID, a.acknowledged, a.seen)
}

// acknowledge notes a write that was answered.
func (a *auditor) acknowledge(seq int64, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return match(seq, id, a.seen, a.acknowledged)
}

// match crosses off what the other side has noted, or notes it for it.
func match(seq int64, id string, theirs, ours map[int64]string) error {
	other, there := theirs[seq]
	if !there {
		ours[seq] = id
		return nil
	}
	delete(theirs, seq)
	if other != id {
		return fmt.Errorf("change %d is one of %s and of %s", seq, id, other)
	}
	return nil
}

// finish waits for the last change.
func (a *auditor) finish(last int64) {
	a.t.Helper()
	await(a.t, "the auditor of "+a.name+" sees the last change", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.last >= last
	})
	a.client.Close()
	<-a.ended
	a.t.Logf("the auditor of %s: %d events, %d lost, %d twice, %d acknowledged writes missing",
		a.name, a.last-a.first+1, a.lost, a.twice, len(a.acknowledged))
	if len(a.acknowledged) > 0 {
		a.t.Errorf("acknowledged, and not told: %v", a.acknowledged)
	}
}

// takeLags gives the median and the longest of the delays since it was last asked.
func (a *auditor) takeLags() (median, longest time.Duration) {
	a.mu.Lock()
	lags := a.lags
	a.lags = nil
	a.mu.Unlock()
	if len(lags) == 0 {
		return 0, 0
	}
	slices.Sort(lags)
	return lags[len(lags)/2], lags[len(lags)-1]
}

// soakSample is what was measured at one time.
type soakSample struct {
	figures
	log, file    int64         // bytes of the write-ahead log and of the database
	lag, longest time.Duration // from a change to its event
}

func (s *soak) look() soakSample {
	s.t.Helper()
	x := soakSample{figures: s.gauge.read(), log: fileSize(s.t, s.steady.db+"-wal"), file: fileSize(s.t, s.steady.db)}
	x.lag, x.longest = s.auditors[0].takeLags()
	return x
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// soakColumn is a figure that must not grow: from the second quarter to the last,
// the median by no more than a fifth and slack.
type soakColumn struct {
	name  string
	slack float64
	of    func(x soakSample) float64
}

var soakColumns = []soakColumn{
	{"resident MiB", 8, func(x soakSample) float64 { return mebibytes(x.resident) }},
	{"heap MiB", 4, func(x soakSample) float64 { return mebibytes(x.heap) }},
	{"goroutines", 20, func(x soakSample) float64 { return float64(x.goroutines) }},
	{"files", 10, func(x soakSample) float64 { return float64(x.files) }},
	{"log MiB", 4, func(x soakSample) float64 { return mebibytes(x.log) }},
	{"database MiB", 4, func(x soakSample) float64 { return mebibytes(x.file) }},
	{"event after ms", 50, func(x soakSample) float64 { return milliseconds(x.lag) }},
	{"longest ms", 1000, func(x soakSample) float64 { return milliseconds(x.longest) }},
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// table shows the median of each quarter, and judges.
func (s *soak) table() {
	s.t.Helper()
	n := len(s.samples)
	var text strings.Builder
	fmt.Fprintf(&text, "medians of %d samples, by quarter\n| %-14s | 1st | 2nd | 3rd | 4th |\n| --- | --- | --- | --- | --- |\n", n, "")
	for _, column := range soakColumns {
		fmt.Fprintf(&text, "| %-14s |", column.name)
		var medians [4]float64
		for quarter := range medians {
			var values []float64
			for _, x := range s.samples[quarter*n/4 : (quarter+1)*n/4] {
				values = append(values, column.of(x))
			}
			slices.Sort(values)
			medians[quarter] = values[len(values)/2]
			fmt.Fprintf(&text, " %.1f |", medians[quarter])
		}
		text.WriteByte('\n')
		if limit := medians[1]*1.2 + column.slack; medians[3] > limit {
			s.t.Errorf("%s grows from %.1f to %.1f, more than to %.1f", column.name, medians[1], medians[3], limit)
		}
	}
	s.t.Log(text.String())
}
