package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// columns are the figures that have a column of their own in a table.
var columns = []string{Rate, P50, P99, DaemonCPU, GeneratorCPU, Resident}

// WriteTable writes rows as a table, a line each. What only some rows have is in its last
// column; a column that no row fills is left out.
func WriteTable(w io.Writer, rows []Row) error {
	var used []string
	for _, name := range columns {
		for _, row := range rows {
			if _, ok := row.Figure(name); ok {
				used = append(used, name)
				break
			}
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(append([]string{"row"}, used...), "\t")+"\t")
	for _, row := range rows {
		cells := []string{row.Name}
		for _, name := range used {
			cells = append(cells, row.cell(name))
		}
		fmt.Fprintln(table, strings.Join(append(cells, row.rest()), "\t"))
	}
	return table.Flush()
}

func (r Row) cell(name string) string {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.String()
		}
	}
	return "-"
}

// rest gives the figures that have no column.
func (r Row) rest() string {
	if r.Skipped != "" {
		return r.Skipped
	}
	var rest []string
	for _, f := range r.Figures {
		own := true
		for _, name := range columns {
			own = own && f.Name != name
		}
		if own {
			rest = append(rest, f.Name+" "+f.String())
		}
	}
	return strings.Join(rest, ", ")
}

// String gives the value with its unit.
func (f Figure) String() string {
	var value string
	switch v := f.Value; {
	case v >= 1000:
		value = thousands(int(v + 0.5))
	case v >= 100 || v == math.Trunc(v):
		value = fmt.Sprintf("%.0f", v)
	case v >= 10:
		value = fmt.Sprintf("%.1f", v)
	default:
		value = fmt.Sprintf("%.2f", v)
	}
	switch f.Unit {
	case "", "events":
		return value
	case "/s", "%":
		return value + f.Unit
	}
	return value + " " + f.Unit
}
