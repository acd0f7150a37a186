package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is one table of docs/benchmarks.md.
type table struct {
	id, title string
	columns   []string // of the values; the name before and the verdict behind them come by themselves
	rows      []row
	notes     []string
}

// row is one number, in as many columns as the table has. The first column is judged.
type row struct {
	name   string
	values []float64
	show   func(float64) string
	each   []func(float64) string // by column, where they differ; the first is for what is wanted as well
	want   *limit
}

func (r row) text(i int, x float64) string {
	if len(r.each) > 0 {
		return r.each[i](x)
	}
	return r.show(x)
}

// limit is what is wanted of a number.
type limit struct {
	least bool // else at most
	x     float64
}

func atLeast(x float64) *limit { return &limit{true, x} }
func atMost(x float64) *limit  { return &limit{false, x} }

func (l limit) holds(x float64) bool {
	if l.least {
		return x >= l.x
	}
	return x <= l.x
}

// How numbers are written.
func seconds(x float64) string { return fmt.Sprintf("%.1f s", x) }
func millis(x float64) string  { return fmt.Sprintf("%.2f ms", x*1e3) }
func share(x float64) string   { return fmt.Sprintf("%.3f", x) }
func percent(x float64) string { return fmt.Sprintf("%.1f %%", x*100) }
func times(x float64) string   { return fmt.Sprintf("%.2f ×", x) }
func mib(x float64) string     { return fmt.Sprintf("%.1f MiB", x/(1<<20)) }

// cell writes a value: what was not measured is a dash, and what never came says so.
func (r row) cell(i int) string {
	switch {
	case i >= len(r.values) || math.IsNaN(r.values[i]):
		return "–"
	case math.IsInf(r.values[i], 1):
		return "never"
	}
	return r.text(i, r.values[i])
}

func (r row) wanted() string {
	switch {
	case r.want == nil:
		return ""
	case r.want.least:
		return "≥ " + r.text(0, r.want.x)
	}
	return "≤ " + r.text(0, r.want.x)
}

func (r row) verdict() string {
	switch {
	case r.want == nil:
		return ""
	case len(r.values) > 0 && r.want.holds(r.values[0]):
		return "ok"
	}
	return "SHORT"
}

// String writes the table in Markdown, with its columns aligned for readers of the text.
func (t table) String() string {
	lines := [][]string{slices.Concat([]string{""}, t.columns, []string{"wanted", ""})}
	for _, r := range t.rows {
		line := []string{r.name}
		for i := range t.columns {
			line = append(line, r.cell(i))
		}
		lines = append(lines, append(line, r.wanted(), r.verdict()))
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, c := range l {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	write := func(cells []string, fill string) {
		for i, c := range cells {
			b.WriteString("|" + fill + c + strings.Repeat(fill, width[i]-utf8.RuneCountInString(c)+1))
		}
		b.WriteString("|\n")
	}
	write(lines[0], " ")
	write(make([]string, len(width)), "-")
	for _, l := range lines[1:] {
		write(l, " ")
	}
	if len(t.notes) > 0 {
		b.WriteString("\n" + strings.Join(t.notes, "\n") + "\n")
	}
	return b.String()
}

var errNoPlace = errors.New("no place for it")

// replace puts a table and the command that made it between the marks of its id in a document.
func replace(doc string, t table, command string) (string, error) {
	begin, end := fmt.Sprintf("<!-- bench %s: begin -->\n", t.id), fmt.Sprintf("<!-- bench %s: end -->", t.id)
	i := strings.Index(doc, begin)
	j := strings.Index(doc, end)
	if i < 0 || j < i {
		return "", fmt.Errorf("table %s: %w between marks", t.id, errNoPlace)
	}
	return doc[:i+len(begin)] + "\n    " + command + "\n\n" + t.String() + "\n" + doc[j:], nil
}

// median of what was measured: of the two in the middle the mean. NaN if nothing was.
func median(x []float64) float64 {
	x = slices.DeleteFunc(slices.Clone(x), math.IsNaN)
	if len(x) == 0 {
		return math.NaN()
	}
	slices.Sort(x)
	n := len(x)
	if n%2 == 1 || x[n/2-1] == x[n/2] {
		return x[n/2]
	}
	return (x[n/2-1] + x[n/2]) / 2
}
