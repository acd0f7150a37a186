package tune

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tierd/tierd/config"
)

// ErrLayout: the keys stand in the file in a way that it cannot be edited line by
// line.
var ErrLayout = errors.New("layout of the file: its keys cannot be changed line by line")

// around is how many lines around a change a difference shows.
const around = 3

// line is one of a file, or of what becomes of it.
type line struct {
	mark byte // ' ', '-' or '+'
	text string
}

// Edit changes the keys of the proposals in the text of a configuration and leaves all
// else as it is. It returns the new text and the unified difference, which names the
// file; an empty text is a file that is not there yet. Both are empty without
// proposals. An error wraps ErrLayout.
func Edit(name, text string, proposals []Proposal) (edited, diff string, err error) {
	if len(proposals) == 0 {
		return text, "", nil
	}
	lines := split(text)
	for _, p := range proposals {
		lines = set(lines, p.Key, p.To)
	}
	var b strings.Builder
	for _, l := range lines {
		if l.mark != '-' {
			b.WriteString(l.text + "\n")
		}
	}
	edited = b.String()
	// The parser knows what is meant by all that is not edited.
	c, err := config.Parse(name, []byte(edited))
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrLayout, err)
	}
	for _, p := range proposals {
		if got := p.Key.Text(c); got != p.To {
			return "", "", fmt.Errorf("%w: %s would be %s", ErrLayout, p.Key, got)
		}
	}
	return edited, unified(name, text, lines), nil
}

// split makes lines of a text.
func split(text string) (lines []line) {
	for l := range strings.Lines(text) {
		lines = append(lines, line{' ', strings.TrimSuffix(l, "\n")})
	}
	return lines
}

// set puts a value where the key stands, below its table's name, or at the end.
func set(lines []line, k Key, value string) []line {
	in, header := "", -1
	for i, l := range lines {
		if l.mark == '-' {
			continue
		}
		bare := strings.TrimSpace(l.text)
		if strings.HasPrefix(bare, "[") {
			name, _, _ := strings.Cut(strings.TrimLeft(bare, "["), "]")
			in = strings.TrimSpace(name)
			if in == k.Table && !strings.HasPrefix(bare, "[[") {
				header = i
			}
			continue
		}
		left, right, ok := strings.Cut(l.text, "=")
		left = strings.TrimSpace(left)
		if ok && (in == k.Table && left == k.Name || in == "" && left == k.Table+"."+k.Name) {
			was := l.text[:len(l.text)-len(right)]
			changed := line{'+', was + " " + value + comment(right)}
			return insert(mark(lines, i), i+1, changed)
		}
	}
	now := line{'+', k.Name + " = " + value}
	if header >= 0 {
		return insert(lines, header+1, now)
	}
	if len(lines) > 0 {
		lines = append(lines, line{'+', ""})
	}
	return append(lines, line{'+', "[" + k.Table + "]"}, now)
}

// mark takes a line away. One that was not there before leaves nothing behind.
func mark(lines []line, i int) []line {
	lines[i].mark = '-'
	return lines
}

func insert(lines []line, at int, l line) []line {
	lines = append(lines, line{})
	copy(lines[at+1:], lines[at:])
	lines[at] = l
	return lines
}

// comment is what stands behind a value on its line, with the blanks before.
func comment(right string) string {
	quote := byte(0)
	for i := range len(right) {
		switch c := right[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			blanks := len(strings.TrimRight(right[:i], " \t"))
			return right[blanks:]
		}
	}
	return ""
}

// unified writes the difference as patch takes it.
func unified(name, text string, lines []line) string {
	const noEnd = "\\ No newline at end of file\n"
	var b strings.Builder
	if text == "" {
		fmt.Fprintf(&b, "--- /dev/null\n+++ %s\n", name)
	} else {
		fmt.Fprintf(&b, "--- %s\n+++ %s\n", name, name)
	}
	// Without an end the last line becomes another.
	endless := text != "" && !strings.HasSuffix(text, "\n")
	last := -1
	for i, l := range lines {
		if l.mark != '+' {
			last = i
		}
	}
	if endless && lines[last].mark == ' ' {
		lines = insert(mark(append([]line(nil), lines...), last), last+1, line{'+', lines[last].text})
	}
	old, new := 0, 0 // lines before
	for i := 0; i < len(lines); {
		// The next hunk goes on while changes are close.
		first, end := next(lines, i), 0
		if first == len(lines) {
			break
		}
		for end = first; ; {
			for end < len(lines) && lines[end].mark != ' ' {
				end++
			}
			if n := next(lines, end); n < len(lines) && n-end <= 2*around {
				end = n
				continue
			}
			break
		}
		begin := max(first-around, i)
		old, new = old+begin-i, new+begin-i
		stop := min(end+around, len(lines))
		var oldCount, newCount int
		var body strings.Builder
		for j := begin; j < stop; j++ {
			if lines[j].mark != '+' {
				oldCount++
			}
			if lines[j].mark != '-' {
				newCount++
			}
			body.WriteByte(lines[j].mark)
			body.WriteString(lines[j].text + "\n")
			if endless && j == last {
				body.WriteString(noEnd)
			}
		}
		fmt.Fprintf(&b, "@@ -%s +%s @@\n%s", at(old, oldCount), at(new, newCount), body.String())
		old, new, i = old+oldCount, new+newCount, stop
	}
	return b.String()
}

// next is the first changed line from i on.
func next(lines []line, i int) int {
	for i < len(lines) && lines[i].mark == ' ' {
		i++
	}
	return i
}

// at is where a hunk stands; of no lines, behind which line.
func at(before, count int) string {
	if count > 0 {
		before++
	}
	return fmt.Sprintf("%d,%d", before, count)
}
