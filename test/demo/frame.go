package main

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// view is how the terminal is.
type view struct {
	width, height int
	color         bool
	ascii         bool
}

// Sizes of the drawing.
const (
	maxWidth  = 110
	maxEvents = 6
	maxRows   = 10 // of the chart
	minRows   = 3
)

// ANSI's codes of styles.
const (
	bold = "1"
	dim  = "2"
)

// text is a piece of a line in one style.
type text struct {
	style string
	s     string
}

type line []text

// render cuts a line to the width and adds the codes of the styles.
func (v view) render(l line) string {
	var b strings.Builder
	left := v.width - 1 // the last column would make some terminals wrap
	for _, t := range l {
		s := t.s
		if n := utf8.RuneCountInString(s); n > left {
			s = string([]rune(s)[:max(left, 0)])
		}
		left -= utf8.RuneCountInString(s)
		if s == "" {
			continue
		}
		if v.color && t.style != "" {
			s = "\x1b[" + t.style + "m" + s + "\x1b[0m"
		}
		b.WriteString(s)
	}
	return strings.TrimRight(b.String(), " ")
}

// glyph chooses between a character and its stand-in.
func (v view) glyph(r, plain rune) string {
	if v.ascii {
		return string(plain)
	}
	return string(r)
}

// frame draws the run as it is now: a list of lines that fit the view.
func frame(s *story, v view) []string {
	v.width = min(max(v.width, 30), maxWidth)
	p := s.last()
	if p == nil {
		return nil
	}
	lines := []line{v.title(s)}
	if v.height >= 20 {
		lines = append(lines, nil)
	}
	for i := range tiers {
		lines = append(lines, v.bar(s, i))
	}
	lines = append(lines, v.numbers(s)...)

	events := s.events()
	for len(events) > min(maxEvents, max(1, v.height-len(lines)-minRows-4)) {
		events = events[1:]
	}
	spare := v.height - 1 - len(lines) - len(events) - 3 // the marks and two empty lines
	if rows := min(spare, maxRows); rows >= minRows && v.width >= 40 {
		lines = append(lines, nil)
		lines = append(lines, v.chart(s, rows)...)
	}
	lines = append(lines, nil)
	for _, e := range events {
		lines = append(lines, line{{dim, fmt.Sprintf(" %5.1f s  ", max(e.at, 0))}, {"", e.text}})
	}
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, v.render(l))
	}
	if room := max(v.height-1, 5); len(out) > room {
		out = out[:room]
	}
	return out
}

func (v view) title(s *story) line {
	what := "three tiers of memory, emulated"
	if s.release != "" {
		what += ", Linux " + s.release
	}
	return line{
		{bold, " tierd"}, {"", fmt.Sprintf("  %2.0f of %.0f s", s.at(s.last()), s.total)},
		{dim, "  " + what},
	}
}

// bar shows which share of the accesses a tier serves, with a mark at the oracle's share.
func (v view) bar(s *story, i int) line {
	p, tier := s.last(), tiers[i]
	label := fmt.Sprintf(" %-5s", tier.name)
	if v.width >= 60 {
		label += fmt.Sprintf("node %d  ", tier.node)
	}
	share, oracle := p.Load.Share[tier.node], p.Load.Oracle[tier.node]
	number := fmt.Sprintf(" %5.1f %%", 100*share)
	room := v.width - 1 - len(label) - len(number)
	cells := []rune(strings.Repeat(" ", room))
	full := int(math.Round(share * float64(room)))
	for c := range min(full, room) {
		cells[c] = []rune(v.glyph('█', '='))[0]
	}
	l := line{{bold, label}}
	if len(p.Load.Oracle) == 0 {
		return append(l, text{tier.ansi, string(cells)}, text{"", number})
	}
	mark := min(int(math.Round(oracle*float64(room))), room-1)
	return append(l, text{tier.ansi, string(cells[:mark])}, text{bold, v.glyph('┃', '|')}, text{tier.ansi, string(cells[mark+1:])}, text{"", number})
}

