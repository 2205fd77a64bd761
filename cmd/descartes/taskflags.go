package main

import (
	"encoding/json"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
)

// fieldFlags are the fields of a task, for commands that write them.
func fieldFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "description", Aliases: []string{"d"}, Usage: "more than the title says: `TEXT`"},
		&cli.StringFlag{Name: "status", Usage: "`STATUS` is " + words(schema.Statuses())},
		&cli.StringFlag{Name: "priority", Aliases: []string{"p"}, Usage: "`PRIORITY` is " + words(schema.Priorities())},
		&cli.StringFlag{Name: "complexity", Usage: "`COMPLEXITY` is " + words(schema.Complexities())},
		&cli.StringFlag{Name: "assign", Aliases: []string{"assigned-to"}, Usage: "it is for `NAME`"},
		&cli.StringSliceFlag{Name: "depends-on", Usage: "it has to wait for the task `ID` (repeatable)"},
		&cli.StringFlag{Name: "metadata", Usage: "anything else, as a `JSON` object: '{\"room\":\"kitchen\"}'"},
	}
}

// words lists what a field can be.
func words[T ~string](values []T) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// statusOf reads a status as people write it: in-progress, too.
func statusOf(text string) schema.Status {
	return schema.Status(strings.ReplaceAll(strings.ToLower(text), "-", "_"))
}

// readDraft gives the fields that the flags set. Of dependencies the ids are as they
// were given.
func readDraft(cmd *cli.Command) (schema.Draft, error) {
	d := schema.Draft{
		ID:           cmd.String("id"),
		Status:       statusOf(cmd.String("status")),
		Priority:     schema.Priority(cmd.String("priority")),
		Complexity:   schema.Complexity(cmd.String("complexity")),
		Dependencies: cmd.StringSlice("depends-on"),
	}
	if cmd.IsSet("description") {
		d.Description = new(cmd.String("description"))
	}
	if name := cmd.String("assign"); name != "" {
		d.AssignedTo = &name
	}
	if err := checkNames(d.Dependencies); err != nil {
		return d, usageError("--depends-on: %w", err)
	}
	if cmd.IsSet("id") && !schema.IsID(d.ID) {
		return d, usageError("--id: %w", checkNames([]string{d.ID}))
	}
	metadata, err := readMetadata(cmd)
	d.Metadata = metadata
	return d, err
}

// readPatch gives the fields that the flags set; an empty text clears what can be
// cleared.
func readPatch(cmd *cli.Command) (p schema.Patch, err error) {
	text := func(name string) schema.Optional[string] {
		switch value := cmd.String(name); {
		case !cmd.IsSet(name):
			return schema.Optional[string]{}
		case value == "":
			return schema.Null[string]()
		default:
			return schema.Some(value)
		}
	}
	p.Description, p.AssignedTo = text("description"), text("assign")
	if cmd.IsSet("title") {
		p.Title = schema.Some(cmd.String("title"))
	}
	if cmd.IsSet("status") {
		p.Status = schema.Some(statusOf(cmd.String("status")))
	}
	if cmd.IsSet("priority") {
		p.Priority = schema.Some(schema.Priority(cmd.String("priority")))
	}
	if cmd.IsSet("complexity") {
		p.Complexity = schema.Some(schema.Complexity(cmd.String("complexity")))
	}
	if cmd.IsSet("depends-on") {
		p.Dependencies = schema.Some(cmd.StringSlice("depends-on"))
		if p.Dependencies.Value = withoutEmpty(p.Dependencies.Value); len(p.Dependencies.Value) == 0 {
			p.Dependencies = schema.Null[[]string]()
		}
	}
	metadata, err := readMetadata(cmd)
	if metadata != nil {
		p.Metadata = schema.Some(metadata)
	}
	return p, err
}

func withoutEmpty(list []string) []string {
	var kept []string
	for _, text := range list {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return kept
}

func readMetadata(cmd *cli.Command) (json.RawMessage, error) {
	text := strings.TrimSpace(cmd.String("metadata"))
	if !cmd.IsSet("metadata") {
		return nil, nil
	}
	if !json.Valid([]byte(text)) || text[0] != '{' {
		return nil, usageError("--metadata must be a JSON object, not %s: put it in quotes, as in --metadata '{\"room\":\"kitchen\"}'", text)
	}
	return json.RawMessage(text), nil
}
