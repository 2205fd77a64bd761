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
	const usual, some = 5 * time.Second, 10_000
	return []Scenario{
		{
			Name: "create", Usage: "creates, each connection in a closed loop, with a subscriber attached",
			Settings: Settings{Writers: 64, InFlight: 1, Subscribers: 1, Duration: usual}, run: create,
		},
		{
			Name: "update", Usage: "updates of tasks that are stored, in a closed loop, with a subscriber attached",
			Settings: Settings{Writers: 64, InFlight: 1, Subscribers: 1, Tasks: some, Duration: usual}, run: update,
		},
		{
			Name: "latency", Usage: "from a write on time to its event on another connection; --writers: beside these, in a closed loop",
			Settings: Settings{Rate: 100, Duration: usual}, run: latency,
		},
		{
			Name: "fanout", Usage: "one connection writes, all are told; --rate: on time, and until the last one has it",
			Settings: Settings{Subscribers: 100, InFlight: 16, Duration: usual}, run: fanout,
		},
		{
			Name: "list", Usage: "pages of 100 of the tasks of one status, in a closed loop; --rate: while so many creates go on",
			Settings: Settings{Writers: 16, InFlight: 1, Tasks: some, Duration: usual}, run: list,
		},
		{
			Name: "replay", Usage: "a subscriber gets the whole journal",
			Settings: Settings{Subscribers: 1, Tasks: some, Events: 10 * some}, run: replay,
		},
		{
			Name: "stuck", Usage: "fan-out on time while one more subscriber reads nothing, and without it",
			Settings: Settings{Subscribers: 100, Rate: 200, Duration: usual}, ownDaemon: true, run: stuck,
		},
		{
			Name: "memory", Usage: "what is resident with so many subscribers that wait, or after so many tasks were made",
			Settings: Settings{Subscribers: 5000, Duration: 2 * time.Second}, ownDaemon: true, run: memory,
		},
		{
			Name: "start", Usage: "until a daemon on a file with so many tasks and events is ready",
			Settings: Settings{Tasks: some, Events: 10 * some}, ownDaemon: true, run: start,
		},
		{
			Name: "idle", Usage: "processor time while nothing happens; subscribers get bookmarks only 15 s after they came",
			Settings: Settings{Duration: 8 * time.Second}, ownDaemon: true, run: idle,
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

// Check refuses settings that the scenario can do nothing with.
func (p Planned) Check() error {
	s := p.Settings
	atLeast := map[string][]struct {
		flag  string
		value float64
	}{
		"create":  {{"writers", float64(s.Writers)}},
		"update":  {{"writers", float64(s.Writers)}, {"tasks", float64(s.Tasks)}},
		"latency": {{"rate", s.Rate}},
		"fanout":  {{"subscribers", float64(s.Subscribers)}},
		"list":    {{"writers", float64(s.Writers)}},
		"replay":  {{"subscribers", float64(s.Subscribers)}},
		"stuck":   {{"subscribers", float64(s.Subscribers)}, {"rate", s.Rate}},
	}
	for _, needed := range atLeast[p.Scenario.Name] {
		if needed.value < 1 {
			return fmt.Errorf("%s needs a --%s of at least 1", p.Scenario.Name, needed.flag)
		}
	}
	return nil
}

// name is what the row is called in tables.
func (p Planned) name() string {
	s := p.Settings
	var words []string
	add := func(n int, what string) {
		if n > 1 && !strings.Contains(what, " ") && !strings.Contains(what, "/") {
			what += "s"
		}
		if n > 0 {
			words = append(words, thousands(n)+" "+what)
		}
	}
	if p.Scenario.Name == "list" {
		add(s.Writers, "reader")
	} else {
		add(s.Writers, "writer")
	}
	if s.InFlight > 1 && (p.Scenario.Name != "fanout" || s.Rate == 0) {
		add(s.InFlight, "in flight")
	}
	add(s.Subscribers, "subscriber")
	add(s.Tasks, "task")
	add(s.Events, "event")
	add(int(s.Rate), "writes/s")
	return strings.TrimSuffix(p.Scenario.Name+": "+strings.Join(words, ", "), ": ")
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
