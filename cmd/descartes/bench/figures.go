package bench

import (
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Figure is one number of a row.
type Figure struct {
	Name  string  `json:"name"` // what it is: one of the names below, or what the row alone has
	Unit  string  `json:"unit"` // "/s", "ms", "µs", "MiB", "KiB", "%", "" for a ratio or a count
	Value float64 `json:"value"`
}

// Names of figures that many rows have.
const (
	Rate         = "rate"          // operations, or events delivered, in a second
	P50          = "p50"           // latency that half of them stay below
	P99          = "p99"           // latency that 99 % of them stay below
	DaemonCPU    = "daemon cpu"    // processor time of the daemon for one of them
	GeneratorCPU = "generator cpu" // processor time of the generator for one of them
	Resident     = "resident"      // memory of the daemon in the end
)

// Row is what was measured.
type Row struct {
	Name    string   `json:"row"`
	Figures []Figure `json:"figures,omitempty"`
	Skipped string   `json:"skipped,omitempty"` // why there are no figures
}

// Figure gives the value of a figure; false if the row has none of that name.
func (r Row) Figure(name string) (float64, bool) {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}

// median gives, for each figure, the median of what several runs of a row have measured.
// Of an even number it is the lower of the two in the middle.
func median(runs []Row) Row {
	row := Row{Name: runs[0].Name, Skipped: runs[0].Skipped}
	for _, f := range runs[0].Figures {
		var values []float64
		for _, run := range runs {
			if value, ok := run.Figure(f.Name); ok {
				values = append(values, value)
			}
		}
		slices.Sort(values)
		row.Figures = append(row.Figures, Figure{f.Name, f.Unit, values[(len(values)-1)/2]})
	}
	return row
}

// latencies is a histogram of durations from a microsecond to a minute, exact to three
// digits.
type latencies struct{ *hdrhistogram.Histogram }

func newLatencies() latencies { return latencies{hdrhistogram.New(1, time.Minute.Microseconds(), 3)} }

func (l latencies) record(d time.Duration) {
	_ = l.RecordValue(min(d.Microseconds(), l.HighestTrackableValue())) // more than a minute is one
}

func (l latencies) milliseconds(percentile float64) float64 {
	return float64(l.ValueAtQuantile(percentile)) / 1000
}

func (l latencies) figures() []Figure {
	return []Figure{{P50, "ms", l.milliseconds(50)}, {P99, "ms", l.milliseconds(99)}, {"max", "ms", float64(l.Max()) / 1000}}
}