func (v view) numbers(s *story) []line {
	p := s.last()
	share, oracle := fast(p)
	up, down := s.movedInAll()
	if v.width < 70 {
		return []line{
			{{"", " fast "}, {bold, fmt.Sprintf("%.3f", share)}, {"", fmt.Sprintf(" of %.3f ", oracle)}, {bold, v.glyph('┃', '|')}},
			{{"", fmt.Sprintf(" %s %s  %s %s", v.glyph('▲', '^'), size(up), v.glyph('▼', 'v'), size(down))}},
		}
	}
	best := line{{"", " HBM and DRAM serve "}, {bold, fmt.Sprintf("%.3f", share)}, {"", fmt.Sprintf(" of the accesses; an oracle %.3f ", oracle)}, {bold, v.glyph('┃', '|')}}
	cost := line{{"", fmt.Sprintf(" moved %s %s up, %s %s down", v.glyph('▲', '^'), size(up), v.glyph('▼', 'v'), size(down))}}
	if cpu, ok := s.cpu(); ok {
		cost = append(cost, text{"", fmt.Sprintf("; tierd takes %s of a CPU", percent(cpu))})
	}
	return []line{best, cost}
}

// cpu is the part of one CPU that tierd took in the last ten seconds.
func (s *story) cpu() (float64, bool) {
	last := s.last()
	if last.Tierd == nil {
		return 0, false
	}
	for i := range s.samples {
		p := &s.samples[i]
		if p.Tierd == nil || last.T-p.T > 10.5 {
			continue
		}
		if d := last.T - p.T; d > 0 {
			return (last.Tierd.CPUSeconds - p.Tierd.CPUSeconds) / d, true
		}
		return 0, false
	}
	return 0, false
}

// chart draws the tiers' shares over time, one upon the other, and the marks of the events.
func (v view) chart(s *story, rows int) []line {
	const axis = 6
	columns := v.width - 1 - axis
	per := s.total / float64(columns)
	columnOf := func(at float64) int { return min(max(int(at/per), 0), columns-1) }
	// The newest sample of each column; a column without one repeats what was before it.
	shares := make([]map[int]float64, columnOf(s.at(s.last()))+1)
	for i := range s.samples {
		shares[columnOf(s.at(&s.samples[i]))] = s.samples[i].Load.Share
	}
	for c := 1; c < len(shares); c++ {
		if shares[c] == nil {
			shares[c] = shares[c-1]
		}
	}
	var out []line
	for row := range rows {
		y := (float64(rows-row) - 0.5) / float64(rows)
		label := ""
		switch row {
		case 0:
			label = "100 %"
		case rows - 1:
			label = "0 %"
		}
		l := line{{dim, fmt.Sprintf("%5s ", label)}}
		for _, share := range shares {
			cell := text{"", " "}
			sum := 0.0
			for _, tier := range tiers {
				if sum += share[tier.node]; y < sum {
					cell = text{tier.ansi, v.glyph(tier.glyph, tier.plain)}
					break
				}
			}
			if last := &l[len(l)-1]; len(l) > 1 && last.style == cell.style {
				last.s += cell.s
			} else {
				l = append(l, cell)
			}
		}
		out = append(out, l)
	}
	// The marks: a name that would run into the next mark is left out.
	marks := []rune(strings.Repeat(" ", axis+columns))
	end := len(marks)
	events := s.events()
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.mark == "" {
			continue
		}
		from := axis + columnOf(e.at)
		name := []rune(v.glyph('▲', '^') + " " + e.mark)
		if from+len(name) > end-1 {
			name = name[:1]
		}
		if from < end {
			copy(marks[from:], name)
			end = from
		}
	}
	return append(out, line{{bold, strings.TrimRight(string(marks), " ")}})
}

// row tells the newest sample in one line, for what is no terminal.
func row(s *story) string {
	p := s.last()
	share, oracle := fast(p)
	up, down := s.movedInAll()
	var b strings.Builder
	fmt.Fprintf(&b, "%5.1f s  fast %.3f of %.3f ", s.at(p), share, oracle)
	for _, t := range tiers {
		fmt.Fprintf(&b, " %s %.3f", t.name, p.Load.Share[t.node])
	}
	fmt.Fprintf(&b, "  up %s, down %s", size(up), size(down))
	return b.String()
}
