package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// The walk through docs/agents.md works as printed: its commands are run, what the
// watching terminal shows is compared, and the journal has each of the twenty tasks
// claimed and done once, after all that it depends on.
func TestAgentsWalkThrough(t *testing.T) {
	page, err := os.ReadFile("../docs/agents.md")
	if err != nil {
		t.Fatal(err)
	}
	text, byHand, found := strings.Cut(string(page), "\n## By hand")
	walk := &walk{tour: tour{t: t, folder: t.TempDir()}}
	defer walk.end()
	blocks := regexp.MustCompile("(?s)```(sh|console|)\n(.*?)```").FindAllStringSubmatch(text, -1)
	if !found || len(blocks) < 10 {
		t.Fatalf("found %d blocks", len(blocks))
	}
	for _, block := range blocks {
		lines := strings.Split(strings.TrimSuffix(block[2], "\n"), "\n")
		switch {
		case block[1] == "sh":
			walk.script(block[2])
		case block[1] == "console":
			walk.play(lines)
		default:
			walk.shows(lines)
		}
		if strings.Contains(block[2], "for name in") {
			walk.checkJournal()
		}
	}
	if walk.claimed != 23 || walk.done != 20 { // "colour" once, "slow" twice: neither is done
		t.Errorf("the watching terminal has shown %d claims and %d ends", walk.claimed, walk.done)
	}
	t.Run("by hand", func(t *testing.T) {
		need(t, "wscat")
		need(t, "script")
		tour := &tour{t: t, folder: t.TempDir()}
		defer tour.end()
		_, block, _ := strings.Cut(byHand, "```console\n")
		block, _, _ = strings.Cut(block, "\n```")
		tour.play([]string{"$ descartes serve", "ready ws://127.0.0.1:7420/rpc"})
		tour.play(strings.Split(block, "\n"))
	})
}

// walk is a tour whose third terminal runs whole scripts.
type walk struct {
	tour
	claimed, done int // lines that the watching terminal has shown
}

// script runs a block of commands. What it leaves in the background may keep its
// output, which is therefore a file.
func (w *walk) script(text string) {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "output")
	output, err := os.Create(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer output.Close()
	command := w.command(`sh -e -c "$SCRIPT"`, "SCRIPT="+text)
	command.Stdout, command.Stderr = output, output
	err = command.Run()
	said, _ := os.ReadFile(path)
	if err != nil {
		w.t.Fatalf("%s%v:\n%s", text, err, said)
	}
	w.t.Logf("%s%s", text, said)
}

// shows compares what the watching terminal shows next; "…" are any lines.
func (w *walk) shows(want []string) {
	w.t.Helper()
	for i := 0; i < len(want); i++ {
		any := want[i] == "…"
		if any {
			i++
		}
		for {
			got := w.line(w.watched)
			w.claimed += strings.Count(got, " -> in_progress ")
			w.done += strings.Count(got, " -> done ")
			if !any || normal(got) == normal(want[i]) {
				w.compare(got, want[i])
				break
			}
		}
	}
}

// checkJournal checks what the workers have done.
func (w *walk) checkJournal() {
	w.t.Helper()
	c, err := client.Dial(w.t.Context(), "ws://"+w.address+"/rpc", client.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	history, err := c.History(w.t.Context(), schema.HistoryParams{Limit: new(int64(schema.MaxLimit))})
	if err != nil {
		w.t.Fatal(err)
	}
	steps := make(map[string]string)
	for _, document := range history.Events {
		w.checkStep(steps, document)
	}
	for id, done := range steps {
		if done != "created claimed done" {
			w.t.Errorf("%s was %s", id, done)
		}
	}
	if len(steps) != 20 {
		w.t.Errorf("%d tasks", len(steps))
	}
}

// checkStep adds what an event is to the steps of its task.
func (w *walk) checkStep(steps map[string]string, e schema.Event) {
	w.t.Helper()
	task, err := schema.ParseTask(e.Task)
	if err != nil {
		w.t.Fatal(err)
	}
	switch {
	case e.ChangeType == schema.Created:
		steps[e.TaskID] = "created"
		return
	case e.PreviousStatus == e.NewStatus: // it has become ready
		return
	case e.NewStatus == schema.InProgress:
		steps[e.TaskID] += " claimed"
	default:
		steps[e.TaskID] += " " + string(e.NewStatus)
	}
	for _, id := range task.Dependencies {
		if !strings.HasSuffix(steps[id], " done") {
			w.t.Errorf("%s is %s while %s is %s", e.TaskID, e.NewStatus, id, steps[id])
		}
	}
	if name := fmt.Sprint(*task.AssignedTo); !strings.Contains("anna ben cleo dan", name) {
		w.t.Errorf("%s is %s by %s", e.TaskID, e.NewStatus, name)
	}
}
