package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/descartes-tasks/descartes/schema"
)

// printEvent prints one line: JSON as the daemon sent it, or for people, who need
// not see bookmarks.
func printEvent(w io.Writer, e *schema.Event, asJSON bool) error {
	line := ""
	switch at := time.UnixMilli(e.Timestamp).Format("15:04:05.000"); {
	case asJSON:
		line = string(encode(e))
	case e.ChangeType == schema.Bookmark:
		return nil
	case e.ChangeType == schema.Resync:
		line = fmt.Sprintf("%s  %-8s  everything anew: %s", at, e.ChangeType, e.Reason)
	default:
		line = fmt.Sprintf("%s  %-8s  %s  %s%s", at, e.ChangeType, e.TaskID, describe(e), notes(e))
	}
	_, err := fmt.Fprintln(w, strings.Map(printable, line))
	return err
}

// printable keeps what a task says from ending the line, or from commanding the
// terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
		return ' '
	}
	return r
}

// encode gives the JSON of an event on the wire, which json.Marshal does not: it
// leaves out what is null.
func encode(e *schema.Event) []byte {
	withTask := len(e.Task) > 0
	switch e.ChangeType {
	case schema.Created, schema.Updated, schema.Deleted:
		return e.AppendJSON(nil, e.AppendBody(nil, withTask))
	}
	return e.AppendSpecial(nil, withTask)
}

// describe tells what happened to the task.
func describe(e *schema.Event) string {
	task, err := schema.ParseTask(e.Task)
	if err != nil {
		task = &schema.Task{Status: e.NewStatus} // there is none, or it is of a later version
	}
	switch {
	case e.ChangeType == schema.Updated && e.PreviousStatus != e.NewStatus:
		return fmt.Sprintf("%s -> %s  %s", e.PreviousStatus, e.NewStatus, task.Title)
	case e.ChangeType == schema.Updated:
		return fmt.Sprintf("%s  %s  (%s)", task.Status, task.Title, strings.Join(changedFields(e), ", "))
	}
	return fmt.Sprintf("%s  %s", task.Status, task.Title)
}

func changedFields(e *schema.Event) []string {
	if len(e.Previous) == 0 {
		return nil
	}
	var names []string
	for m := range schema.Members(e.Previous) {
		names = append(names, string(m.Name))
	}
	return names
}

// notes tells what is unusual about the event.
func notes(e *schema.Event) string {
	var s strings.Builder
	if e.Coalesced > 1 {
		fmt.Fprintf(&s, "  [%d changes]", e.Coalesced)
	}
	if e.Left {
		s.WriteString("  [left the filter]")
	}
	if e.Origin != "" && e.Origin != schema.OriginRPC {
		fmt.Fprintf(&s, "  [%s]", e.Origin)
	}
	if e.Actor != "" {
		fmt.Fprintf(&s, "  [by %s]", e.Actor)
	}
	return s.String()
}
