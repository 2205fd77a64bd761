package storage

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// object is a table, index, view or trigger in a file: a row of sqlite_schema.
type object struct{ kind, name, sql string }

func (o object) String() string { return o.kind + " " + o.name }

// rowsQuerier is a connection, or a pool of them.
type rowsQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// objectsOf lists what is in a file.
func objectsOf(ctx context.Context, db rowsQuerier) ([]object, error) {
	rows, err := db.QueryContext(ctx, `SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY rowid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []object
	for rows.Next() {
		var o object
		if err := rows.Scan(&o.kind, &o.name, &o.sql); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// freshObjects lists what a new file of a format has.
func freshObjects(ctx context.Context, version int) ([]object, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection has a memory of its own
	for _, text := range migrations()[:version] {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return nil, err
		}
	}
	return objectsOf(ctx, db)
}

// compareObjects tells what a file of a format lacks, and what is not as in a new
// file. What others have added is theirs.
func compareObjects(ctx context.Context, db rowsQuerier, version int) (missing, changed []string, err error) {
	want, err := freshObjects(ctx, version)
	if err != nil {
		return nil, nil, err
	}
	got, err := objectsOf(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	texts := make(map[string]string, len(got))
	for _, o := range got {
		texts[o.String()] = o.sql
	}
	for _, o := range want {
		switch text, there := texts[o.String()]; {
		case !there:
			missing = append(missing, o.String())
		case text != o.sql:
			changed = append(changed, o.String())
		}
	}
	return missing, changed, nil
}

// checkObjects compares tables, indices, views and triggers with those of a new
// file.
func (c *checker) checkObjects(ctx context.Context) error {
	missing, changed, err := compareObjects(ctx, c.conn, c.report.Format)
	for _, name := range missing {
		c.found("schema", name, "is missing")
	}
	for _, name := range changed {
		c.found("schema", name, "is not as this version of descartes makes it")
	}
	return err
}

// checkConstraints looks for rows that break a CHECK: the daemon's own connection
// does not ask SQLite to hold them.
func (c *checker) checkConstraints(ctx context.Context) error {
	objects, err := freshObjects(ctx, c.report.Format)
	if err != nil {
		return err
	}
	for _, o := range objects {
		rules := constraintsOf(o)
		if len(rules) == 0 {
			continue
		}
		failed := "CASE"
		for _, r := range rules {
			failed += fmt.Sprintf(" WHEN NOT (%s) THEN '%s'", r.expression, r.column)
		}
		err := c.each(ctx, func(row *sql.Rows) error {
			var key, column string
			if err := row.Scan(&key, &column); err != nil {
				return err
			}
			c.found("constraint", o.name+" "+key, "%s breaks its rule", column)
			return nil
		}, fmt.Sprintf(`SELECT * FROM (SELECT CAST(%s AS TEXT), %s END AS failed FROM "%s") WHERE failed IS NOT NULL`,
			keyOf(o), failed, o.name))
		if err != nil && !isDamage(err) {
			return err
		}
		if err != nil {
			c.found("constraint", o.name, "cannot be read: %v", err)
		}
	}
	return nil
}

// keyOf gives the column that names a row of a table: the first one.
func keyOf(table object) string {
	if table.name == "tasks" {
		return "id" // num says nothing to anybody
	}
	_, columns, _ := strings.Cut(withoutComments(table.sql), "(")
	return strings.Fields(columns)[0]
}

// constraint is a CHECK of a column.
type constraint struct{ column, expression string }

// constraintsOf gives the CHECKs of a table's columns out of the text of its CREATE
// TABLE, which is one of schema.Migrations.
func constraintsOf(table object) []constraint {
	if table.kind != "table" || strings.HasPrefix(table.sql, "CREATE VIRTUAL") {
		return nil
	}
	_, rest, _ := strings.Cut(withoutComments(table.sql), "(")
	var all []constraint
	for rest != "" {
		var definition string
		definition, rest = cutOutside(rest, ',')
		column := strings.Fields(definition)[0]
		for {
			_, after, found := strings.Cut(definition, "CHECK (")
			if !found {
				break
			}
			var expression string
			expression, definition = cutOutside(after, ')')
			all = append(all, constraint{column, expression})
		}
	}
	return all
}

// cutOutside cuts SQL around the first stop that is in no parentheses and no quotes.
func cutOutside(text string, stop byte) (before, after string) {
	depth, quoted := 0, false
	for i := range len(text) {
		switch char := text[i]; {
		case char == '\'':
			quoted = !quoted
		case quoted:
		case depth == 0 && char == stop:
			return text[:i], text[i+1:]
		case char == '(':
			depth++
		case char == ')':
			depth--
		}
	}
	return text, ""
}

// withoutComments takes the comments, which begin with -- and end with the line,
// out of SQL.
func withoutComments(text string) string {
	var kept strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		if text[i] == '\'' {
			quoted = !quoted
		}
		if !quoted && strings.HasPrefix(text[i:], "--") {
			if i += strings.IndexByte(text[i:]+"\n", '\n'); i >= len(text) {
				break
			}
		}
		kept.WriteByte(text[i])
	}
	return kept.String()
}
