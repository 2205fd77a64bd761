package bench

import (
	"slices"
	"strings"
	"time"
)

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
		plan("replay", func(s *Settings) { s.Tasks, s.Events = 100_000, 1_000_000 }),
		plan("memory", func(*Settings) {},
			func(s *Settings) { s.Subscribers, s.Tasks = 0, 100_000 }),
		plan("start", func(s *Settings) { s.Tasks, s.Events = 100_000, 1_000_000 }),
		plan("idle", func(*Settings) {},
			func(s *Settings) { s.Subscribers = 5000 }),
		plan("stuck", func(*Settings) {}),
	)
}

// Growth is how the cost of an operation grows with tasks, journal, connections and
// subscribers, each over three orders of magnitude.
func Growth() (rows []Planned) {
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		rows = append(rows, plan("update", func(s *Settings) { s.Tasks = n })...)
		rows = append(rows, plan("list", func(s *Settings) { s.Tasks = n })...)
	}
	for _, n := range []int{1000, 10_000, 100_000, 1_000_000} {
		rows = append(rows, plan("update", func(s *Settings) { s.Tasks, s.Events = 1000, n })...)
		rows = append(rows, plan("start", func(s *Settings) { s.Tasks, s.Events = 1000, n })...)
	}
	for _, n := range []int{1, 10, 100, 1000} {
		rows = append(rows, plan("create", func(s *Settings) { s.Writers = n })...)
	}
	for _, n := range []int{5, 50, 500, 5000} {
		rows = append(rows, plan("fanout", func(s *Settings) { s.Subscribers, s.InFlight = n, 4 })...)
		rows = append(rows, plan("memory", func(s *Settings) { s.Subscribers = n })...)
	}
	slices.SortStableFunc(rows, func(a, b Planned) int { return strings.Compare(a.Scenario.Name, b.Scenario.Name) })
	return rows
}
