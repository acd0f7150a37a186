package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Render writes a report for a person. With color, verdicts have one beside their word.
func Render(w io.Writer, r *Report, width int, color bool) error {
	var b strings.Builder
	idWidth := 0
	for _, c := range r.Checks {
		idWidth = max(idWidth, len(c.ID))
	}
	const verdictWidth = len("unknown")
	indent := verdictWidth + 2 + idWidth + 2
	for _, c := range r.Checks {
		word := string(c.Verdict)
		if c.Verdict == Fail || c.Verdict == Warn {
			word = strings.ToUpper(word)
		}
		pad := strings.Repeat(" ", verdictWidth-len(word))
		if color {
			word = map[Verdict]string{OK: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[31m", Unknown: "\x1b[2m"}[c.Verdict] + word + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s%s  %-*s  ", word, pad, idWidth, c.ID)
		Wrap(&b, printable(c.Found), indent, width)
		if c.Do != "" {
			b.WriteString(strings.Repeat(" ", indent))
			Wrap(&b, "do: "+printable(c.Do), indent, width)
		}
	}
	fmt.Fprintf(&b, "\n%d ok, %d warn, %d fail, %d unknown\n", r.Count(OK), r.Count(Warn), r.Count(Fail), r.Count(Unknown))
	_, err := io.WriteString(w, b.String())
	return err
}

// Wrap writes words in lines that begin at the indent, the first of them where b stands.
func Wrap(b *strings.Builder, text string, indent, width int) {
	room := max(width-indent, 30)
	at := 0
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		if at > 0 && at+1+n > room {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = 0
		}
		if at > 0 {
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteByte('\n')
}

// printable replaces what a terminal could act on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
