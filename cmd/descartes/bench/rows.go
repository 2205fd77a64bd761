package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scenario is a kind of row.
type Scenario struct {
	Name      string
	Usage     string   // what it measures
	Settings  Settings // what it is measured with unless told otherwise
	ownDaemon bool     // it cannot be measured on somebody else's
	run       func(ctx context.Context, b *bench, s Settings) ([]Figure, error)
}

// Planned is a row to be measured.
type Planned struct {
	Scenario Scenario
	Settings Settings
}

// Scenarios gives every kind of row.
func Scenarios() []Scenario {
	const second = time.Second
	return []Scenario{
		{
			"create", "creates, each connection in a closed loop, with a subscriber attached",
			Settings{Writers: 64, InFlight: 1, Subscribers: 1, Duration: 5 * second},
			false, create,
		},
		{
			"update", "updates of tasks that are stored, in a closed loop, with a subscriber attached",
			Settings{Writers: 64, InFlight: 1, Subscribers: 1, Tasks: 10_000, Duration: 5 * second},
			false, update,
		},
		{
			"latency", "from a paced write to its event on another connection; --writers: beside these, in a closed loop",
			Settings{Rate: 100, Duration: 5 * second},
			false, latency,
		},
		{
			"fanout", "one connection writes, all subscribers are told: flat out, or with --rate paced, until the last one has it",
			Settings{Subscribers: 100, InFlight: 16, Duration: 5 * second},
			false, fanout,
		},
		{
			"list", "pages of 100 of the tasks of one status, in a closed loop; --rate: while so many creates a second go on",
			Settings{Writers: 16, InFlight: 1, Tasks: 10_000, Duration: 5 * second},
			false, list,
		},
	}
}

// Find gives the scenario of a name.
func Find(name string) (Scenario, bool) {
	all := Scenarios()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, false
	}
	return all[i], true
}

// plan makes rows of a scenario, each with some settings of its own.
func plan(name string, changes ...func(s *Settings)) (rows []Planned) {
	scenario, ok := Find(name)
	if !ok {
		panic("no scenario " + name)
	}
	for _, change := range changes {
		p := Planned{scenario, scenario.Settings}
		change(&p.Settings)
		rows = append(rows, p)
	}
	return rows
}

// Short is what is measured when nobody says what: half a minute in all.
func Short() []Planned {
	return slices.Concat(
		plan("create", func(s *Settings) { s.Duration = 3 * time.Second },
			func(s *Settings) { s.Writers, s.Duration = 1, 3*time.Second }),
		plan("latency", func(s *Settings) { s.Duration = 3 * time.Second },
			func(s *Settings) { s.Writers, s.Duration = 64, 3*time.Second }),
		plan("fanout", func(s *Settings) { s.Duration = 3 * time.Second },
			func(s *Settings) { s.InFlight, s.Rate, s.Duration = 0, 50, 3*time.Second }),
		plan("list", func(s *Settings) { s.Duration = 3 * time.Second }),
	)
}

// Full is every row of docs/benchmarks.md.
func Full() []Planned {
	return slices.Concat(
		plan("create", func(*Settings) {},
			func(s *Settings) { s.Writers = 16 },
			func(s *Settings) { s.Writers = 256 },
			func(s *Settings) { s.Writers, s.InFlight = 1, 64 },
			func(s *Settings) { s.Writers = 1 }),
		plan("update", func(*Settings) {}),
		plan("latency", func(*Settings) {},
			func(s *Settings) { s.Writers = 64 }),
		plan("fanout", func(*Settings) {},
			func(s *Settings) { s.Subscribers, s.InFlight = 1000, 4 },
			func(s *Settings) { s.Subscribers, s.InFlight = 5000, 4 },
			func(s *Settings) { s.Subscribers, s.InFlight, s.Rate = 1000, 0, 50 }),
		plan("list", func(s *Settings) { s.Tasks = 100_000 },
			func(s *Settings) { s.Tasks, s.Rate = 100_000, 2000 }),
	)
}

// name is what the row is called in tables.
func (p Planned) name() string {
	s := p.Settings
	words := []string{p.Scenario.Name}
	add := func(n int, what string) {
		if n > 0 {
			words = append(words, fmt.Sprintf("%s %s", thousands(n), what))
		}
	}
	add(s.Writers, "conns")
	if s.InFlight > 1 {
		add(s.InFlight, "in flight")
	}
	add(s.Subscribers, "subs")
	add(s.Tasks, "tasks")
	add(s.Events, "events")
	add(int(s.Rate), "writes/s")
	return words[0] + strings.TrimSuffix(": "+strings.Join(words[1:], ", "), ": ")
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
