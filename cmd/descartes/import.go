package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "make tasks of JSON, one a line, while daemons run",
		ArgsUsage: "[FILE | -]",
		Description: "Each line is a task as \"descartes export\" writes it, or as much of one as task.create takes; without FILE they\n" +
			"come from standard input. A task keeps its id and created_at; what else is the daemon's (updated_at, version,\n" +
			"ready, leased_by) is made anew. A task may depend on a later line. Everything is imported in one transaction, or\n" +
			"nothing: what is wrong is told by line and field. Each task is an event that all daemons push; their own writes\n" +
			"wait for the end of the transaction, and are refused when that takes more than 5 s.",
		Flags: []cli.Flag{
			dbFlag(),
			&cli.BoolFlag{Name: "keep-going", Usage: "import what is right, in small groups, and tell the rest"},
			&cli.StringFlag{
				Name: "on-conflict", Value: string(storage.ConflictRefuse),
				Usage: "`WHAT` to do with a task whose id is in use: refuse, skip, or replace all but its created_at",
			},
		},
		OnUsageError: onUsageError,
		Action:       failing(importTasks),
	}
}

func importTasks(ctx context.Context, cmd *cli.Command) error {
	im := &importer{
		conflict:  storage.Conflict(cmd.String("on-conflict")),
		keepGoing: cmd.Bool("keep-going"),
		stderr:    cmd.Root().ErrWriter,
		nodes:     make(map[string]*node),
	}
	name, err := fileArgument(cmd)
	switch {
	case err != nil:
		return err
	case !slices.Contains([]storage.Conflict{storage.ConflictRefuse, storage.ConflictSkip, storage.ConflictReplace}, im.conflict):
		return usageError("--on-conflict must be refuse, skip or replace, not %q", im.conflict)
	}
	if im.input, err = openInput(name, cmd.Root().Reader); err != nil {
		return err
	}
	defer im.input.close()
	err = im.run(ctx, cmd.String("db"))
	im.bar.close()
	if err == nil || im.keepGoing {
		fmt.Fprintln(cmd.Root().Writer, im.summary())
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return errors.New("import: interrupted")
	}
	return err
}

// importer is an import under way.
type importer struct {
	conflict  storage.Conflict
	keepGoing bool
	stderr    io.Writer
	bar       *progress

	input   *input
	nodes   map[string]*node // by id
	tasks   []*node          // those that the input has, in their order
	at      *node            // handed to the database last
	refused int64            // lines
	done    storage.Imported
}

// refusalsTold bounds the lines of an import, all of which is refused, that are told.
const refusalsTold = 20

// groupSize is how many tasks an import that keeps going commits at once: they hold
// up daemons for some ten milliseconds.
const groupSize = 256

// run imports everything, or nothing, or, when it keeps going, what it can.
func (im *importer) run(ctx context.Context, path string) error {
	if err := im.read(ctx); err != nil {
		return err
	}
	if !im.mayGoOn() {
		return im.refusal() // what depends on a line that cannot be read is not known
	}
	// The daemons decide what is kept of the journal.
	db, err := storage.Open(ctx, storage.Config{Path: path, RetainEvents: math.MaxInt64, RetainFor: math.MaxInt64})
	if err != nil {
		return err
	}
	err = im.importInto(ctx, db)
	return errors.Join(err, db.Close())
}

func (im *importer) importInto(ctx context.Context, db *storage.DB) error {
	order, err := im.order(ctx, db)
	if err != nil {
		return err
	}
	im.bar = newProgress(im.stderr, "importing")
	switch {
	case im.keepGoing:
		err = im.writeGroups(ctx, db, order)
	case im.mayGoOn():
		err = im.write(ctx, db, order)
	}
	if err != nil {
		return err
	}
	return im.refusal()
}

// mayGoOn tells whether refusals leave anything to be done.
func (im *importer) mayGoOn() bool { return im.keepGoing || im.refused == 0 }

// write imports tasks in one transaction. A task that a rule of the database
// refuses is told, and then none is imported.
func (im *importer) write(ctx context.Context, db *storage.DB, tasks []*node) error {
	done, err := db.Import(ctx, im.drafts(tasks), im.conflict)
	if refusal, ok := errors.AsType[*schema.Error](err); ok && refusal.Code != schema.CodeStorageUnavailable {
		im.refuse(im.at.line, fieldOf(refusal)+": "+refusal.Message)
		return nil
	}
	im.done.Created += done.Created
	im.done.Replaced += done.Replaced
	im.done.Kept += done.Kept
	return err
}

// writeGroups imports tasks in small transactions, each again without a task that
// is refused. The rules were asked before: that happens only when somebody else
// has changed something since.
func (im *importer) writeGroups(ctx context.Context, db *storage.DB, tasks []*node) error {
	for group := range slices.Chunk(tasks, groupSize) {
		for again := true; again && len(group) > 0; {
			refused := im.refused
			if err := im.write(ctx, db, group); err != nil {
				return err
			}
			if again = im.refused > refused; again {
				group = slices.DeleteFunc(slices.Clone(group), func(n *node) bool { return n == im.at })
			}
		}
	}
	return nil
}

// drafts reads tasks again, one by one.
func (im *importer) drafts(tasks []*node) iter.Seq2[*schema.Draft, error] {
	return func(yield func(*schema.Draft, error) bool) {
		before := im.done.Created + im.done.Replaced + im.done.Kept
		for i, n := range tasks {
			im.at = n
			im.bar.show(before+int64(i), int64(len(im.tasks)))
			draft, err := im.input.draft(n)
			if !yield(draft, err) {
				return
			}
		}
	}
}

// refuse tells why a line is refused.
func (im *importer) refuse(line int64, why string) {
	im.refused++
	if im.keepGoing || im.refused <= refusalsTold {
		im.bar.close() // the next step draws it again, below
		fmt.Fprintf(im.stderr, "line %d: %s\n", line, strings.Map(printable, why))
	}
}

// refusal is the error of an import of which lines were refused, nil if none were.
func (im *importer) refusal() error {
	switch {
	case im.refused == 0:
		return nil
	case im.keepGoing:
		return fmt.Errorf("import: %s refused", count(im.refused, "line"))
	case im.refused > refusalsTold:
		fmt.Fprintf(im.stderr, "and %d more\n", im.refused-refusalsTold)
	}
	return fmt.Errorf("import: %s refused, nothing was imported", count(im.refused, "line"))
}

func (im *importer) summary() string {
	text := "imported " + count(im.done.Created, "task")
	if im.done.Replaced > 0 {
		text += fmt.Sprintf(", replaced %d", im.done.Replaced)
	}
	switch {
	case im.done.Kept == 1:
		text += ", kept 1 as it was"
	case im.done.Kept > 1:
		text += fmt.Sprintf(", kept %d as they were", im.done.Kept)
	}
	return text
}

// fieldOf gives the member of a task that an error is about.
func fieldOf(e *schema.Error) string {
	switch e.Code {
	case schema.CodeTaskExists:
		return "id"
	case schema.CodeDependencyInvalid:
		return "dependencies"
	}
	return e.Data.Field
}
