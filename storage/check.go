package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// Finding is one thing that [Check] found to be wrong.
type Finding struct {
	// What is the part that is wrong: file, schema, constraint, journal, transaction,
	// history, task, document, lease, ready, dependencies, cycle or search.
	What string `json:"what"`
	// Where is the task's id, the seq or the name of what is wrong; "" for the whole.
	Where string `json:"where,omitempty"`
	// Why says what is wrong with it, in one line.
	Why string `json:"why"`
}

// String gives the finding as one line.
func (f Finding) String() string {
	if f.Where == "" {
		return f.What + ": " + f.Why
	}
	return f.What + ": " + f.Where + ": " + f.Why
}

// Report is what [Check] saw.
type Report struct {
	Format   int       `json:"format"` // of the file; the number of its newest migration
	Tasks    int64     `json:"tasks"`
	Events   int64     `json:"events"` // retained in the journal
	Seq      int64     `json:"seq"`    // of the newest event ever
	Findings []Finding `json:"findings"`
}

// findingsOfAKind bounds what is told of one kind: a file in which everything is
// wrong shall not fill a screen for each kind.
const findingsOfAKind = 20

// Check looks for anything in a database file that a daemon could not have left
// there: pages, tables and triggers, the rules of every column, the journal without
// a gap and each task's history in it, documents, dependencies, ready flags and the
// full-text index. It reads the file as it is at one moment, changes nothing about
// it, and may be used while daemons run.
//
// A file that is damaged gives findings. The error says why it could not be
// checked: it cannot be opened, is of another application or of a newer version, or
// ctx has ended.
func Check(ctx context.Context, path string, progress Progress) (*Report, error) {
	c := &checker{report: Report{Findings: []Finding{}}, more: make(map[string]int), progress: progress}
	// The words in the full-text index are read through a table of this connection.
	// Where there is no such index that fails, which the comparison of objects tells.
	s, err := openSource(ctx, path, `CREATE VIRTUAL TABLE temp.indexed_words USING fts5vocab('main', 'search', 'instance')`)
	if err == nil {
		defer s.close()
		c.conn = s.conn
		err = c.run(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isDamage(err):
		c.found("file", "", "%v", err)
	case err != nil:
		return nil, fmt.Errorf("check %s: %w", path, plain(err))
	}
	c.sum()
	return &c.report, nil
}

// isDamage tells whether an error is SQLite's way to say that a file is not what
// it should be.
func isDamage(err error) bool {
	switch primaryCode(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_MISMATCH,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG: // a record that claims to have gigabytes
		return true
	}
	return errors.Is(err, sql.ErrNoRows) || errors.Is(err, errUnreadable)
}

// errUnreadable is a value that is not of its column's type.
var errUnreadable = errors.New("a value is not of its column's type")

// checker is one check under way.
type checker struct {
	conn        *sql.Conn // in a read transaction
	report      Report
	oldest      int64          // seq of the oldest event retained; Seq+1 if there is none
	indexed     int64          // the full-text index has read the journal up to here
	more        map[string]int // findings of a kind beyond findingsOfAKind
	progress    Progress
	done, total int64
}

// found notes a finding.
func (c *checker) found(what string, where any, format string, args ...any) {
	of := 0
	for _, f := range c.report.Findings {
		if f.What == what {
			of++
		}
	}
	if of >= findingsOfAKind {
		c.more[what]++
		return
	}
	why := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	c.report.Findings = append(c.report.Findings, Finding{What: what, Where: fmt.Sprint(where), Why: why})
}

// sum adds what was left out.
func (c *checker) sum() {
	for _, what := range slices.Sorted(maps.Keys(c.more)) {
		c.report.Findings = append(c.report.Findings, Finding{What: what, Why: fmt.Sprintf("and %d more", c.more[what])})
	}
}

// run makes every check. One that cannot be made is a finding and does not keep the
// others from being made.
func (c *checker) run(ctx context.Context) error {
	application, version, err := identity(ctx, c.conn)
	if err != nil {
		return err
	}
	if err := recognize(application, version); err != nil {
		return err
	}
	c.report.Format = version
	for _, part := range []struct {
		what  string
		check func(context.Context) error
	}{
		{"schema", c.checkObjects},
		{"journal", c.measure},
		{"file", c.checkPages},
		{"constraint", c.checkConstraints},
		{"journal", c.checkSeqs},
		{"history", c.checkHistories},
		{"task", c.checkTasks},
		{"lease", c.checkLeases},
		{"ready", c.checkReady},
		{"dependencies", c.checkEdges},
		{"cycle", c.checkCycles},
		{"search", c.checkIndex},
	} {
		err := part.check(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case isDamage(err):
			c.found(part.what, "", "cannot be read: %v", err)
		case err != nil:
			return err
		}
	}
	c.progress.tell(c.total, c.total)
	return nil
}

// step tells of progress.
func (c *checker) step() {
	c.done++
	if c.done%100 == 0 {
		c.progress.tell(min(c.done, c.total), c.total)
	}
}

// each runs a query and hands every row to do, which reads it.
func (c *checker) each(ctx context.Context, do func(row *sql.Rows) error, query string, args ...any) error {
	rows, err := c.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// measure counts what there is.
func (c *checker) measure(ctx context.Context) error {
	var facts int64
	if err := c.conn.QueryRowContext(ctx, `SELECT count(*) FROM journal_state`).Scan(&facts); err != nil {
		return err
	}
	if facts != 1 {
		c.found("journal", "", "journal_state has %d rows, must have 1", facts)
		return nil
	}
	var writer, epoch any
	if err := c.conn.QueryRowContext(ctx, `SELECT CAST(last_seq AS INTEGER), CAST(indexed AS INTEGER), writer, epoch,
		(SELECT count(*) FROM tasks), (SELECT count(*) FROM journal),
		coalesce((SELECT min(seq) FROM journal), last_seq + 1) FROM journal_state`).Scan(
		&c.report.Seq, &c.indexed, &writer, &epoch, &c.report.Tasks, &c.report.Events, &c.oldest); err != nil {
		return err
	}
	if writer != int64(0) {
		c.found("journal", "", "a writer has not signed off (writer is %v): changes of other processes are not journaled", writer)
	}
	if epoch == nil || epoch == "" {
		c.found("journal", "", "it has no epoch")
	}
	c.total = 2*c.report.Events + c.report.Tasks + 1
	return nil
}

// checkPages has SQLite check the pages, the records in them, and the indices.
func (c *checker) checkPages(ctx context.Context) error {
	return c.each(ctx, func(row *sql.Rows) error {
		var text string
		if err := row.Scan(&text); err != nil || text == "ok" {
			return err
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "*** in database") {
				c.found("file", "", "%s", line)
			}
		}
		return nil
	}, `PRAGMA integrity_check(1000)`)
}
