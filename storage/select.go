package storage

import (
	"slices"
	"strconv"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

// query gives the SQL that yields key, id and document in order. How it is
// written decides how SQLite runs it: a + in front of a column keeps it from
// using that column's index.
//
//   - Few tasks are named, by the filter or as candidates: look them up and sort.
//   - The order has an index: walk it until the page is full. For created_at there
//     is an index for each status; the walks along several are merged.
//   - Else: look at all, of a single status by its index, and sort what matches.
func (l *listing) query() (string, []any) {
	key, status := l.order.key, "+status"
	groups := [][]schema.Status{l.filter.Status}
	named := l.filter.IDs != nil || l.candidates != nil
	switch {
	case named || !l.order.indexed:
		key = "+" + key
		if !named && len(l.filter.Status) == 1 {
			status = "status"
		}
	case key == string(schema.ByCreatedAt) && l.filter.Status != nil:
		groups, status = singly(l.filter.Status), "status"
	}
	var p parameters
	conditions := append(l.beyond(key, &p), l.conditions(&p)...)
	selects := make([]string, len(groups))
	for i, group := range groups {
		where := slices.Clip(conditions)
		if group != nil {
			where = append(where, status+" IN "+addList(&p, group))
		}
		selects[i] = "SELECT " + key + ", id, document FROM tasks"
		if len(where) > 0 {
			selects[i] += " WHERE " + strings.Join(where, " AND ")
		}
	}
	limit := l.limit + 1 // one more tells whether this is the last page
	if l.text {
		limit = -1 // any number may fall away
	}
	direction := ""
	if l.order.descending {
		direction = " DESC"
	}
	return strings.Join(selects, " UNION ALL ") + " ORDER BY 1" + direction + ", 2 LIMIT " + p.add(limit), p.values
}

// singly gives each status in a group of its own, one group without any if there
// are none.
func singly(statuses []schema.Status) (groups [][]schema.Status) {
	distinct := slices.Compact(slices.Sorted(slices.Values(statuses)))
	if len(distinct) == 0 {
		return [][]schema.Status{{}}
	}
	return slices.Collect(slices.Chunk(distinct, 1))
}

// beyond is the condition for what comes after the page before.
func (l *listing) beyond(key string, p *parameters) []string {
	if l.after == nil {
		return nil
	}
	compare := " >"
	if l.order.descending {
		compare = " <"
	}
	at, id := p.add(l.after.key), p.add(l.after.id)
	return []string{
		key + compare + "= " + at, // lets an index find the place
		"(" + key + compare + " " + at + " OR id > " + id + ")",
	}
}

// conditions are those of the filter but for its statuses and its text.
func (l *listing) conditions(p *parameters) (conditions []string) {
	add := func(condition string) { conditions = append(conditions, condition) }
	f := l.filter
	if f.IDs != nil {
		add("id IN " + p.addTexts(f.IDs))
	}
	if l.candidates != nil {
		add("id IN " + p.addTexts(l.candidates))
	}
	if f.PriorityAtLeast != nil {
		add("priority IN " + addList(p, schema.Priorities()[f.PriorityAtLeast.Rank():]))
	}
	if f.AssignedTo != nil {
		var names []string
		nobody := ""
		for _, name := range f.AssignedTo {
			if name == nil {
				nobody = " OR assigned_to IS NULL"
			} else {
				names = append(names, *name)
			}
		}
		add("(assigned_to IN " + p.addTexts(names) + nobody + ")")
	}
	if f.Ready != nil {
		add("ready = " + p.add(*f.Ready))
	}
	return conditions
}

// parameters are the values of a statement's numbered parameters.
type parameters struct{ values []any }

// add gives the name of a new parameter.
func (p *parameters) add(value any) string {
	p.values = append(p.values, value)
	return "?" + strconv.Itoa(len(p.values))
}

// addTexts gives a list for IN, as one parameter however long it is.
func (p *parameters) addTexts(texts []string) string {
	return "(SELECT value FROM json_each(" + p.add(string(schema.AppendStrings(nil, texts))) + "))"
}

// addList gives a short list for IN, of which SQLite sees how long it is.
func addList[T ~string](p *parameters, values []T) string {
	names := make([]string, len(values))
	for i, value := range values {
		names[i] = p.add(string(value))
	}
	return "(" + strings.Join(names, ", ") + ")"
}
