package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Severity tells a problem that keeps tierd from using the file from one that
// does not.
type Severity uint8

const (
	SeverityError   Severity = iota // the file cannot be used
	SeverityWarning                 // it can, but not as its author may think
)

func (s Severity) String() string {
	if s == SeverityWarning {
		return "warning"
	}
	return "error"
}

// MarshalText gives the same text as String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one thing that is wrong with a file.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`          // from 1; 0 when the file as a whole is meant
	Col      int      `json:"col"`           // from 1, in characters; 0 when the file as a whole is meant
	Key      string   `json:"key,omitempty"` // whole key: "thrash.separation"; empty where there is none
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"` // what to do
	Severity Severity `json:"severity"`

	label  string // the key as the message shows it
	source string // the line, without its end
	width  int    // characters to underline
}

// Notice is a [Problem] of [SeverityWarning].
type Notice = Problem

// Problems is the error of [Parse] and [Load]: all that is wrong with a file,
// in the file's order.
type Problems []Problem

// Err returns the problems as an error if one of them is an error, else nil.
func (ps Problems) Err() error {
	for _, p := range ps {
		if p.Severity == SeverityError {
			return ps
		}
	}
	return nil
}

// Error gives one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// String gives the problem on one line:
//
//	tierd.toml:12:11: separation: 9 is above 6 (hint: the range is 2 to 6)
func (p Problem) String() string {
	s := p.headline()
	if p.Hint != "" {
		s += " (hint: " + printable(p.Hint) + ")"
	}
	return s
}

func (p Problem) headline() string {
	var b strings.Builder
	b.WriteString(printable(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
	}
	b.WriteString(": ")
	if p.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if label := p.label; label != "" {
		b.WriteString(printable(label) + ": ")
	} else if p.Key != "" {
		b.WriteString(printable(p.Key) + ": ")
	}
	b.WriteString(printable(p.Message))
	return b.String()
}

// Render prints each problem with its line of the file, a caret and the hint:
//
//	tierd.toml:12:11: separation: 9 is above 6
//	    separation = 9
//	                 ^
//	hint: the range is 2 to 6
//
// Control characters of the file are printed escaped. It returns the writer's error.
func (ps Problems) Render(w io.Writer) error {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.headline() + "\n")
		if p.Line > 0 {
			p.caret(&b)
		}
		if p.Hint != "" {
			b.WriteString("hint: " + printable(p.Hint) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// caret writes the source line and the underline. Of a long line it shows the
// surroundings of the column.
func (p Problem) caret(b *strings.Builder) {
	const (
		indent = "    "
		before = 60 // characters shown before the column of a long line
		most   = 120
	)
	col := p.Col - 1
	var line, under strings.Builder
	first := 0
	if col > most-before/2 {
		first = col - before
		line.WriteString("…")
		under.WriteByte(' ')
	}
	n := 0
	for s := p.source; s != ""; n++ {
		r, size := utf8.DecodeRuneInString(s)
		cell := printable(s[:size])
		s = s[size:]
		if n < first {
			continue
		}
		if n >= first+most {
			line.WriteString("…")
			break
		}
		line.WriteString(cell)
		mark := " "
		if n >= col && n < col+max(p.width, 1) {
			mark = "^"
		}
		if r == '\t' && n < col {
			under.WriteByte('\t') // as wide as the one above it, whatever the terminal's tab stops are
			continue
		}
		if r == '\t' {
			cell = " "
		}
		under.WriteString(strings.Repeat(mark, utf8.RuneCountInString(cell)))
	}
	if n <= col {
		under.WriteString("^")
	}
	b.WriteString(strings.TrimRight(indent+line.String(), " ") + "\n")
	b.WriteString(strings.TrimRight(indent+under.String(), " \t") + "\n")
}

// printable escapes what a terminal could act on: control characters, invalid
// UTF-8, and the invisible characters that reorder text. Tabs stay.
func printable(s string) string {
	bad := func(r rune) bool { return r != '\t' && r != ' ' && !unicode.IsPrint(r) || r == utf8.RuneError }
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case bad(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// span is a range of bytes of the source.
type span struct{ start, end int }

// source is a file's text and knows where its lines are.
type source struct {
	name  string
	text  string
	lines []int // offset of each line's first byte
	root  *node
}

func newSource(name, text string) *source {
	s := &source{name: name, text: text, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line returns the number of the line, from 0, that holds the offset.
func (s *source) line(offset int) int {
	lo, hi := 0, len(s.lines)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; s.lines[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// lineText returns a line without its end.
func (s *source) lineText(n int) string {
	end := len(s.text)
	if n+1 < len(s.lines) {
		end = s.lines[n+1]
	}
	return strings.TrimRight(s.text[s.lines[n]:end], "\r\n")
}

// problem places a message at a span.
func (s *source) problem(at span, key, label, message, hint string) Problem {
	offset := min(max(at.start, 0), len(s.text))
	// Some offsets of the TOML library are amid a character.
	for offset > 0 && offset < len(s.text) && !utf8.RuneStart(s.text[offset]) {
		offset--
	}
	n := s.line(offset)
	text := s.lineText(n)
	col := min(offset-s.lines[n], len(text))
	end := min(max(at.end-s.lines[n], col), len(text))
	return Problem{
		File: s.name, Line: n + 1, Col: utf8.RuneCountInString(text[:col]) + 1,
		Key: key, Message: message, Hint: hint,
		label: label, source: text, width: utf8.RuneCountInString(text[col:end]),
	}
}
