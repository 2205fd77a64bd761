package main

import (
	"fmt"
	"io"
	"strings"
)

// cell is one field of a row: text of one line.
type cell struct {
	text  string
	paint paint
}

// table prints rows: for people in columns, of which the last one is cut where the
// screen ends; in a pipe separated by tabs, without a heading.
type table struct {
	w       io.Writer
	display display
	names   []string
	spare   []int // columns that a narrow screen does without, in this order
	hidden  map[int]bool
	rows    [][]cell
	widths  []int // of the columns but the last one; those of earlier rows stay
}

// lastLeast is how wide the last column is to be, or spare ones are left out.
const lastLeast = 12

func newTable(w io.Writer, s display, names ...string) *table {
	return &table{w: w, display: s, names: names}
}

// add takes a row, to be printed by flush.
func (t *table) add(cells ...cell) {
	for i := range cells {
		cells[i].text = oneLine(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

// flush prints what was added since the last time.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	var out strings.Builder
	heading := t.display.people && t.widths == nil
	t.measure()
	if heading {
		t.hide()
		names := make([]cell, len(t.names))
		for i, name := range t.names {
			names[i] = cell{name, faint}
		}
		t.row(&out, names)
	}
	for _, row := range t.rows {
		t.row(&out, row)
	}
	t.rows = nil
	_, err := io.WriteString(t.w, out.String())
	return err
}

// measure makes the columns as wide as their widest cells.
func (t *table) measure() {
	if t.widths == nil {
		t.widths = make([]int, len(t.names)-1)
		for i := range t.widths {
			t.widths[i] = columns(t.names[i])
		}
	}
	for _, row := range t.rows {
		for i := range t.widths {
			t.widths[i] = max(t.widths[i], columns(row[i].text))
		}
	}
}

// hide leaves out columns that are spare where the screen has no room for all.
func (t *table) hide() {
	t.hidden = make(map[int]bool)
	left := t.display.width
	for _, width := range t.widths {
		left -= width + 2
	}
	for _, i := range t.spare {
		if t.display.width == 0 || left >= lastLeast {
			return
		}
		t.hidden[i] = true
		left += t.widths[i] + 2
	}
}

func (t *table) row(out *strings.Builder, row []cell) {
	last := len(row) - 1
	if !t.display.people {
		for _, c := range row[:last] {
			out.WriteString(c.text + "\t")
		}
		out.WriteString(row[last].text + "\n")
		return
	}
	left := t.display.width
	for i, c := range row[:last] {
		if t.hidden[i] {
			continue
		}
		out.WriteString(t.display.painted(c.paint, c.text))
		fmt.Fprintf(out, "%*s", t.widths[i]-columns(c.text)+2, "")
		left -= t.widths[i] + 2
	}
	text := row[last].text
	if t.display.width > 0 {
		text = cut(text, max(left, 10)) // so narrow a screen wraps lines
	}
	out.WriteString(t.display.painted(row[last].paint, text) + "\n")
}
