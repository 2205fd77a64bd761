package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
)

// taskTable is the table that tasks are listed in.
type taskTable struct {
	*table
	now time.Time
}

func newTaskTable(cmd *cli.Command) *taskTable {
	s := displayOf(cmd)
	names := []string{"ID", "STATUS", "PRIORITY", "ASSIGNED", "TITLE"}
	if s.people {
		names = []string{"ID", "STATUS", "PRIORITY", "ASSIGNED", "CHANGED", "TITLE"}
	}
	t := newTable(cmd.Root().Writer, s, names...)
	t.spare = []int{4, 2, 3, 1} // CHANGED, PRIORITY, ASSIGNED, STATUS
	return &taskTable{t, time.Now()}
}

// assignedMost is how wide names of assignees are on a terminal: they can have 128
// characters.
const assignedMost = 24

// addTask takes a task as the daemon sent it.
func (t *taskTable) addTask(document []byte) error {
	task, err := schema.ParseTask(document)
	if err != nil {
		return err
	}
	assigned := orEmpty(task.AssignedTo)
	if t.display.width > 0 {
		assigned = cut(oneLine(assigned), assignedMost)
	}
	row := []cell{
		{t.display.id(task.ID), faint},
		t.display.status(task),
		{string(task.Priority), priorityPaint(task.Priority)},
		{assigned, plain},
	}
	if t.display.people {
		row = append(row, cell{ago(t.now, task.UpdatedAt), faint})
	}
	t.add(append(row, cell{task.Title, titlePaint(task.Status)})...)
	return nil
}

// shortID is how many digits of a UUID people get to see, and may give.
const shortID = 8

// id gives an id, for people the last digits of one that the daemon has made: these
// are random; the first ones, which are the time, look all the same.
func (s display) id(id string) string {
	if s.people && isUUID(id) {
		return id[len(id)-shortID:]
	}
	return id
}

// status tells people what a task waits for, too.
func (s display) status(t *schema.Task) cell {
	text := string(t.Status)
	if s.people && t.Status == schema.Todo && !t.Ready {
		text += " (waits)"
	}
	return cell{text, statusPaint(t.Status)}
}

func statusPaint(s schema.Status) paint {
	switch s {
	case schema.InProgress:
		return blue
	case schema.Blocked:
		return red
	case schema.Done:
		return green
	}
	return plain
}

func priorityPaint(p schema.Priority) paint {
	switch p {
	case schema.Critical:
		return red
	case schema.High:
		return yellow
	case schema.Low:
		return faint
	}
	return plain
}

func titlePaint(s schema.Status) paint {
	if s == schema.Done {
		return faint
	}
	return plain
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// ago tells how long a moment is past, Unix milliseconds, in the largest unit that
// fits.
func ago(now time.Time, at int64) string {
	past := now.Sub(time.UnixMilli(at))
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{365 * 24 * time.Hour, "y"}, {24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if past >= unit.length {
			return fmt.Sprintf("%d %s ago", past/unit.length, unit.name)
		}
	}
	return "just now"
}

// printTask prints all that there is of a task, a field a line, and of a text each of
// its lines.
func printTask(w io.Writer, s display, document []byte) error {
	t, err := schema.ParseTask(document)
	if err != nil {
		return err
	}
	var out strings.Builder
	line := func(name string, p paint, text string) {
		if text == "" {
			return
		}
		before := fmt.Sprintf("%-13s", name)
		for part := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
			out.WriteString(s.painted(faint, before) + s.painted(p, oneLine(part)) + "\n")
			before = strings.Repeat(" ", 13)
		}
	}
	status := display{people: true}.status(t)
	line("id", plain, t.ID)
	line("title", bold, t.Title)
	line("status", status.paint, status.text)
	line("priority", priorityPaint(t.Priority), string(t.Priority))
	line("complexity", plain, string(t.Complexity))
	line("assigned to", plain, orEmpty(t.AssignedTo))
	line("claimed by", plain, orEmpty(t.LeasedBy))
	line("depends on", plain, strings.Join(t.Dependencies, " "))
	line("description", plain, orEmpty(t.Description))
	if metadata := string(t.Metadata); metadata != "{}" {
		line("metadata", plain, metadata)
	}
	line("created", plain, timeOf(t.CreatedAt))
	line("changed", plain, timeOf(t.UpdatedAt))
	line("version", plain, fmt.Sprint(t.Version))
	_, err = io.WriteString(w, out.String())
	return err
}

// printWritten tells which task was written: in a pipe its id alone, for people what
// became of it.
func printWritten(cmd *cli.Command, verb string, document json.RawMessage) error {
	w := cmd.Root().Writer
	if cmd.Bool("json") {
		return printJSON(w, document)
	}
	task, err := schema.ParseTask(document) // of a deletion it has the id alone
	if err != nil {
		return err
	}
	s := displayOf(cmd)
	if !s.people {
		_, err = fmt.Fprintln(w, task.ID)
		return err
	}
	line := fmt.Sprintf("%-8s  %s", verb, s.painted(faint, s.id(task.ID)))
	if task.Title != "" {
		status := s.status(task)
		line += "  " + s.painted(status.paint, status.text) + "  " + oneLine(task.Title)
	}
	_, err = fmt.Fprintln(w, line)
	return err
}
