package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

// documentFields are the members of a task's document, each beside its column.
const documentFields = `id, title, description, status, priority, complexity, assigned_to, dependencies, metadata,
	created_at, updated_at, version, ready, leased_by`

// checkTasks checks every task by itself: its document against its columns, its
// version and document against its newest event.
func (c *checker) checkTasks(ctx context.Context) error {
	names := strings.Split(strings.Join(strings.Fields(documentFields), ""), ",")
	return c.each(ctx, func(row *sql.Rows) error {
		c.step()
		columns, into := make([]any, len(names)), make([]any, 0, len(names)+4)
		for i := range columns {
			into = append(into, &columns[i])
		}
		var document []byte
		var newest, same any
		var change sql.NullString
		if err := row.Scan(append(into, &document, &newest, &change, &same)...); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		id, version := fmt.Sprint(columns[0]), columns[slices.Index(names, "version")]
		c.checkDocument(id, names, columns, validText(document))
		c.checkNewest(id, version, newest, change.String, same)
		return nil
	}, `SELECT `+documentFields+`, CAST(document AS BLOB), newest,
			(SELECT change_type FROM journal WHERE seq = newest),
			(SELECT journal.task = document FROM journal WHERE seq = newest)
		FROM (SELECT *, (SELECT max(seq) FROM journal WHERE task_id = tasks.id) AS newest FROM tasks)`)
}

// checkNewest checks a task against its newest event. One whose events were all
// pruned has a version from before the oldest that is retained.
func (c *checker) checkNewest(id string, version, newest any, change string, same any) {
	number, ok := version.(int64)
	switch {
	case !ok:
		c.found("task", id, "its version %v is no number", version)
	case newest == nil && number >= c.oldest:
		c.found("task", id, "its event %d is missing", number)
	case newest == nil:
	case change == string(schema.Deleted):
		c.found("task", id, "was deleted by event %v, but is there", newest)
	case version != newest:
		c.found("task", id, "has version %d, its newest event is %v", number, newest)
	case same != int64(1):
		c.found("task", id, "its document is not that of its newest event, %v", newest)
	}
}

// checkDocument compares the members of a document with the columns.
func (c *checker) checkDocument(id string, names []string, columns []any, document []byte) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		c.found("document", id, "cannot be read as JSON")
		return
	}
	var differ []string
	for i, name := range names {
		if member, there := members[name]; !there || !sameValue(name, columns[i], member) {
			differ = append(differ, name)
		}
		delete(members, name)
	}
	for name := range members {
		differ = append(differ, name)
	}
	if len(differ) > 0 {
		slices.Sort(differ)
		c.found("document", id, "differs from the columns in %s", strings.Join(differ, ", "))
	}
}

// sameValue tells whether a member of a document says what its column does.
func sameValue(name string, column any, member json.RawMessage) bool {
	switch name {
	case "dependencies", "metadata": // JSON in a column of text
		text, ok := column.(string)
		return ok && string(validText([]byte(text))) == string(member)
	case "ready":
		return column == int64(1) && string(member) == "true" || column == int64(0) && string(member) == "false"
	}
	switch column := column.(type) {
	case nil:
		return string(member) == "null"
	case int64:
		return string(member) == strconv.FormatInt(column, 10)
	case string:
		var text string
		return json.Unmarshal(member, &text) == nil && text == string(validText([]byte(column)))
	}
	return false
}

// checkLeases checks that what is claimed is worked on, and has a lease, without which
// the claim would never end. There is none before format 3.
func (c *checker) checkLeases(ctx context.Context) error {
	lease := `EXISTS (SELECT 1 FROM leases WHERE task_id = id AND typeof(length) = 'integer' AND typeof(expires_at) = 'integer')`
	if c.report.Format < 3 {
		lease = "0"
	}
	return c.each(ctx, func(row *sql.Rows) error {
		var id, holder, status string
		var leased bool
		if err := row.Scan(&id, &holder, &status, &leased); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		if status != string(schema.InProgress) {
			c.found("lease", id, "is held by %s, but the task is %s", holder, status)
		}
		if !leased {
			c.found("lease", id, "is held by %s, but there is no lease that ends", holder)
		}
		return nil
	}, `SELECT id, leased_by, status, `+lease+` FROM tasks WHERE leased_by IS NOT NULL`)
}

// checkReady compares the ready flags with their definition.
func (c *checker) checkReady(ctx context.Context) error {
	return c.each(ctx, func(row *sql.Rows) error {
		var id string
		var is, must any
		if err := row.Scan(&id, &is, &must); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		c.found("ready", id, "is %v, must be %v", is, must)
		return nil
	}, `SELECT tasks.id, tasks.ready, readiness.ready FROM tasks JOIN readiness ON readiness.id = tasks.id
		WHERE tasks.ready IS NOT readiness.ready`)
}

// checkEdges compares the table dependencies with the column of the tasks, and
// looks for items that no CHECK can refuse. What a task depends on need not be
// there: another process may have deleted it.
func (c *checker) checkEdges(ctx context.Context) error {
	err := c.each(ctx, func(row *sql.Rows) error {
		var id string
		var column []byte
		var edges string
		if err := row.Scan(&id, &column, &edges); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		var listed, stored []string
		if json.Unmarshal(column, &listed) != nil || json.Unmarshal([]byte(edges), &stored) != nil {
			c.found("dependencies", id, "cannot be read as a list of ids")
			return nil
		}
		slices.Sort(listed)
		slices.Sort(stored)
		switch {
		case !slices.Equal(listed, stored):
			c.found("dependencies", id, "the column has %q, the table %q", listed, stored)
		case slices.Contains(listed, id):
			c.found("dependencies", id, "the task depends on itself")
		}
		return nil
	}, `SELECT id, CAST(dependencies AS BLOB), (SELECT json_group_array(dependency) FROM dependencies WHERE task = tasks.id)
		FROM tasks WHERE dependencies <> '[]' OR EXISTS (SELECT 1 FROM dependencies WHERE task = tasks.id)`)
	if err != nil {
		return err
	}
	return c.each(ctx, func(row *sql.Rows) error {
		var id string
		if err := row.Scan(&id); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		c.found("dependencies", id, "the table has some of a task that is not there")
		return nil
	}, `SELECT DISTINCT task FROM dependencies WHERE task NOT IN (SELECT id FROM tasks)`)
}
