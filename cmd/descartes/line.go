package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
)

// eventPrinter prints events, one a line: JSON as the daemon sent it, or for people, who
// need not see bookmarks.
type eventPrinter struct {
	w      io.Writer
	json   bool
	color  string
	layout string // of the time
}

func newEventPrinter(cmd *cli.Command) *eventPrinter {
	return &eventPrinter{w: cmd.Root().Writer, json: cmd.Bool("json"), color: cmd.String("color"), layout: "15:04:05.000"}
}

func (p *eventPrinter) print(e *schema.Event) error {
	switch {
	case p.json:
		return printJSON(p.w, encode(e))
	case e.ChangeType == schema.Bookmark:
		return nil
	}
	d := displayFor(p.w, p.color) // the terminal may be of another size by now
	_, err := fmt.Fprintln(p.w, d.event(e, p.layout))
	return err
}

// event gives the line of an event, its time as layout says.
func (d display) event(e *schema.Event, layout string) string {
	at, kind := time.UnixMilli(e.Timestamp).Format(layout), fmt.Sprintf("%-8s", e.ChangeType)
	id, what := "", ""
	if e.ChangeType == schema.Resync {
		what = oneLine("everything anew" + cursorReason(e.Reason))
	} else {
		id, what = oneLine(d.id(e.TaskID))+"  ", oneLine(describe(e)+notes(e))
	}
	if d.width > 0 {
		what = cut(what, max(d.width-columns(at+kind+id)-4, 10))
	}
	return d.painted(faint, at) + "  " + d.painted(kindPaint(e), kind) + "  " + d.painted(faint, id) + what
}

// cursorReason tells people why a cursor cannot be continued.
func cursorReason(detail string) string {
	switch detail {
	case schema.CursorEpoch:
		return ", as the database is another one or was restored"
	case schema.CursorAhead:
		return ", as the database is an older copy"
	case schema.CursorCompacted:
		return ", as events after the cursor are no longer kept"
	}
	return " (" + detail + ")" // of a later daemon
}

func kindPaint(e *schema.Event) paint {
	switch e.ChangeType {
	case schema.Created:
		return green
	case schema.Deleted:
		return red
	case schema.Updated:
		if e.PreviousStatus != e.NewStatus {
			return statusPaint(e.NewStatus)
		}
	}
	return plain
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
